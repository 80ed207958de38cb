"""Studies: one Optuna study per machine, in memory, rebuilt from the ledger whenever a search starts.

Asks what to try next, says when a trial may be stopped, is told how trials end. Knows no Ray.
"""

import warnings
from dataclasses import dataclass, field
from functools import partial
from time import time

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState as OptunaState

from humtune.ledger import Ledger, ParamValue, TrialRecord, TrialState, machine_of, trial_id
from humtune.search.grid import Run
from humtune.search.space import TRIALS, Space


@dataclass
class Running:
    """A trial that has been asked for and has not ended."""

    trial: optuna.Trial
    record: TrialRecord
    epoch: int = 0


@dataclass
class MachineStudy:
    """One machine's study and where its trials stand."""

    machine: str
    study: optuna.Study
    quota: int
    running: dict[str, Running] = field(default_factory=dict)
    ended: dict[str, TrialRecord] = field(default_factory=dict)
    unfinished: list[Running] = field(default_factory=list)  # of an earlier sitting, not yet asked for
    next_number: int = 0

    @property
    def started(self) -> int:
        """Trials that run or have ended."""
        return len(self.running) + len(self.ended)

    @property
    def ranking(self) -> list[TrialRecord]:
        """The trials that ran their whole budget, best first."""
        complete = [r for r in list(self.ended.values()) if r.state == TrialState.COMPLETE]
        return sorted(complete, key=lambda r: (-r.objective, r.number))

    @property
    def best(self) -> TrialRecord | None:
        """The best trial that ran its whole budget."""
        return next(iter(self.ranking), None)


class Studies:
    """All machines' studies of one search."""

    def __init__(self, ledger: Ledger, space: Space) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        plan = ledger.plan
        self.ledger = ledger
        self.space = space
        self.judged_by = plan.judged_by
        self.epochs_run = 0  # in this sitting, with the seconds they took: what time is left is told from it
        self.seconds_run = 0.0
        self.machines = {m: self._study(m, plan.quota(m), number) for number, m in enumerate(plan.machines)}

    def _study(self, machine: str, quota: int, number: int) -> MachineStudy:
        records = list(self.ledger.records(machine))
        study = optuna.create_study(
            study_name=f"{self.ledger.name}/{machine}",
            direction="maximize",
            sampler=RandomSampler(),  # while rebuilding: it is never asked, and costs nothing
            pruner=pruner(self.space),
        )
        this = MachineStudy(machine=machine, study=study, quota=quota)
        for record in records:
            self._replay(this, record)
        study.sampler = sampler(self.space, seed=self.space.seed + 1000 * number + len(records))
        if self.space.enumerated:
            self._enqueue_runs(this, records)
        else:
            self._enqueue_first(this, records)
        return this

    def _enqueue_runs(self, this: MachineStudy, records: list[TrialRecord]) -> None:
        """What is left of a grid or list: a point is had with the seed that its trial got."""
        had = [Run(record.params, record.config.seed) for record in records]
        origin = "grid" if self.space.sampler == "grid" else "first"
        for run in self.space.runs(this.machine):
            if run not in had:
                this.study.enqueue_trial(run.params, user_attrs={"origin": origin, "seed": run.seed})

    def _enqueue_first(self, this: MachineStudy, records: list[TrialRecord]) -> None:
        """The first points that no trial had; what one leaves open is the sampler's to choose."""
        tried = [r.params for r in records if r.origin == "first"]
        for point in self.space.first_points(this.machine):
            if not any(point.items() <= params.items() for params in tried):
                this.study.enqueue_trial(point, user_attrs={"origin": "first"})

    def _replay(self, this: MachineStudy, record: TrialRecord) -> None:
        """Live through a trial again, so that sampler and pruner know what they knew."""
        this.study.enqueue_trial(record.params)
        trial = self._ask(this.study)
        for epoch, objective in rungs_of(record).items():
            trial.report(objective, epoch)
            trial.should_prune()  # a rung is entered by asking
        if record.state == TrialState.RUNNING:
            this.unfinished.append(Running(trial, record, epoch=len(record.epochs)))
        else:
            tell(this.study, trial, record)
            this.ended[record.id] = record
        this.next_number = max(this.next_number, record.number + 1)

    def ask(self) -> TrialRecord | None:
        """The next trial, of the machine that is furthest behind; None when every machine has its quota."""
        waiting = [m for m in self.machines.values() if m.started < m.quota]
        if not waiting:
            return None
        this = min(waiting, key=lambda m: m.started / m.quota)
        if this.unfinished:
            running = this.unfinished.pop(0)
        else:
            trial = self._ask(this.study)
            running = Running(trial, self._record(this.machine, this.next_number, trial))
            this.next_number += 1
        this.running[running.record.id] = running
        return running.record

    def _ask(self, study: optuna.Study) -> optuna.Trial:
        """A trial with all its parameters chosen: which there are depends on those before."""
        trial = study.ask()
        self.space.draw(partial(suggest, trial))
        return trial

    def _record(self, machine: str, number: int, trial: optuna.Trial) -> TrialRecord:
        return TrialRecord(
            id=trial_id(machine, number),
            machine=machine,
            number=number,
            origin=trial.user_attrs.get("origin", "sampler"),
            params=trial.params,
            config=self.space.config(
                trial.params, machine=machine, seed=trial.user_attrs.get("seed", self.space.seed + number)
            ),
            judged_by=self.judged_by.get(machine, "omega"),
            started=time(),
        )

    def running(self, trial: str) -> Running:
        """A trial that runs."""
        return self.machines[machine_of(trial)].running[trial]

    def report(self, trial: str, epoch: int, seconds: float, objective: float | None) -> bool:
        """Take an epoch; whether the trial should be stopped. First points run to their end."""
        running = self.running(trial)
        again = epoch <= running.epoch  # since its checkpoint, in a process that died
        running.epoch = max(epoch, running.epoch)
        self.epochs_run += 1
        self.seconds_run += seconds
        if objective is None:
            return False
        if not again:
            running.trial.report(objective, epoch)
        return running.trial.should_prune() and running.record.origin != "first"

    def end(self, record: TrialRecord) -> None:
        """Take a trial that is complete, was stopped, or failed; a second time changes nothing."""
        this = self.machines[record.machine]
        running = this.running.pop(record.id, None)
        if running is not None:
            tell(this.study, running.trial, record)
            this.ended[record.id] = record
            for epoch in record.epochs[running.epoch :]:
                self.epochs_run += 1
                self.seconds_run += epoch.seconds

    def seconds_left(self, slots: int) -> float | None:
        """Time until the quota is reached, by the epochs of this sitting; None before the first one."""
        if not self.epochs_run:
            return None
        machines = list(self.machines.values())
        trials = sum(max(0, m.quota - len(m.ended)) for m in machines)
        begun = sum(r.epoch for m in machines for r in list(m.running.values()))
        return (trials * self.space.epochs - begun) * self.seconds_run / self.epochs_run / slots


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
    """Tell Optuna how a trial ended: stopped ones as PRUNED, so that no sampler mistakes them for whole."""
    if record.state == TrialState.COMPLETE:
        study.tell(trial, record.objective)
    else:
        study.tell(trial, state=OptunaState.PRUNED if record.state == TrialState.PRUNED else OptunaState.FAIL)


def rungs_of(record: TrialRecord) -> dict[int, float]:
    """What the trial is judged by, by epoch, where it was measured before the end."""
    last, name = record.config.training.epochs, record.judged_by
    return {e.epoch: e.metrics[name] for e in record.epochs if name in e.metrics and e.epoch < last}


def sampler(space: Space, *, seed: int) -> BaseSampler:
    """The space's sampler. The seed differs from sitting to sitting, so that no draw is repeated."""
    if space.sampler != "tpe":  # of a grid or list, it is never asked
        return RandomSampler(seed=seed)
    startup = min(10, max(2, (space.trials or TRIALS) // 3))
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return TPESampler(multivariate=True, group=True, constant_liar=True, n_startup_trials=startup, seed=seed)


def pruner(space: Space) -> BasePruner:
    """The space's pruner, with the space's rungs."""
    first = next(iter(space.rungs), space.epochs)
    match space.pruner:
        case "successive_halving":
            return SuccessiveHalvingPruner(min_resource=first, reduction_factor=2)
        case "hyperband":
            return HyperbandPruner(min_resource=first, max_resource=space.epochs, reduction_factor=2)
        case "median":
            return MedianPruner(n_startup_trials=4, n_warmup_steps=first - 1)
        case _:
            return NopPruner()
