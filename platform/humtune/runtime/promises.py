"""What a model's healthy clips can promise: a threshold for a rate in each domain, and the least rate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from humtune.config import Frozen
from humtune.metrics.calibration import Threshold, clips_needed, effective_clips, least_rate, threshold_from
from humtune.names import shown


class GroupScores(Frozen):
    """Scores of healthy clips that were recorded together, or of a recording's windows, one after another."""

    domain: str  # as of DomainScores
    group: Annotated[str, AfterValidator(shown)]  # recording or working condition; of files under any name
    scores: tuple[float, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Promise:
    """What a domain's healthy clips can promise: a threshold, and how many it would take."""

    domain: str
    groups: int
    effective: float  # independent clips that they count for
    threshold: Threshold

    @property
    def least(self) -> float:
        """The smallest rate that they can promise."""
        return least_rate(self.effective)

    @property
    def needed(self) -> int:
        """How many clips the wanted rate needs, of groups like these."""
        return clips_needed(self.threshold.false_alarms, self.threshold.clips, self.effective)


@dataclass(frozen=True)
class HealthyScores:
    """The scores that thresholds are chosen by."""

    groups: tuple[GroupScores, ...]
    overlapping: bool = False  # whether they are of windows half over each other; else of clips
    length: int = 1  # of a recording that thresholds make their promise for, in such scores

    @property
    def domains(self) -> dict[str, list[tuple[float, ...]]]:
        """The scores of the groups of each domain."""
        found: dict[str, list[tuple[float, ...]]] = {}
        for group in self.groups:
            found.setdefault(group.domain, []).append(group.scores)
        return found

    @property
    def usual_length(self) -> int:
        """How many scores a group has at the median."""
        return int(median(len(group.scores) for group in self.groups))

    def highest(self, groups: Sequence[Sequence[float]], size: int) -> tuple[list[float], list[int]]:
        """The highest of each `size` successive scores of some groups, and the number of the group of each.

        Of a group are taken as many stretches as share hardly any sound, from its beginning to its end; of
        one that is shorter all. So what a group's scores have in common stays in them.
        """
        found: list[float] = []
        numbers: list[int] = []
        for number, scores in enumerate(groups):
            count = max(1, round((len(scores) + self.overlapping) / (size + self.overlapping)))
            starts = np.rint(np.linspace(0, max(0, len(scores) - size), count)).astype(int).tolist()
            found += [max(scores[start : start + size]) for start in starts]
            numbers += [number] * count
        return found, numbers


def grouped(
    scores: Iterable[float], domains: Iterable[str], groups: Iterable[str]
) -> tuple[GroupScores, ...]:
    """Scores [N] of clips together as their domains and groups [N] are, in the order of these."""
    found: dict[tuple[str, str], list[float]] = {}
    for score, domain, group in zip(scores, domains, groups, strict=True):
        found.setdefault((str(domain), str(group)), []).append(float(score))
    return tuple(
        GroupScores(domain=domain, group=group, scores=tuple(own))
        for (domain, group), own in sorted(found.items())
    )


def promises(healthy: HealthyScores, false_alarms: float) -> tuple[Promise, ...]:
    """A threshold for a wanted false-alarm rate for each domain; UsageError for a rate that is none."""
    found = []
    for domain, parts in healthy.domains.items():
        scores, groups = healthy.highest(parts, healthy.length)
        threshold = threshold_from(scores, false_alarms=false_alarms, groups=groups)
        found.append(Promise(domain, len(set(groups)), effective_clips(scores, groups), threshold))
    return tuple(found)


def threshold_of(promises: Sequence[Promise]) -> Threshold:
    """The threshold that keeps every promise: the highest. A clip doesn't say its domain."""
    highest = max(promises, key=lambda promise: promise.threshold.value)
    notes = [
        f"{promise.domain}: {note}" if len(promises) > 1 else note
        for promise in promises
        if (note := promise.threshold.note)
    ]
    return replace(highest.threshold, note="; ".join(notes) or None)
