"""Scores made comparable by the other clips of the test set, where a system's training scores are unknown.

Transductive: a clip's value depends on which clips are scored with it, so none of these works on one clip at
a time. They are for other people's score files; a detector of ours is calibrated by held-out clips.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from humtune.evaluation.cells import Array

Calibration = Callable[[ArrayLike, NDArray[np.integer]], Array]


def ranks(scores: ArrayLike, section: NDArray[np.integer]) -> Array:
    """Ranks within the section over its number of clips plus one, 0…1; ties share their mean rank.

    Scores [..., N] and the section [N] of each clip.
    """

    def rank(here: Array) -> Array:
        return np.asarray(rankdata(here, axis=-1) / (here.shape[-1] + 1))

    return _within(rank, scores, section)


def gaussian(scores: ArrayLike, section: NDArray[np.integer]) -> Array:
    """Ranks as quantiles of the normal distribution: both tails stretched."""
    return np.asarray(ndtri(ranks(scores, section)))


def logit(scores: ArrayLike, section: NDArray[np.integer]) -> Array:
    """Log-odds of the ranks: tails stretched further."""
    r = ranks(scores, section)
    return np.asarray(np.log(r) - np.log1p(-r))


def tail(scores: ArrayLike, section: NDArray[np.integer]) -> Array:
    """−ln(1 − rank): only the anomalous tail stretched, where pAUC is decided (Fisher's sum of surprises)."""
    return np.asarray(-np.log1p(-ranks(scores, section)))


def standard(scores: ArrayLike, section: NDArray[np.integer]) -> Array:
    """z-scores within the section; zero where all its scores are equal."""

    def z(here: Array) -> Array:
        centred = here - here.mean(axis=-1, keepdims=True)
        spread = here.std(axis=-1, keepdims=True)
        return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0))

    return _within(z, scores, section)


CALIBRATIONS: Mapping[str, Calibration] = MappingProxyType(
    {f.__name__: f for f in (ranks, gaussian, logit, tail, standard)}
)


def _within(function: Callable[[Array], Array], scores: ArrayLike, section: NDArray[np.integer]) -> Array:
    scores = np.asarray(scores, np.float64)
    found = np.empty_like(scores)
    for number in np.unique(section):
        found[..., section == number] = function(scores[..., section == number])
    return found
