"""What held-out normal clips say of a score: a threshold, a scale on which detectors compare, their fusion.

Everything but `ranks`, which is left to scores without held-out clips, works one clip at a time.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.errors import HumtuneError, UsageError

FALSE_ALARMS = 0.1  # share of normal clips that a threshold may flag, where nobody asks for another
LEAST_CLIPS = 2  # held-out clips: one has no spread
LEAST_SPREAD = 1e-6  # of the scores' size: below it they differ by float32 rounding alone
BEND = 4.0  # standard deviations up to which a compressed score is nearly straight; docs/without-labels.md
BODY = 0.9  # share of held-out clips below the parametric tail: where the DCASE baselines put their threshold

_SKEW = (0.05, 2.0)  # from nearly normal to exponential: a gamma has no heavier tail to one side only
_LEAST_SHARE = 1e-200  # of clips in the tail that float64 can still tell from none
_TAIL = 1 / 3  # share of held-out clips that an exponential tail is fitted to


@dataclass(frozen=True)
class Threshold:
    """A score above which a clip is called anomalous, and what it was measured on."""

    value: float
    false_alarms: float  # the rate that was asked for, 0…1
    clips: int  # held-out normal clips behind it
    note: str | None = None  # what a user should know about it
    fit: str = "quantile"  # how it was found: that, a "tail" or "single"; of earlier versions: or "gamma"


def threshold_from(
    held_out: ArrayLike, *, false_alarms: float = FALSE_ALARMS, groups: ArrayLike | None = None
) -> Threshold:
    """The score that the wanted share of new normal clips exceeds, by scores [N] of held-out normal clips.

    `groups` [N] names what clips were recorded together; None: each stands for itself. N clips count for
    n = `effective_clips`. Where n + 1 ≥ 1 / false_alarms it is the score of a held-out clip, "quantile": of
    n + 1 clips that come in any order, the new one exceeds it no more often than that (conformal prediction,
    Vovk et al. 2005). Else no clip can tell, and a note says so: an exponential "tail" goes on beyond the
    upper third, with the predictive distribution that its mean excess over n / 3 clips gives. A "single" clip
    has no such tail: it is its score.
    """
    if not 0 < false_alarms < 1:
        raise UsageError(f"a false-alarm rate lies between 0 and 1, got {false_alarms}")
    if np.size(held_out) == 0:
        raise HumtuneError("no held-out normal clips: a threshold needs scores of clips that trained nothing")
    scores = np.sort(_finite(held_out))[::-1]
    clips, effective = scores.size, effective_clips(held_out, groups)
    spare = (effective + 1) * false_alarms - 1  # clips that may lie above
    if spare > -1e-9:
        above = math.floor(max(spare, 0) / effective * clips + 1e-9)
        return Threshold(float(scores[above]), false_alarms, clips)
    needed = clips_needed(false_alarms, clips, effective)
    if clips < LEAST_CLIPS:
        note = (
            f"a single healthy clip can't promise a false-alarm rate of {false_alarms:.1%} "
            f"({needed} needed): until then the threshold is its score, a mere guess"
        )
        return Threshold(float(scores[0]), false_alarms, clips, note, "single")
    note = (
        f"{clips} healthy clips{_counting(clips, effective)} can promise a false-alarm rate of "
        f"{least_rate(effective):.1%}, not of {false_alarms:.1%} ({needed} needed): "
        "until then the threshold is an estimate"
    )
    return Threshold(_tail(scores, effective, false_alarms), false_alarms, clips, note, "tail")


def effective_clips(scores: ArrayLike, groups: ArrayLike | None = None) -> float:
    """For how many independent clips the scores [N] of clips in groups [N] count, 1…N.

    That is N / (1 + (m − 1) ρ), Kish's design effect: ρ is the share of the scores' variance that lies
    between the groups (the intraclass correlation), m their size, weighted by itself.
    One group counts for one.
    """
    scores = _finite(scores)
    if groups is None or scores.size < 2:
        return float(scores.size)
    _, group, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    count, clips = len(sizes), scores.size
    if count in (1, clips):
        return float(count)
    means = np.bincount(group, weights=scores) / sizes
    between = float((sizes * (means - scores.mean()) ** 2).sum()) / (count - 1)
    within = float(((scores - means[group]) ** 2).sum()) / (clips - count)
    size = (clips - float((sizes**2).sum()) / clips) / (count - 1)
    total = between + (size - 1) * within
    shared = max((between - within) / total, 0.0) if total > 0 else 0.0
    return clips / (1 + (float((sizes**2).sum()) / clips - 1) * shared)


def least_rate(effective: float) -> float:
    """The smallest false-alarm rate that so many independent clips can promise."""
    return 1 / (effective + 1)


def clips_needed(false_alarms: float, clips: int, effective: float) -> int:
    """How many clips a rate needs, of groups like those of `clips` that count for `effective` ones."""
    return math.ceil((1 / false_alarms - 1) * clips / effective - 1e-6)


def _counting(clips: int, effective: float) -> str:
    return "" if effective > clips - 0.5 else f" (many of them alike, so as good as {effective:.0f})"


def _tail(scores: NDArray[np.float64], effective: float, false_alarms: float) -> float:
    """Where an exponential tail has so little left; scores [N] highest first.

    The excess of k clips over the next one has a mean that is itself uncertain; integrated over, an
    exponential becomes a Lomax distribution, 1 / (1 + x / (k mean))^k.
    """
    clips = scores.size
    tail = min(max(2, round(_TAIL * clips)), clips - 1)
    start, excess = scores[tail], float((scores[:tail] - scores[tail]).mean())
    k = max(1.0, tail * effective / clips)
    beyond = k * excess * (((k + 1) / (effective + 1) / false_alarms) ** (1 / k) - 1)
    return float(max(scores[0], start + beyond))  # not below what a greater rate would give


def decide(scores: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Whether each score says anomaly: above the threshold, not on it."""
    return np.asarray(scores, np.float64) > threshold


def false_alarm_rate(normal: ArrayLike, threshold: float) -> float:
    """The share of normal clips' scores that would raise an alarm; NaN without clips."""
    alarms = decide(normal, threshold)
    return float(alarms.mean()) if alarms.size else math.nan


@dataclass(frozen=True)
class Standard:
    """Scores in standard deviations above the mean of held-out normal clips."""

    mean: float
    spread: float

    @classmethod
    def of(cls, held_out: ArrayLike) -> "Standard":
        """The scale of held-out scores [N]; HumtuneError with fewer than two, or for one not finite."""
        scores = _finite(held_out)
        if scores.size < LEAST_CLIPS:
            raise HumtuneError(
                f"calibration needs {LEAST_CLIPS} held-out normal clips or more, got {scores.size}"
            )
        least = LEAST_SPREAD * max(LEAST_SPREAD, float(np.abs(scores).max()))
        return cls(float(scores.mean()), max(float(scores.std()), least))

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Calibrated scores, of the same shape."""
        return (np.asarray(scores, np.float64) - self.mean) / self.spread


@dataclass(frozen=True)
class Compressed:
    """`Standard`, compressed beyond `bend` deviations, asinh(z / bend): no detector outshouts all others."""

    mean: float
    spread: float
    bend: float

    @classmethod
    def of(cls, held_out: ArrayLike) -> "Compressed":
        """The scale of held-out scores [N]; HumtuneError as `Standard.of`."""
        scale = Standard.of(held_out)
        return cls(scale.mean, scale.spread, BEND)

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Calibrated scores, of the same shape."""
        return np.arcsinh(Standard(self.mean, self.spread * self.bend)(scores))


@dataclass(frozen=True)
class GammaTail:
    """How unusual a score is among held-out normal clips, as a quantile of the standard normal distribution.

    The body is the held-out clips' own distribution, between them interpolated. Above its 90 % quantile,
    where few clips are left and pAUC is decided, a gamma distribution goes on, fitted by mean, spread and
    skewness (Pearson's type III; the DCASE baselines fit a gamma to training scores for their thresholds). It
    keeps rising, so that anomalies beyond every held-out clip don't tie.
    """

    knots: tuple[float, ...]  # held-out scores up to the tail, sorted, without doubles
    shares: tuple[float, ...]  # of held-out clips below each knot, ties counting half
    scale: Standard
    skew: float

    @classmethod
    def of(cls, held_out: ArrayLike) -> "GammaTail":
        """The distribution of held-out scores [N]; HumtuneError as `Standard.of`."""
        scale = Standard.of(held_out)
        scores = np.sort(_finite(held_out))
        knots, first, counts = np.unique(scores, return_index=True, return_counts=True)
        shares = (first + counts / 2) / scores.size
        body = (shares <= BODY) | (np.arange(knots.size) == 0)
        return cls(tuple(knots[body].tolist()), tuple(shares[body].tolist()), scale, _skewness(scores))

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Calibrated scores, of the same shape: 1.28 where one in ten normal clips lies above."""
        from scipy.special import ndtri, ndtri_exp  # here: a threshold alone does without scipy's import time

        scores = np.asarray(scores, np.float64)
        z, first, last = self.scale(scores), self.scale(self.knots[0]), float(self.scale(self.knots[-1]))
        body = np.interp(scores, self.knots, ndtri(np.array(self.shares)))
        end = float(self.scale(self.end))
        log_share = self._log_survival(np.clip(z, last, end)) - self._log_survival(last)
        tail = -ndtri_exp(np.log1p(-self.shares[-1]) + log_share)
        # A straight line beyond both ends, where no distribution is left to measure by.
        return np.asarray(np.where(z > last, tail, body) + np.minimum(z - first, 0) + np.maximum(z - end, 0))

    @property
    def end(self) -> float:
        """The score at which the gamma tail ends and a straight line begins."""
        return max(self.knots[-1], self.scale.mean + self.scale.spread * float(self._tail.isf(_LEAST_SHARE)))

    def _log_survival(self, z: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(np.log(np.maximum(self._tail.sf(z), _LEAST_SHARE)))

    @property
    def _tail(self) -> Any:
        """The gamma distribution of mean 0, standard deviation 1 and this skewness."""
        from scipy.stats import gamma

        return gamma(4 / self.skew**2, loc=-2 / self.skew, scale=self.skew / 2)


Calibration = Standard | Compressed | GammaTail  # of an ensemble's member


@dataclass(frozen=True)
class Fusion:
    """One score out of several types t, without labels: min_t (s_t − centre_t) / spread_t.

    A clip is strange where even the score type that finds it most ordinary says so. `centre` and `spread` are
    each type's `Standard`, so that its unit and offset don't count.
    """

    centre: dict[str, float]
    spread: dict[str, float]

    @classmethod
    def of(cls, scores: Mapping[str, ArrayLike], held_out: NDArray[np.intp] | slice = slice(None)) -> Self:
        """The fusion of score types by their scores [N] of the clips `held_out`, indices into them.

        HumtuneError with fewer than two types, or for one with no `Standard`.
        """
        if len(scores) < 2:
            raise HumtuneError(f"fusion joins two or more score types, got {', '.join(scores) or 'none'}")
        scales = {}
        for name, vector in scores.items():
            try:
                scales[name] = Standard.of(np.asarray(vector)[held_out])
            except HumtuneError as error:
                raise HumtuneError(f"fusion of {name}: {error}") from error
        return cls(
            {name: scale.mean for name, scale in scales.items()},
            {name: scale.spread for name, scale in scales.items()},
        )

    def __call__(self, scores: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Fusion scores float64 [N] of clips with scores [N] of each type; HumtuneError where one is NaN."""
        rows = []
        for name, centre in self.centre.items():
            vector = np.asarray(scores[name], np.float64)
            if np.isnan(vector).any():
                raise HumtuneError(f"fusion: a clip's {name} score is nan")
            rows.append(Standard(centre, self.spread[name])(vector))
        return np.asarray(np.min(rows, axis=0))


def ranks(scores: ArrayLike, section: NDArray[np.integer]) -> NDArray[np.float64]:
    """Ranks within the section over its number of clips plus one, 0…1; ties share their mean rank.

    Scores [..., N] and the section [N] of each clip. Transductive: a clip's rank depends on which clips are
    scored with it. For other people's score files, which come without held-out clips.
    """
    from scipy.stats import rankdata  # here: who only scores needs no scipy

    scores = np.asarray(scores, np.float64)
    found = np.empty_like(scores)
    for number in np.unique(section):
        here = section == number
        found[..., here] = rankdata(scores[..., here], axis=-1) / (np.count_nonzero(here) + 1)
    return found


def _skewness(held_out: NDArray[np.float64]) -> float:
    return float(np.clip(np.mean(Standard.of(held_out)(held_out) ** 3), *_SKEW))


def _finite(held_out: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(held_out, np.float64).ravel()
    if not np.isfinite(scores).all():
        raise HumtuneError(f"a held-out normal clip has the score {scores[~np.isfinite(scores)][0]}")
    return scores
