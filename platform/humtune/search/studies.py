"""Studies: one Optuna study per machine and one of shared trials, in memory.

Rebuilt from the ledger whenever a search starts. Asks what to try next, says when a trial may be stopped, is
told how trials end. Knows no Ray.
"""

from itertools import count
from statistics import mean
from time import time
from typing import Any

from optuna.trial import TrialState as OptunaState
from pydantic import ValidationError

from humtune.config import SHARED
from humtune.detectors.recipe import Recipe, recipe_of
from humtune.ledger import Ledger
from humtune.plan import Plan
from humtune.records import (
    CONFIRM,
    OnMachine,
    Origin,
    TrialRecord,
    machine_of,
    trial_id,
)
from humtune.search.bandit import Bandit, next_arm
from humtune.search.clock import Clock, Forecast, recipe_or_none
from humtune.search.machine_study import MachineStudy, Running
from humtune.search.rebuilding import ask, rebuilt
from humtune.search.samplers import tell
from humtune.search.space import Space
from humtune.search.space.dimensions import FAMILY
from humtune.search.space.grid import Point, Run
from humtune.search.space.space import TRANSFER_EVERY

DRAWS = 20  # of a sampler, one of which may be short enough for the time that is left
LARGEST = 0.25  # share of its machines' time that a trial may take where kinds share the time out
RESTARTS = 2  # of a trial whose process died: once for bad luck, once more to be sure


class Studies:
    """All studies of one search: each machine's and, where there are shared trials, SHARED."""

    def __init__(self, ledger: Ledger, space: Space, clock: Clock | None = None) -> None:
        """With a `clock`, what can't end while its time lasts is not begun."""
        plan = ledger.plan
        self.ledger = ledger
        self.superseded = False  # whether another run has taken over
        self.space = space
        self.rungs = space.rungs  # asked of the space once: it makes a recipe of every family each time
        self.budget = mean(recipe.budget for recipe in space.recipes)
        self.plan = plan
        self.bandit = Bandit(ledger, space) if space.sampler == "bandit" else None
        self.short_of_time = False  # whether a trial was not begun for the time that it would take
        self.clock = clock or Clock()
        self.epochs_run = 0  # in this run, with the seconds they took: what time is left is estimated from it
        self.seconds_run = 0.0
        self.machines = {m: rebuilt(ledger, plan, space, m) for m in plan.studies}
        self.planned(plan)

    def planned(self, plan: Plan) -> None:
        """Know what trials take, once that is timed."""
        self.plan = plan
        self.forecast = Forecast(plan, [r for this in self.machines.values() for r in this.searched])

    def ask(self) -> TrialRecord | None:
        """The next trial, of the machine that is furthest behind; None where there is none to start now.

        The search goes before confirmation, which begins for a machine when the last of its trials ended.
        """
        while waiting := [m for m in self.machines.values() if m.is_open]:
            waiting = [m for m in waiting if self._may_begin(m)]
            if not waiting:
                return None
            if self.bandit:
                found = self._of_kinds(self.bandit, waiting)
                if found:
                    return self._begun(*found)
                for this in waiting:
                    this.closed = True
                continue
            this = min(waiting, key=lambda m: m.started / m.quota)
            if running := self._next(this):
                return self._begun(this, running)
            this.closed = True
        waiting = [m for m in self.machines.values() if m.is_searched and (m.interrupted or m.due)]
        if not waiting:
            return None
        this = waiting[0]
        return self._begun(this, this.interrupted.pop(0) if this.interrupted else self._confirming(this))

    def _begun(self, this: MachineStudy, running: Running) -> TrialRecord:
        record = running.record
        this.running[record.id] = running
        this.next_number = max(this.next_number, record.number + 1)
        return record

    def _of_kinds(self, bandit: Bandit, waiting: list[MachineStudy]) -> tuple[MachineStudy, Running] | None:
        """The study and trial that are next where the kinds of detectors share the time out."""
        for this in waiting:
            if running := self._unfinished(this):
                return this, running
        while arms := bandit.arms(waiting, self.machines, self.forecast):
            arm = next_arm(arms)
            this = self.machines[arm.study]
            if running := self._drawn(this, arm.preset):
                return this, running
            bandit.closed.add((arm.study, arm.preset))
        return None

    def _unfinished(self, this: MachineStudy) -> Running | None:
        """What an earlier run left, and can end in time."""
        for running in this.unfinished:
            if self._can_end(running):
                this.unfinished.remove(running)
                return running
        return None

    def _next(self, this: MachineStudy) -> Running | None:
        """What a study begins next, first what an earlier run left; None where nothing can end in time."""
        return self._unfinished(this) or self._drawn(this)

    def _drawn(self, this: MachineStudy, preset: str | None = None) -> Running | None:
        """A new trial, of some preset of the family or any; None where none can end in time, or is new."""
        for draw in count():
            if (self.space.enumerated or draw >= DRAWS) and not this.has_queue:
                return None
            if preset is not None and not this.has_queue:
                this.study.enqueue_trial({FAMILY: preset})
            running = self._sampled(this)
            if self._can_end(running) and not (preset is not None and self._is_known(this, running)):
                return running
            assert running.trial
            this.study.tell(running.trial, state=OptunaState.FAIL)
        return None

    def _can_end(self, running: Running) -> bool:
        """Whether a trial can end while the time lasts, and isn't too large, as far as is known of it."""
        record = running.record
        seconds = self.forecast.seconds(record, done=running.epoch)
        allowed = self.clock.allows(seconds)
        if self.bandit and seconds:
            share = self.clock.whole / (1 if record.machines else len(self.plan.machines))
            allowed = allowed and seconds <= LARGEST * share
        self.short_of_time |= not allowed
        return allowed

    def _is_known(self, this: MachineStudy, running: Running) -> bool:
        """Whether a trial would only repeat another: one in closed form of the same settings."""
        recipe = recipe_or_none(running.record)
        return recipe is not None and recipe.budget == 1 and running.record.params in this.tried

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
        trial = ask(self.space, this.study, this.machine)
        run = Run(trial.params, trial.user_attrs.get("seed", self.space.seed + this.next_number))
        origin = trial.user_attrs.get("origin", "sampler")
        return Running(trial, self._record(this, run, origin=origin))

    def _lent(self, this: MachineStudy) -> Point | None:
        """What is best on another machine and new to this one; None where it is the sampler's turn."""
        turns, turn = divmod(this.started, TRANSFER_EVERY)
        if not self.space.transfers or turn != TRANSFER_EVERY - 1 or this.has_queue:
            return None
        if self.plan.is_shared(this.machine):
            return None
        machines = [other for other in self.machines.values() if not self.plan.is_shared(other.machine)]
        others = [other for other in machines if other is not this]
        for other in others[turns % max(1, len(others)) :] + others[: turns % max(1, len(others))]:
            best = other.best
            if best and best.trial.params not in this.tried:
                return best.trial.params
        return None

    def _confirming(self, this: MachineStudy) -> Running:
        """One of the best again; Optuna is left out, as its study holds one trial a choice."""
        return Running(None, self._record(this, this.due[0], origin=CONFIRM))

    def _record(self, this: MachineStudy, run: Run, *, origin: Origin) -> TrialRecord:
        number = this.next_number
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
            self.forecast.take(record)
            if running.trial:
                tell(this.study, running.trial, record)
            this.ended[record.id] = record
            for epoch in record.epochs[running.epoch :]:
                self.epochs_run += 1
                self.seconds_run += epoch.seconds

    def seconds_left(self, slots: int) -> float | None:
        """Time until all is done, by this run's epochs and a mean budget, or over; None before the first."""
        if not self.epochs_run:
            return None
        machines = list(self.machines.values())
        trials = sum(m.left for m in machines)
        begun = sum(r.epoch for m in machines for r in list(m.running.values()))
        work = max(0.0, trials * self.budget - begun) * self.seconds_run / self.epochs_run
        return min(work / slots, self.clock.left)
