"""Drift: whether recordings have moved away from the healthy ones that a threshold was chosen by."""

import math
from collections.abc import Sequence

import numpy as np

from humtune.metrics.calibration import effective_clips
from humtune.runtime.outcomes import Scored
from humtune.runtime.promises import GroupScores, by_domain

LAST = 50  # recordings that are looked at together
UNLIKELY = 4.0  # standard errors: of fifty drawn like the healthy ones, one in 1,700 gave as many


class Drift:
    """Counts how many recordings lie above the median of a model's healthy clips, fifty after fifty.

    In a domain that hasn't changed half of them do. Both the fifty and the healthy clips are a sample: n
    clips, in groups that count for as many as `effective_clips`, so that a share p is off by
    (p − ½) / √(¼ / 50 + ¼ / n) standard errors. A recording doesn't tell its domain: it must be off in each.
    """

    def __init__(self, healthy: Sequence[GroupScores]) -> None:
        self._medians, self._effective = [], []
        for scores, groups in by_domain(healthy).values():
            self._medians.append(float(np.median(scores)))
            self._effective.append(effective_clips(scores, groups))
        self._scores: list[float] = []

    def add(self, outcome: Scored) -> str | None:
        """Count a recording, a long one by its middle window; a sentence where the last fifty have moved."""
        middle = outcome.score if outcome.timeline is None else float(np.median(outcome.timeline.scores))
        self._scores.append(middle)
        if len(self._scores) < LAST or not self._medians:
            return None
        above = np.array([np.mean(np.array(self._scores) > median) for median in self._medians])
        self._scores = []
        errors = [math.sqrt(0.25 / LAST + 0.25 / effective) for effective in self._effective]
        if not ((above - 0.5) / errors > UNLIKELY).all():
            return None
        return (
            f"{round(LAST * above.min())} of the last {LAST} recordings score above the median of the "
            "healthy ones that the threshold was chosen by: if they are healthy, machine, microphone, room "
            "or working condition have changed; humtune threshold MODEL --healthy DIR chooses another by them"
        )
