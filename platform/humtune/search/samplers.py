"""Optuna's samplers and pruners, by the names that a space calls them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from humtune.search.space import TRIALS, Space

REDUCTION = 2  # of the trials that reach a rung, one in so many goes on
UNLIKELY = 0.1  # p of a curve that is no worse than the best one's, below which Wilcoxon's test stops it


def sampler(space: Space, *, seed: int, trials: int | None = None) -> BaseSampler:
    """The space's sampler, for so many trials of a study; None: as many as the space says for a machine.

    The seed differs from sitting to sitting, so that no draw is repeated.
    """
    startup = min(10, max(2, (trials or space.trials or TRIALS) // 3))
    match space.sampler:
        case "tpe":
            with _experiments():
                return TPESampler(
                    multivariate=True, group=True, constant_liar=True, n_startup_trials=startup, seed=seed
                )
        case "gp":
            return GPSampler(n_startup_trials=startup, seed=seed)
        case _:  # of a grid or list, it is never asked
            return RandomSampler(seed=seed)


def pruner(space: Space) -> BasePruner:
    """The space's pruner, with the space's rungs."""
    first = next(iter(space.rungs), space.epochs)
    match space.stopped_by:
        case "successive_halving":
            return SuccessiveHalvingPruner(min_resource=first, reduction_factor=REDUCTION)
        case "hyperband":
            return HyperbandPruner(min_resource=first, max_resource=space.epochs, reduction_factor=REDUCTION)
        case "median":
            return MedianPruner(n_startup_trials=4, n_warmup_steps=first - 1)
        case "wilcoxon":
            with _experiments():
                return WilcoxonPruner(p_threshold=UNLIKELY, n_startup_steps=2)
        case _:
            return NopPruner()


@contextmanager
def _experiments() -> Iterator[None]:
    """Take what Optuna calls experimental without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
