"""Studies: one Optuna study per machine and one of shared trials, in memory.

Rebuilt from the ledger whenever a search starts. Asks what to try next, says when a trial may be stopped, is
told how trials end. Knows no Ray.
"""

from functools import partial
from statistics import mean
from time import time
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from pydantic import ValidationError

from humtune.config import SHARED
from humtune.detectors.recipe import Recipe, recipe_of
from humtune.ledger import Ledger
from humtune.records import (
    CONFIRM,
    OnMachine,
    Origin,
    TrialRecord,
    TrialState,
    machine_of,
    trial_id,
)
from humtune.search.machine_study import MachineStudy, Running
from humtune.search.samplers import pruner, rungs_of, sampler, suggest, tell
from humtune.search.space import Space
from humtune.search.space.grid import Point, Run
from humtune.search.space.space import TRANSFER_EVERY
from humtune.search.warm import PriorTrials, prior_trials

RESTARTS = 2  # of a trial whose process died: once for bad luck, once more to be sure


class Studies:
    """All studies of one search: each machine's and, where there are shared trials, SHARED."""

    def __init__(self, ledger: Ledger, space: Space) -> None:
        plan = ledger.plan
        self.ledger = ledger
        self.superseded = False  # whether another run has taken over
        self.space = space
        self.rungs = space.rungs  # asked of the space once: it makes a recipe of every family each time
        self.budget = mean(recipe.budget for recipe in space.recipes)
        self.plan = plan
        self.epochs_run = 0  # in this run, with the seconds they took: what time is left is estimated from it
        self.seconds_run = 0.0
        self.machines = {m: self._study(m, plan.quota(m), number) for number, m in enumerate(plan.studies)}

    def _study(self, machine: str, quota: int, number: int) -> MachineStudy:
        records = list(self.ledger.records(machine))
        study = optuna.create_study(
            study_name=f"{self.ledger.name}/{machine}",
            direction="maximize",
            sampler=RandomSampler(),  # while rebuilding: it is never asked, and costs nothing
            pruner=pruner(self.space),
        )
        plan = self.plan
        this = MachineStudy(
            machine=machine,
            study=study,
            quota=quota,
            confirm=plan.asked.confirm,
            seeds=plan.asked.confirm_seeds,
            first_seed=self.space.seed,
        )
        prior = prior_trials(self.ledger, machine)
        for record in prior.observed:
            tell(study, self._relive(study, record), record)
        for record in records:
            self._replay(this, record)
        study.sampler = sampler(
            self.space,
            seed=self.space.seed + 1000 * number + len(records),
            trials=quota if plan.is_shared(machine) else None,
        )
        if self.space.enumerated:
            self._enqueue_runs(this, records)
        else:
            self._enqueue_first(this, records, prior)
        return this

    def _enqueue_runs(self, this: MachineStudy, records: list[TrialRecord]) -> None:
        """What is left of a grid or list: a point is had with the seed that its trial got."""
        had = [Run(record.params, record.seed) for record in records if record.origin != CONFIRM]
        origin = "grid" if self.space.sampler == "grid" else "first"
        for run in self.space.runs(this.machine):
            if run not in had:
                this.study.enqueue_trial(run.params, user_attrs={"origin": origin, "seed": run.seed})

    def _enqueue_first(self, this: MachineStudy, records: list[TrialRecord], prior: PriorTrials) -> None:
        """The first points that no trial had; what one leaves open is the sampler's to choose."""
        had = [r.params for r in records if r.origin in ("first", "warm")]
        for origin, points in (("first", self.space.first_points(this.machine)), ("warm", prior.points)):
            for point in points:
                if not any(point.items() <= params.items() for params in had):
                    this.study.enqueue_trial(point, user_attrs={"origin": origin})
                    had.append(point)

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
        trial = self._relive(this.study, record)
        if record.state == TrialState.RUNNING:
            this.unfinished.append(Running(trial, record, epoch=len(record.epochs)))
        else:
            tell(this.study, trial, record)
            this.ended[record.id] = record

    def _relive(self, study: optuna.Study, record: TrialRecord) -> optuna.Trial:
        """The trial as the study knew it before it was told the end."""
        study.enqueue_trial(record.params)
        trial = self._ask(study, record.machine)
        for epoch, objective in rungs_of(record, self.rungs).items():
            trial.report(objective, epoch)
            trial.should_prune()  # a rung is entered by asking
        return trial

    def ask(self) -> TrialRecord | None:
        """The next trial, of the machine that is furthest behind; None where there is none to start now.

        The search goes before confirmation, which begins for a machine when the last of its trials ended.
        """
        waiting = [m for m in self.machines.values() if m.started < m.quota]
        if waiting:
            waiting = [m for m in waiting if self._may_begin(m)]
            if not waiting:
                return None
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

    def _may_begin(self, this: MachineStudy) -> bool:
        """Whether a study's trials know what they start from: the best shared one, when all have ended."""
        shared = self._shared
        return not self.space.starting_shared or shared is None or this is shared or shared.is_searched

    @property
    def _shared(self) -> MachineStudy | None:
        return self.machines.get(SHARED) if self.plan.is_shared(SHARED) else None

    def _best_shared(self, family: str, point: Point) -> TrialRecord | None:
        """The best shared trial of a family that has run its whole budget, of those that a point names."""
        return self._shared.best_of(family, self.space.starts_from(point)) if self._shared else None

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
        lent = self._lent(this)
        if lent:
            this.study.enqueue_trial(lent, user_attrs={"origin": "transfer"})
        trial = self._ask(this.study, this.machine)
        run = Run(trial.params, trial.user_attrs.get("seed", self.space.seed + this.next_number))
        origin = trial.user_attrs.get("origin", "sampler")
        return Running(trial, self._record(this, run, origin=origin))

    def _lent(self, this: MachineStudy) -> Point | None:
        """What is best on another machine and new to this one; None where it is the sampler's turn."""
        count, turn = divmod(this.started, TRANSFER_EVERY)
        if not self.space.transfers or turn != TRANSFER_EVERY - 1 or this.has_queue:
            return None
        if self.plan.is_shared(this.machine):
            return None
        machines = [other for other in self.machines.values() if not self.plan.is_shared(other.machine)]
        others = [other for other in machines if other is not this]
        for other in others[count % max(1, len(others)) :] + others[: count % max(1, len(others))]:
            best = other.best
            if best and best.trial.params not in this.tried:
                return best.trial.params
        return None

    def _confirming(self, this: MachineStudy) -> Running:
        """One of the best again; Optuna is left out, as its study holds one trial a choice."""
        return Running(None, self._record(this, this.due[0], origin=CONFIRM))

    def _ask(self, study: optuna.Study, machine: str) -> optuna.Trial:
        """A trial with all its parameters chosen: which there are depends on those before."""
        trial = study.ask()
        self.space.draw(partial(suggest, trial), study=machine)
        return trial

    def _record(self, this: MachineStudy, run: Run, *, origin: Origin) -> TrialRecord:
        number = this.next_number
        this.next_number += 1
        config: Recipe | dict[str, Any]
        start = None
        try:
            config = self.space.recipe(run.params, machine=this.machine, seed=run.seed)
            start = self._start(config, run)
            if start and start.readable:
                config = config.starting_from(recipe_of(start.config))
        except (
            ValidationError
        ):  # of values that don't go together: the trial fails as it begins, and says why
            config = self.space.settings(run.params, machine=this.machine, seed=run.seed)
        return TrialRecord(
            id=trial_id(this.machine, number),
            machine=this.machine,
            number=number,
            origin=origin,
            params=run.params,
            config=config,
            started_from=start.id if start else None,
            judged_by=self.plan.objective(this.machine),
            machines=self._machines_of(this),
            started=time(),
        )

    def _start(self, recipe: Recipe, run: Run) -> TrialRecord | None:
        """The shared trial that a trial starts from: that of the trial which it confirms, or the best."""
        if not recipe.starts_shared:
            return None
        if run.started_from:
            return self.ledger.read(run.started_from)
        return self._best_shared(recipe.family, run.params)

    def _machines_of(self, this: MachineStudy) -> dict[str, OnMachine]:
        if not self.plan.is_shared(this.machine):
            return {}
        return {m: OnMachine(judged_by=self.plan.objective(m)) for m in sorted(self.plan.machines)}

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
        if objective is None or running.trial is None or epoch not in self.rungs:
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
        """Time until the quota is reached, by this run's epochs and a mean budget; None before the first."""
        if not self.epochs_run:
            return None
        machines = list(self.machines.values())
        trials = sum(m.left for m in machines)
        begun = sum(r.epoch for m in machines for r in list(m.running.values()))
        return max(0.0, trials * self.budget - begun) * self.seconds_run / self.epochs_run / slots
