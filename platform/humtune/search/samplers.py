"""Optuna's samplers and pruners by the names that a space calls them, and how trials are drawn and told."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState as OptunaState

from humtune.records import ParamValue, TrialRecord, TrialState
from humtune.search.space import Space
from humtune.search.space.space import TRIALS

REDUCTION = 2  # of the trials that reach a rung, one in so many goes on
UNLIKELY = 0.1  # p of a curve that is no worse than the best one's, below which Wilcoxon's test stops it


def sampler(space: Space, *, seed: int, trials: int | None = None) -> BaseSampler:
    """The space's sampler, for so many trials of a study; None: as many as the space says for a machine.

    The seed differs from run to run, so that no draw is repeated.
    """
    startup = min(10, max(2, (trials or space.trials or TRIALS) // 3))
    match space.sampler:
        case "tpe" | "bandit":
            with experiments():
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
            with experiments():
                return WilcoxonPruner(p_threshold=UNLIKELY, n_startup_steps=2)
        case _:
            return NopPruner()


@contextmanager
def experiments() -> Iterator[None]:
    """Take what Optuna calls experimental without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> ParamValue:
    """The value of one parameter, drawn where it is not given."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
    raise TypeError(f"{name}: {distribution}")


def tell(study: optuna.Study, trial: optuna.Trial, record: TrialRecord) -> None:
    """Tell Optuna how a trial ended."""
    state, value = end_of(record)
    study.tell(trial, value, state=state)


def end_of(record: TrialRecord) -> tuple[OptunaState, float | None]:
    """How a trial ended, as Optuna has it: stopped ones as PRUNED, which no sampler mistakes for whole."""
    if record.state == TrialState.COMPLETE:
        return OptunaState.COMPLETE, record.objective
    return OptunaState.PRUNED if record.state == TrialState.PRUNED else OptunaState.FAIL, None


def rungs_of(record: TrialRecord, rungs: Sequence[int]) -> dict[int, float]:
    """What the trial is judged by at those of the rungs that it has reached."""
    return {epoch: value for epoch, value in measured(record).items() if epoch in rungs}


def measured(record: TrialRecord) -> dict[int, float]:
    """What the trial is judged by, at the epochs after which it was measured."""
    name = record.judged_by
    return {e.epoch: e.metrics[name] for e in record.epochs if name in e.metrics}
