"""The ways of joining detectors without labels that `without_labels.py` holds against each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr
from scipy.stats import rankdata

from humtune.metrics.calibration import BEND, GammaTail, Standard
from humtune.metrics.cells import Array
from humtune.results.ensembles.agreement import by_agreement

SURPRISE = 460.0  # nats, the highest that one detector may say


@dataclass(frozen=True, eq=False)
class Blind:
    """Detectors and recordings, of which nobody knows a label."""

    raw: Array  # [K, N]
    trial: Sequence[str]  # [K]; the score types of one share a network
    family: Sequence[str]  # [K]
    pseudo: Array  # [K], NaN where nobody measured it
    groups: Sequence[NDArray[np.intp]]  # clips that are scaled together: all, or a section's
    healthy: NDArray[np.intp]  # those that scales are taken from
    known: NDArray[np.intp]  # those that agreement is measured on: the healthy ones, and disturbed ones
    test: NDArray[np.intp]

    def scaled(self, scale: type[Standard] | type[GammaTail] = Standard) -> Array:
        """Scores [K, N] by the healthy clips."""
        found = np.full_like(self.raw, np.nan)
        for group in self.groups:
            healthy = np.intersect1d(group, self.healthy)
            for row, scores in zip(found, self.raw, strict=True):
                row[group] = scale.of(scores[healthy])(scores[group])
        return found

    def alike(self, *keys: Sequence[str]) -> Array:
        """Equal weights [K] of what the first key names, within each of what the second names, and so on."""
        weights = np.ones(len(self.raw))
        names = [""] * len(weights)
        for key in (*keys, [str(k) for k in range(len(weights))]):
            within = names
            names = [f"{name}/{own}" for name, own in zip(names, key, strict=True)]
            for parent in set(within):
                children = {n for n, p in zip(names, within, strict=True) if p == parent}
                weights[[p == parent for p in within]] /= len(children)
        return weights


def compressed(z: Array) -> Array:
    """What `Compressed` makes of deviations."""
    return np.asarray(np.arcsinh(z / BEND))


def surprise(z: Array) -> Array:
    """−ln of the share of healthy clips beyond, were they normal (Fisher's sum of surprises)."""
    return np.asarray(np.minimum(-log_ndtr(-z), SURPRISE))


def by_trial(blind: Blind, scores: Array, join: Callable[[Array], Array]) -> Array:
    """The mean over trials of their score types' joint score."""
    trial = np.array(blind.trial)
    return np.mean([join(scores[trial == name]) for name in dict.fromkeys(blind.trial)], axis=0)


def spectral(blind: Blind, scores: Array) -> Array:
    """Weights by the leading eigenvector of the rank correlations (Parisi et al. 2014)."""
    correlation = np.corrcoef(rankdata(scores, axis=1))
    np.fill_diagonal(correlation, 0)
    for _ in range(30):
        values, vectors = np.linalg.eigh(correlation)
        skill = vectors[:, -1] * np.sqrt(max(values[-1], 0))
        np.fill_diagonal(correlation, skill**2)
    return blind.alike(blind.trial) * np.maximum(skill * np.sign(skill.sum()), 0)


def select_vertical(blind: Blind, scores: Array) -> Array:
    """SELECT (Rayana and Akoglu 2016): those that, one by one, bring their mean closer to that of all."""
    ranked = rankdata(scores, axis=1)
    target = blind.alike(blind.trial) @ ranked
    order = np.argsort([-np.corrcoef(row, target)[0, 1] for row in ranked], kind="stable")
    taken, closest = [order[0]], np.corrcoef(ranked[order[0]], target)[0, 1]
    for k in order[1:]:
        close = np.corrcoef(ranked[[*taken, k]].mean(axis=0), target)[0, 1]
        if close > closest:
            taken, closest = [*taken, k], close
    return np.bincount(taken, minlength=len(ranked)) / len(taken)


def best_by_pseudo(blind: Blind, count: int) -> Array:
    """Equal weights of the best trials by pseudo-Ω, each with its best score type."""
    best: dict[str, int] = {}
    for k in np.argsort(-blind.pseudo, kind="stable").tolist():
        best.setdefault(blind.trial[k], k)
    return np.bincount(list(best.values())[:count], minlength=len(blind.raw)).astype(np.float64)


def ways(blind: Blind) -> dict[str, Array]:
    """Way of joining -> the score [N]."""
    z, gamma = blind.scaled(), blind.scaled(GammaTail)
    soft, trials = compressed(z), blind.alike(blind.trial)
    families = blind.alike(blind.family, blind.trial)
    agreeing = by_agreement(soft[:, blind.known], blind.trial)
    found = {
        "mean": trials @ z,
        "mean of gamma tails": trials @ gamma,
        "mean, families alike": families @ z,
        "median": np.median(z, axis=0),
        "minimum": z.min(axis=0),
        "maximum": z.max(axis=0),
        "mean of each trial's minimum": by_trial(blind, z, lambda s: s.min(axis=0)),
        "compressed mean": trials @ soft,
        "compressed mean, families alike": families @ soft,
        "sum of surprises": trials @ surprise(z),
        "mean by agreement": by_agreement(z[:, blind.known], blind.trial) @ z,
        "surprises by agreement": agreeing @ surprise(z),
        "**compressed, by agreement**": agreeing @ soft,
        "the same, to the first power": by_agreement(soft[:, blind.known], blind.trial, power=1) @ soft,
        "the same, on the test clips": by_agreement(soft[:, blind.test], blind.trial) @ soft,
        "spectral weights": spectral(blind, soft[:, blind.known]) @ soft,
        "SELECT": select_vertical(blind, soft[:, blind.known]) @ soft,
    }
    if np.isfinite(blind.pseudo).all():
        above = blind.pseudo > 0.5
        found["without those below chance by pseudo-Ω"] = (trials * above) @ soft
        found["by pseudo-Ω over chance"] = (trials * np.maximum(blind.pseudo - 0.5, 0)) @ soft
        found["five best by pseudo-Ω"] = best_by_pseudo(blind, 5) @ gamma
        found["best by pseudo-Ω"] = best_by_pseudo(blind, 1) @ gamma
    return found
