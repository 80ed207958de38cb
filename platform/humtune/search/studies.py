"""Studies: one Optuna study per machine, in memory, rebuilt from the ledger whenever a search starts.

Asks what to try next, says when a trial may be stopped, is told how trials end. Knows no Ray.
"""

import warnings
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

from humtune.ledger import CONFIRM, Ledger, Origin, ParamValue, TrialRecord, TrialState, machine_of, trial_id
from humtune.search.grid import Run
from humtune.search.machine_study import MachineStudy, Running
from humtune.search.space import TRIALS, Space

RESTARTS = 2  # of a trial whose process died: once for bad luck, once more to be sure


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
        plan = self.ledger.plan
        this = MachineStudy(
            machine=machine,
            study=study,
            quota=quota,
            confirm=plan.confirm,
            seeds=plan.confirm_seeds,
            first_seed=self.space.seed,
        )
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
        had = [Run(record.params, record.config.seed) for record in records if record.origin != CONFIRM]
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
        this.next_number = max(this.next_number, record.number + 1)
        if not record.readable:  # nothing is known but that it was
            this.ended[record.id] = record
            return
        if record.origin == CONFIRM:
            if record.state == TrialState.RUNNING:
                this.interrupted.append(Running(None, record, epoch=len(record.epochs)))
            else:
                this.ended[record.id] = record
            return
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

    def ask(self) -> TrialRecord | None:
        """The next trial, of the machine that is furthest behind; None where there is none to start now.

        The search goes before confirmation, which begins for a machine when the last of its trials ended.
        """
        waiting = [m for m in self.machines.values() if m.started < m.quota]
        if waiting:
            this = min(waiting, key=lambda m: m.started / m.quota)
            running = this.unfinished.pop(0) if this.unfinished else self._sampled(this)
        else:
            waiting = [m for m in self.machines.values() if m.is_searched and (m.interrupted or m.due)]
            if not waiting:
                return None
            this = waiting[0]
            running = this.interrupted.pop(0) if this.interrupted else self._confirming(this)
        this.running[running.record.id] = running
        return running.record

    @property
    def over(self) -> bool:
        """Whether no trial will be asked for any more, however those that run will end."""
        return all(machine.is_asked for machine in self.machines.values())

    @property
    def any_running(self) -> bool:
        """Whether a trial runs."""
        return any(machine.running for machine in self.machines.values())

    def again(self, trial: str) -> bool:
        """Ask for a trial once more whose process died; False where it has died too often."""
        this = self.machines[machine_of(trial)]
        running = this.running[trial]
        if running.restarts == RESTARTS:
            return False
        del this.running[trial]
        running.restarts += 1
        (this.unfinished if running.trial else this.interrupted).append(running)
        return True

    def _sampled(self, this: MachineStudy) -> Running:
        trial = self._ask(this.study)
        run = Run(trial.params, trial.user_attrs.get("seed", self.space.seed + this.next_number))
        origin = trial.user_attrs.get("origin", "sampler")
        return Running(trial, self._record(this, run, origin=origin))

    def _confirming(self, this: MachineStudy) -> Running:
        """One of the best again; Optuna hears nothing of it, as its study holds one trial a choice."""
        return Running(None, self._record(this, this.due[0], origin=CONFIRM))

    def _ask(self, study: optuna.Study) -> optuna.Trial:
        """A trial with all its parameters chosen: which there are depends on those before."""
        trial = study.ask()
        self.space.draw(partial(suggest, trial))
        return trial

    def _record(self, this: MachineStudy, run: Run, *, origin: Origin) -> TrialRecord:
        number = this.next_number
        this.next_number += 1
        return TrialRecord(
            id=trial_id(this.machine, number),
            machine=this.machine,
            number=number,
            origin=origin,
            params=run.params,
            config=self.space.config(run.params, machine=this.machine, seed=run.seed),
            judged_by=self.judged_by.get(this.machine, "omega"),
            started=time(),
        )

    def is_running(self, trial: str) -> bool:
        """Whether a trial has been asked for and has not ended."""
        return trial in self.machines[machine_of(trial)].running

    def running(self, trial: str) -> Running:
        """A trial that runs."""
        return self.machines[machine_of(trial)].running[trial]

    def report(self, trial: str, epoch: int, seconds: float, objective: float | None) -> bool:
        """Take an epoch; whether the trial should be stopped: first points and what confirms never are."""
        running = self.running(trial)
        again = epoch <= running.epoch  # since its checkpoint, in a process that died
        running.epoch = max(epoch, running.epoch)
        self.epochs_run += 1
        self.seconds_run += seconds
        if objective is None or running.trial is None:
            return False
        if not again:
            running.trial.report(objective, epoch)
        return running.trial.should_prune() and running.record.origin != "first"

    def end(self, record: TrialRecord) -> None:
        """Take a trial that is complete, was stopped, or failed; a second time changes nothing."""
        this = self.machines[record.machine]
        running = this.running.pop(record.id, None)
        if running is not None:
            if running.trial:
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
        trials = sum(m.left for m in machines)
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
