"""Drift: whether recordings have moved away from the healthy ones that a threshold was chosen by."""

import math

import numpy as np

from humtune.metrics.calibration import effective_clips
from humtune.runtime.outcomes import Scored
from humtune.runtime.promises import HealthyScores

LAST = 50  # recordings that are looked at together
UNLIKELY = 4.0  # standard errors: of fifty drawn like the healthy ones, one in 1,700 gave as many


class Drift:
    """Counts how many recordings lie above the median of a model's healthy clips, fifty after fifty.

    In a domain that hasn't changed half of them do. Both the fifty and the healthy clips are a sample: n
    clips, in groups that count for as many as `effective_clips`, so that a share p is off by
    (p − ½) / √(¼ / 50 + ¼ / n) standard errors. A recording doesn't tell its domain: it must be off in each.
    """

    def __init__(self, healthy: HealthyScores, *, windows: int = 1) -> None:
        """`windows`: how many each of the healthy scores is the highest of."""
        self._windows = windows
        self._medians, self._effective = [], []
        for parts in healthy.domains.values():
            scores, groups = healthy.highest(parts, 1)
            self._medians.append(float(np.median(scores)))
            self._effective.append(effective_clips(scores, groups))
        self._scores: list[float] = []

    def add(self, outcome: Scored) -> str | None:
        """Count a recording, a long one by its middle window; a sentence where the last fifty have moved."""
        scores = [outcome.score] if outcome.timeline is None else outcome.timeline.scores.tolist()
        alike, _ = HealthyScores((), overlapping=True).highest([scores], self._windows)
        self._scores.append(float(np.median(alike)))
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
