"""A model's limit for recordings of any length.

A recording counts by its strangest window: the more windows, the higher that is, though all are healthy.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np

from humtune.metrics.calibration import threshold_from
from humtune.runtime.info import ModelInfo
from humtune.runtime.promises import HealthyScores
from humtune.runtime.scale import Scale

# The score that a share of recordings exceeds, by scores of healthy ones and the group of each.
Quantile = Callable[[Sequence[float], Sequence[int], float], float]


class Limits:
    """What scores of recordings are held against, by their length.

    The promised rate is that of recordings, whatever their length: the limit of one is measured on the
    highest scores of stretches as long, out of the healthy recordings or working conditions. So what their
    windows have in common counts. Recordings that are longer than these get a limit for a smaller rate, as if
    one such stretch after another were independent: too careful where they are alike, and no better than
    the tail that it takes.
    """

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self._scale = cache(self._measured)  # by the number of windows, in which most are alike
        if not info.keeps_scores:
            return
        healthy, rate = info.healthy, info.threshold.false_alarms
        self._length, every = healthy.length, [group.scores for group in healthy.groups]
        domains = healthy.domains.values()  # a recording doesn't tell its own: the highest limit counts
        self._limits = [_Carried(healthy, groups, rate, _careful) for groups in domains]
        self._usual = _Carried(healthy, every, 0.5, _plain)

    def scale(self, samples: int) -> Scale:
        """What the score of a recording of so many samples is held against."""
        return self._scale(self.info.windows(samples))

    def _measured(self, windows: int) -> Scale:
        threshold = self.info.threshold.value
        if not self.info.keeps_scores:
            return Scale(threshold)
        count = self.info.in_scores(windows)
        limit = max(part.at(count) for part in self._limits)
        if count == self._length:  # the length that the threshold was chosen for
            limit = threshold
        limit = max(threshold, limit) if count > self._length else min(threshold, limit)
        return Scale(limit, self._usual.at(count))


class _Carried:
    """The score that a share of recordings exceeds, by how many successive scores they have."""

    def __init__(
        self, healthy: HealthyScores, groups: Sequence[Sequence[float]], share: float, quantile: Quantile
    ) -> None:
        self._share = share
        self._longest = int(np.median([len(scores) for scores in groups]))
        self._quantile = partial(quantile, *healthy.highest(groups, self._longest))
        sizes = [*(2**i for i in range(self._longest.bit_length()) if 2**i < self._longest), self._longest]
        self._logs = np.log(sizes)
        self._values = np.maximum.accumulate(
            [quantile(*healthy.highest(groups, size), share) for size in sizes]
        )

    def at(self, count: float) -> float:
        """That of recordings of so many scores; it never falls with them."""
        if count <= self._longest:  # between lengths that were measured: as the maxima of exponential tails
            return float(np.interp(math.log(max(count, 1.0)), self._logs, self._values))
        share = -math.expm1(math.log1p(-self._share) * self._longest / count)
        return float(max(self._values[-1], self._quantile(share)))


def _careful(scores: Sequence[float], groups: Sequence[int], share: float) -> float:
    return threshold_from(scores, false_alarms=share, groups=groups).value


def _plain(scores: Sequence[float], groups: Sequence[int], share: float) -> float:
    return float(np.quantile(scores, 1 - share))
