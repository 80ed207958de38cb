"""What a model's healthy clips can promise: a threshold for a rate in each domain, and the least rate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator, Field

from humtune.config import Frozen
from humtune.metrics.calibration import Threshold, clips_needed, effective_clips, least_rate, threshold_from
from humtune.names import shown


class GroupScores(Frozen):
    """Scores of healthy clips that were recorded together."""

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


def by_domain(healthy: Sequence[GroupScores]) -> dict[str, tuple[list[float], list[int]]]:
    """The scores of each domain's clips, and the number of the group that each is of."""
    found: dict[str, tuple[list[float], list[int]]] = {}
    for number, part in enumerate(healthy):
        scores, groups = found.setdefault(part.domain, ([], []))
        scores += part.scores
        groups += [number] * len(part.scores)
    return found


def promises(healthy: Sequence[GroupScores], false_alarms: float) -> tuple[Promise, ...]:
    """A threshold for a wanted false-alarm rate for each domain; UsageError for a rate that is none."""
    found = []
    for domain, (scores, groups) in by_domain(healthy).items():
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
