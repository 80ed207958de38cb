"""How sure Ω is: clips drawn again, with replacement, within each cell of section, domain and label.

Clips that were cut from one recording are drawn together: they are more alike than those of another.

Figures are fractions, 0…1, and official Ω. An interval tells what other clips would have done; not what
another training seed, section or machine would.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from humtune.errors import HumtuneError
from humtune.metrics.cells import Array, Cell, Cells
from humtune.metrics.omega import MAX_FPR, harmonic_mean
from humtune.sounds.groups import split_units

SAMPLES = 1000
LEVEL = 0.9  # of two-sided intervals
SURE = 0.95  # that the truly best candidate is among those within noise

_Counts = NDArray[np.float32]  # exact for sums of up to 2**23 half pairs of clips, where they are whole


@dataclass(frozen=True, eq=False)
class Interval:
    """Between which two figures Ω lies, each [...]."""

    low: Array
    high: Array
    estimate: Array


@dataclass(frozen=True, eq=False)
class Difference:
    """How much higher one Ω is than another on the same clips, each [...]."""

    estimate: Array
    low: Array
    high: Array
    p: Array  # two-sided, of there being no difference


@dataclass(frozen=True, eq=False)
class Resampled:
    """Official Ω as measured, and in each of B resamples of the clips."""

    estimate: Array  # [...]
    samples: Array  # [..., B]
    values: int  # how many figures each Ω is the harmonic mean of
    draws: int  # tells these draws of these clips from others

    def interval(self, *, level: float = LEVEL) -> Interval:
        """The bias-corrected percentile interval of every Ω (Efron 1981).

        Measured by benchmarks/selection_bias.py: it holds the true Ω as often as it says, and misses it on
        either side more evenly, close to a perfect detector too, than the plain percentiles do.
        """
        below = np.mean(self.samples < self.estimate[..., None], axis=-1)
        below = (below + np.mean(self.samples <= self.estimate[..., None], axis=-1)) / 2
        least = 0.5 / self.samples.shape[-1]
        shift = 2 * ndtri(np.clip(below, least, 1 - least))[..., None]
        at = ndtr(shift + ndtri([(1 - level) / 2, (1 + level) / 2]))
        low, high = np.moveaxis(_quantiles(self.samples, at), -1, 0)
        return Interval(low, high, self.estimate)

    def over(self, other: "Resampled", *, level: float = LEVEL) -> Difference:
        """How much higher Ω is than another one of the same draws; a HumtuneError where draws differ.

        The interval is of percentiles, and p the level at which it would begin at 0.
        """
        if self.draws != other.draws:
            raise HumtuneError(
                "two Ω can only be paired on the same draws: same machines, clips, samples, seed"
            )
        estimate, samples = self.estimate - other.estimate, self.samples - other.samples
        below, above = (np.sum(side, axis=-1) + 1 for side in (samples <= 0, samples >= 0))
        p = np.minimum(1, 2 * np.minimum(below, above) / (samples.shape[-1] + 1))
        low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=-1)
        return Difference(estimate, low, high, p)

    def within_noise(self, *, sure: float = SURE) -> NDArray[np.bool_]:
        """Which of K candidates may truly be the best, [K]: the one that is, is kept with probability `sure`.

        The highest of many Ω's is high by luck, and a paired test against it alone would turn down candidates
        that are as good. So the lead of the highest over a candidate is held against what the best of all K
        gains over that candidate by resampling alone (multiple comparisons with the best: Hsu 1981).
        """
        luck = self.samples - self.estimate[:, None]
        lead = np.quantile(luck.max(axis=0) - luck, sure, axis=-1)
        return np.asarray(self.estimate.max() - self.estimate <= lead)


def resample(scores: ArrayLike, cells: Cells, *, samples: int = SAMPLES, seed: int = 0) -> Resampled:
    """Ω of scores [..., N], as measured and with every cell's clips drawn again `samples` times.

    All candidates meet the same draws, and the same seed draws the same clips of a machine again; machines
    draw independently of each other.
    """
    scores = cells.check_scores(scores)
    rng = np.random.default_rng([seed, crc32(cells.machine.encode())])
    sections = [_Section.drawn(section, cells.recordings, samples, rng) for _, section in cells.sections()]
    rows = scores.reshape(-1, scores.shape[-1])
    omegas = np.empty((len(rows), 1 + samples))
    for row, out in zip(rows, omegas, strict=True):
        out[:] = harmonic_mean(np.concatenate([s.values(row) for s in sections]), axis=0)
    omegas = omegas.reshape(*scores.shape[:-1], -1)
    return Resampled(
        estimate=omegas[..., 0],
        samples=omegas[..., 1:],
        values=sum(len(s.domain) + 1 for s in sections),
        draws=crc32(b"".join(part for s in sections for part in s.content())),
    )


def pool_resampled(machines: Sequence[Resampled]) -> Resampled:
    """Ω over machines, per resample: the harmonic mean of all machines' figures, as metrics.pool forms it."""
    values = sum(m.values for m in machines)
    estimate = values / sum(m.values / m.estimate for m in machines)
    samples = values / sum(m.values / m.samples for m in machines)
    draws = hash(tuple(m.draws for m in machines))
    return Resampled(np.asarray(estimate), np.asarray(samples), values, draws)


def paired(
    a: ArrayLike, b: ArrayLike, cells: Cells, *, level: float = LEVEL, samples: int = SAMPLES, seed: int = 0
) -> Difference:
    """How much higher the Ω of scores a [..., N] is than that of b [..., N]."""
    one, other = (resample(scores, cells, samples=samples, seed=seed) for scores in (a, b))
    return one.over(other, level=level)


def _quantiles(samples: Array, at: Array) -> Array:
    """Each row's own quantiles: samples [..., B] at [..., Q] gives [..., Q]."""
    rows = zip(samples.reshape(-1, samples.shape[-1]), at.reshape(-1, at.shape[-1]), strict=True)
    return np.asarray([np.quantile(row, q) for row, q in rows]).reshape(at.shape)


@dataclass(frozen=True, eq=False)
class _Section:
    """One section's clips and how often each resample holds them; the first column holds each once."""

    positive: NDArray[np.intp]  # [P]
    negative: NDArray[np.intp]  # [N]
    domain: _Counts  # [D, N], 1 where the negative is of the domain
    positive_count: _Counts  # [P, 1 + B]
    negative_count: _Counts  # [N, 1 + B]

    @classmethod
    def drawn(
        cls, cells: list[Cell], recordings: NDArray[np.str_], samples: int, rng: np.random.Generator
    ) -> "_Section":
        positive, negative = [c.anomaly for c in cells], [c.normal for c in cells]
        return cls(
            positive=np.concatenate(positive),
            negative=np.concatenate(negative),
            domain=np.repeat(np.eye(len(cells), dtype=np.float32), [len(c.normal) for c in cells], axis=1),
            positive_count=np.concatenate([_draw(recordings[clips], samples, rng) for clips in positive]),
            negative_count=np.concatenate([_draw(recordings[clips], samples, rng) for clips in negative]),
        )

    def content(self) -> tuple[bytes, ...]:
        """The clips and their counts."""
        parts = (self.positive, self.negative, self.positive_count, self.negative_count)
        return tuple(part.tobytes() for part in parts)

    def values(self, scores: Array) -> Array:
        """AUC of each domain, and pAUC, as metrics has them: [D + 1, 1 + B] of scores [all clips].

        Clips are sorted once; a resample changes only how often each counts.
        """
        positive, negative = scores[self.positive], scores[self.negative]
        rising, falling = np.argsort(positive), np.argsort(-negative)
        positive, negative, count = positive[rising], negative[falling], self.negative_count[falling]
        won = np.zeros((len(positive) + 1, count.shape[1]), np.float32)  # by the i highest positives
        np.cumsum(self.positive_count[rising[::-1]], axis=0, out=won[1:])
        over = len(positive) - np.searchsorted(positive, negative, side="right")
        reach = len(positive) - np.searchsorted(positive, negative, side="left")
        above = won[over]
        level: _Counts = (above + won[reach]) / np.float32(2) if np.any(over != reach) else above
        pairs = len(positive) * self.domain.sum(axis=1, keepdims=True, dtype=np.float64)
        auc = self.domain[:, falling] @ (count * level) / pairs
        area = _area(negative, count, above, level) / (len(positive) * len(negative))
        least, most = MAX_FPR**2 / 2, MAX_FPR
        return np.vstack([auc, (1 + (area - least) / (most - least)) / 2])


def _draw(recordings: NDArray[np.str_], samples: int, rng: np.random.Generator) -> _Counts:
    """How much each of a cell's n clips counts, [n, 1 + samples]; once each in the first column.

    Every column sums to n: recordings [n] of different lengths, drawn as one, count for parts of clips.
    """
    unit = split_units(recordings)
    units, clips = int(unit.max()) + 1, len(unit)
    counts = rng.multinomial(units, np.full(units, 1 / units), size=samples).T[unit]
    counts = counts * (clips / counts.sum(axis=0))
    return np.concatenate([np.ones((clips, 1)), counts], axis=1).astype(np.float32)


def _area(negative: Array, count: _Counts, above: _Counts, level: _Counts) -> Array:
    """Area under the ROC curve up to pAUC's false positive rate, [1 + B], in pairs of clips.

    Negatives [N] fall; above and level [N, 1 + B]: the positives over each, without and with half its ties.
    """
    cut = MAX_FPR * len(negative)
    heads = np.flatnonzero(np.diff(negative, prepend=np.inf))  # of groups of equal negatives
    if len(heads) < len(negative):
        count = np.add.reduceat(count, heads, axis=0)
    top = min(len(heads), 4 * math.ceil(cut))
    if count[:top].sum(axis=0).min() < cut:  # next to never: a resample with few of the highest negatives
        top = len(heads)
    count = count[:top].astype(np.float64)
    inside = np.clip(cut - (np.cumsum(count, axis=0) - count), 0, count)
    won = above[heads[:top]].astype(np.float64)
    if level is not above:  # a straight line through a group of ties, as in metrics.pauc
        won += inside / np.maximum(count, 1) * (level[heads[:top]] - won)
    return np.asarray(np.einsum("nb,nb->b", inside, won))
