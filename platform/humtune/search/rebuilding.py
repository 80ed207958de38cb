"""How a study is made of what the ledger knows: its trials lived through again, and what is left to ask."""

from functools import partial

import optuna
from optuna.samplers import RandomSampler

from humtune.ledger import Ledger
from humtune.plan import Plan
from humtune.records import CONFIRM, TrialRecord, TrialState
from humtune.search.machine_study import MachineStudy, Running
from humtune.search.samplers import pruner, rungs_of, sampler, suggest, tell
from humtune.search.space import Space
from humtune.search.space.grid import Run
from humtune.search.warm import PriorTrials, prior_trials


def rebuilt(ledger: Ledger, plan: Plan, space: Space, machine: str) -> MachineStudy:
    """A machine's study, or that of shared trials, as it stands by the ledger."""
    records = list(ledger.records(machine))
    study = optuna.create_study(
        study_name=study_name(ledger, machine),
        direction="maximize",
        sampler=RandomSampler(),  # while rebuilding: it is never asked, and costs nothing
        pruner=pruner(space),
    )
    quota = plan.quota(machine)
    this = MachineStudy(
        machine=machine,
        study=study,
        quota=quota,
        confirm=plan.asked.confirm,
        seeds=plan.asked.confirm_seeds,
        first_seed=space.seed,
    )
    prior, rungs = prior_trials(ledger, machine), space.rungs
    for record in prior.observed:
        tell(study, _relive(space, study, record, rungs), record)
    for record in records:
        _replay(space, this, record, rungs)
    study.sampler = sampler(
        space,
        seed=space.seed + 1000 * plan.studies.index(machine) + len(records),
        trials=quota if plan.is_shared(machine) else None,
    )
    if space.enumerated:
        _enqueue_runs(space, this, records)
    else:
        _enqueue_first(space, this, records, prior)
    return this


def study_name(ledger: Ledger, machine: str) -> str:
    """What Optuna calls a machine's study, or that of shared trials."""
    return f"{ledger.name}/{machine}"


def ask(space: Space, study: optuna.Study, machine: str) -> optuna.Trial:
    """A trial with all its parameters chosen: which there are depends on those before."""
    trial = study.ask()
    space.draw(partial(suggest, trial), study=machine)
    return trial


def ask_for(space: Space, study: optuna.Study, record: TrialRecord) -> optuna.Trial:
    """A trial with the parameters of one that was had."""
    study.enqueue_trial(record.params)
    return ask(space, study, record.machine)


def _enqueue_runs(space: Space, this: MachineStudy, records: list[TrialRecord]) -> None:
    """What is left of a grid or list: a point is had with the seed that its trial got."""
    had = [Run(record.params, record.seed) for record in records if record.origin != CONFIRM]
    origin = "grid" if space.sampler == "grid" else "first"
    for run in space.runs(this.machine):
        if run not in had:
            this.study.enqueue_trial(run.params, user_attrs={"origin": origin, "seed": run.seed})


def _enqueue_first(space: Space, this: MachineStudy, records: list[TrialRecord], prior: PriorTrials) -> None:
    """The first points that no trial had; what one leaves open is the sampler's to choose."""
    had = [r.params for r in records if r.origin in ("first", "warm")]
    for origin, points in (("first", space.first_points(this.machine)), ("warm", prior.points)):
        for point in points:
            if not any(point.items() <= params.items() for params in had):
                this.study.enqueue_trial(point, user_attrs={"origin": origin})
                had.append(point)


def _replay(space: Space, this: MachineStudy, record: TrialRecord, rungs: tuple[int, ...]) -> None:
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
    trial = _relive(space, this.study, record, rungs)
    if record.state == TrialState.RUNNING:
        this.unfinished.append(Running(trial, record, epoch=len(record.epochs)))
    else:
        tell(this.study, trial, record)
        this.ended[record.id] = record


def _relive(space: Space, study: optuna.Study, record: TrialRecord, rungs: tuple[int, ...]) -> optuna.Trial:
    """The trial as the study knew it before it was told the end."""
    trial = ask_for(space, study, record)
    for epoch, objective in rungs_of(record, rungs).items():
        trial.report(objective, epoch)
        trial.should_prune()  # a rung is entered by asking
    return trial
