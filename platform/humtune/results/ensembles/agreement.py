"""Weights that need no labels: all detectors score together, and count as far as they agree with the rest.

A detector that has learnt something is strange about the same recordings as others that have; one that has
learnt nothing agrees with nobody. How this was chosen: docs/without-labels.md.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from humtune.metrics.cells import Array

LEAST = 10  # recordings: of fewer, agreement is luck
POWER = 2  # of the rank correlation with the rest
ROUNDING = 1e-9  # of the scores' size: what differs by less says nothing
MOST = 16  # trials that score together where nobody says how many: those that count most
BLOCK = 512  # scores that are held against all at once: there may be tens of thousands
COPIES = 0.999  # linear correlation of two scores above which they are one detector, found twice


def by_agreement(scores: ArrayLike, trials: Sequence[Hashable], *, power: float = POWER) -> Array:
    """Weights [K], sum 1, of calibrated scores [K, N] of N recordings, no label of which is known.

    `trials` [K] names the detector of each score: all detectors have equal shares, and so have the scores of
    each; copies share one. A share counts with the rank correlation, to the `power`, of its score with the
    mean of the others, its own detector's and its copies' left out. Where nobody agrees, or there are too few
    recordings to tell, detectors have equal shares.
    """
    scores = np.asarray(scores, np.float64)
    trial = np.unique([str(t) for t in trials], return_inverse=True)[1]
    if scores.shape[1] < LEAST:
        return np.asarray(1 / np.bincount(trial)[trial] / (trial.max() + 1))
    from scipy.stats import rankdata  # here: most of a second to import, which a search itself does without

    copy = copies(scores)
    both = np.unique(np.stack([trial, copy]), axis=1, return_inverse=True)[1].ravel()
    shares = _shares(trial, copy)
    ranked = _normalised(rankdata(scores, axis=1))
    said = shares[:, None] * ranked
    rest = said.sum(axis=0) - _sums(said, trial) - _sums(said, copy) + _sums(said, both)
    agreement = (ranked * _normalised(rest)).sum(axis=1)
    weights = shares * np.maximum(agreement, 0) ** power
    return np.asarray(weights / weights.sum() if weights.any() else shares / shares.sum())


def copies(scores: ArrayLike) -> NDArray[np.intp]:
    """The group [K] of each score [K, N]: equal for those that differ by scale and noise alone."""
    rows = _normalised(np.asarray(scores, np.float64)).astype(np.float32)
    group = np.zeros(0, np.intp)  # of the rows before
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        groups = group.max(initial=-1) + 1
        group = np.concatenate([group, groups + np.arange(len(block))])  # each its own, to begin with
        order = np.argsort(group, kind="stable")
        first = np.searchsorted(group[order], np.arange(groups + len(block)))
        alike = (block @ rows[: len(group)].T > COPIES)[:, order]
        row, other = np.nonzero(np.logical_or.reduceat(alike, first, axis=1))
        links = coo_array((np.ones(len(row)), (groups + row, other)), shape=(len(first), len(first)))
        group = connected_components(links)[1][group].astype(np.intp)
    return group


def heaviest(weights: Array, trials: Sequence[Hashable], members: int) -> Array:
    """The weights [K] of the `members` heaviest trials, sum 1; the others' are 0."""
    trial = np.unique([str(t) for t in trials], return_inverse=True)[1]
    taken = np.argsort(-np.bincount(trial, weights), kind="stable")[:members]
    kept = np.where(np.isin(trial, taken), weights, 0)
    return np.asarray(kept / kept.sum())


def _shares(trial: NDArray[np.intp], copy: NDArray[np.intp]) -> Array:
    """Equal shares of trials, a trial's of its scores; copies have together what the greatest of them has."""
    shares = 1 / np.bincount(trial)[trial]
    both, of = np.unique(np.stack([copy, trial]), axis=1, return_inverse=True)
    own = np.bincount(of.ravel(), shares)  # what a trial has of a group of copies
    greatest = np.zeros(copy.max() + 1)
    np.maximum.at(greatest, both[0], own)
    return np.asarray(shares * (greatest / np.bincount(both[0], own))[copy])


def _sums(rows: Array, group: NDArray[np.intp]) -> Array:
    """Beside each row [K, N] the sum of its group's."""
    found = np.zeros((group.max() + 1, rows.shape[1]))
    np.add.at(found, group, rows)
    return np.asarray(found[group])


def _normalised(rows: Array) -> Array:
    """Rows [K, N] with mean 0 and length 1; of equal numbers 0."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    told = length > ROUNDING * np.maximum(1, np.abs(rows).max(axis=1, keepdims=True))
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=told))
