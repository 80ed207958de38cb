"""Start a search, or go on with one: the plan, the checks before anything starts, and the Tune run."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna
import ray
from ray import tune

from humtune.config import SHARED
from humtune.errors import HumtuneError, Superseded, UsageError
from humtune.layout import TAKEN
from humtune.ledger import Ledger, searches
from humtune.names import check_name, is_text
from humtune.plan import MOST_TRIALS, Asked, Resources
from humtune.search.actor import DetectorTrial
from humtune.search.connection import check_shared, connect, disconnect
from humtune.search.live import LiveTable
from humtune.search.planning import holding, plan_search
from humtune.search.space import Space, planned_space
from humtune.search.space.fit import check_shared_fits, fitting, pinned
from humtune.search.stop import Interruption, LeaveTune, Stop, dead_ray_process
from humtune.search.studies import Studies
from humtune.search.timing import calibrated
from humtune.search.tune import MachineSearcher, StudyScheduler
from humtune.sounds.bank import ClipBank, load_banks
from humtune.sounds.parallel import waiting
from humtune.sounds.probes import strangers
from humtune.sounds.table import assign_roles
from humtune.storage import Storage
from humtune.tracking import Mirror

LAST_SYNC = 3.0  # seconds that MLflow may take for it when a person wants the search to end


DEFAULT = Resources()


def prepare(
    space: Space,
    *,
    name: str,
    data: Path,
    storage: Storage,
    machines: Sequence[str] | None = None,
    resources: Resources = DEFAULT,
    holdout: float = 0.0,
    held_out: float = 0.1,
    channel: int | None = None,
    hours: float | None = None,
    earlier: Ledger | None = None,
    banks: Mapping[str, ClipBank] | None = None,
) -> Ledger:
    """Read the recordings, show that the space fits them, and write the plan. Nothing runs yet.

    `holdout` (0…1) is the share of the labelled dev test clips that is hidden from all that chooses,
    `held_out` that of the training clips by which thresholds and calibration are found. Of several channels
    `channel` is read, counted from 1; None: all are mixed down. `hours` by the clock are what all runs of it
    may take. What an `earlier` search found is where the
    samplers start. `banks` are the machines' where they are known, with the roles of their clips.
    """
    if name in TAKEN:
        raise UsageError(f"name '{name}' is taken by humtune itself; choose another --name")
    check_name(name, "a search's name", "choose another --name")
    if not is_text(str(data.resolve())):  # the plan is JSON
        raise UsageError(f"{data}: a folder's name that is not UTF-8; rename it")
    storage.check()
    if name in searches(storage):
        resume = Ledger(storage, name).resume
        raise UsageError(f"there is a search named '{name}': {resume}, or choose another --name")
    if banks is None:
        banks = read_banks(data, storage, machines, holdout=holdout, held_out=held_out, channel=channel)
    space, left_out = fitting(space, banks)
    space = pinned(space)
    if hours is not None and _is_endless(space.sampler, space.trials):
        shared = {"shared_trials": MOST_TRIALS} if space.shared_trials else {}
        space = space.model_copy(update={"trials": MOST_TRIALS, **shared})
    asked = Asked(
        space=space.model_dump(mode="json"),
        data=str(data.resolve()),
        trials=max(map(space.quota, banks)),
        shared_trials=space.quota(SHARED) if space.shared_trials else 0,
        warm=earlier.name if earlier else None,
        holdout=holdout,
        held_out=held_out,
        hours=hours,
        channel=channel,
        resources=resources,
    )
    others = partial(strangers, data, channel=channel)
    return plan_search(
        space, banks, storage, asked, name=name, strangers=others, earlier=earlier, left_out=left_out
    )


def _is_endless(sampler: str | None, trials: int | None) -> bool:
    """Whether time alone ends a search that has any: kinds of detectors share it, in no said number."""
    return sampler == "bandit" and trials is None


def read_banks(
    data: Path,
    storage: Storage,
    machines: Sequence[str] | None,
    *,
    holdout: float = 0.0,
    held_out: float = 0.1,
    channel: int | None = None,
) -> dict[str, ClipBank]:
    """The machines' recordings with the roles of their clips."""
    return {
        machine: replace(bank, table=assign_roles(bank.table, held_out=held_out, holdout=holdout))
        for machine, bank in load_banks(data, storage, machines, channel=channel).items()
    }


def want(
    ledger: Ledger,
    *,
    trials: int | None = None,
    shared_trials: int | None = None,
    hours: float | None = None,
) -> None:
    """Have a search make so many trials per machine, and of all machines, in such a time; None: as before.

    Kinds of detectors that share a time out, which they get only now, make as many trials as it allows, where
    their space says no number.
    UsageError where it had no shared trials before, and can't have any, or where others start from them.
    """
    plan = ledger.plan
    wish = {"trials": trials, "shared_trials": shared_trials, "hours": hours}
    if hours is not None and plan.asked.hours is None and trials is None:
        said = plan.asked.space
        if _is_endless(said.get("sampler"), said.get("trials")):
            wish["trials"] = MOST_TRIALS
            if shared_trials is None and plan.asked.shared_trials:
                wish["shared_trials"] = MOST_TRIALS
    wanted = plan.asking(**{name: value for name, value in wish.items() if value is not None})
    if not wanted.asked.trials and not wanted.asked.shared_trials:
        raise UsageError("trials = 0 and shared trials = 0: there is nothing to try; raise one")
    if plan.asked.shared_trials and not wanted.asked.shared_trials and planned_space(plan).starting_shared:
        raise UsageError(
            "shared trials = 0: trials of this search start from shared ones; ask for one or more"
        )
    if wanted.asked.shared_trials and not plan.asked.shared_trials:
        space = planned_space(plan)
        check_shared_fits(space, {machine: ledger.bank(machine) for machine in plan.machines})
        wanted = holding(wanted, space)
    if wanted != plan:
        ledger.write_plan(wanted)


def run(
    ledger: Ledger,
    *,
    address: str | None = None,
    slots: int = 0,
    interruption: Interruption | None = None,
    view: type[LiveTable] = LiveTable,
) -> Studies:
    """Run what is left of a search: every machine's trials in one Tune run. Returns the studies at its end.

    Whatever was unfinished goes on from its checkpoint, with studies rebuilt from the ledger; Tune's own
    record is thrown away. Ray is started here unless an address is given or it runs already. Where the same
    search still runs elsewhere, this run takes over and the other one ends. `view` shows how far it is.
    """
    plan = ledger.plan
    resources = plan.asked.resources
    interruption = interruption or Interruption()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line for each study says nothing new
    ledger.take_lease()
    with waiting(f"reading {ledger.name}"):  # imports what its space names
        studies = Studies(ledger, planned_space(plan), interruption.clock)
    if studies.over or interruption.is_over:
        with Mirror(ledger):  # a kill may have come between the last trial and MLflow
            return studies
    ledger.withdraw_stop()
    with waiting("starting Ray"):
        started_here = connect(address)
    dead = ""
    try:
        interruption.take_signals()  # Ray has taken SIGTERM
        check_shared(ledger)
        slots = slots_of(
            ray.cluster_resources(), resources, wanted=slots, here=started_here and address is None
        )
        studies.planned(calibrated(ledger, interruption.clock))
        with (
            tempfile.TemporaryDirectory(prefix="humtune-tune-", ignore_cleanup_errors=True) as folder,
            Mirror(ledger) as mirror,
            view(studies, slots=slots),
        ):
            try:
                tuner(studies, resources, slots=slots, folder=folder, interruption=interruption).fit()
            except LeaveTune:
                mirror.patience = LAST_SYNC
                dead = "" if interruption.asked else dead_ray_process()
    finally:
        if started_here:
            with waiting("ending Ray"):
                disconnect()
    ledger.check_lease()
    if dead:
        mend = f"{ledger.resume} goes on" if any(True for _ in ledger.records()) else "start it again"
        raise HumtuneError(f"Ray's {dead} died; {mend}")
    return studies


def tuner(
    studies: Studies,
    resources: Resources,
    *,
    slots: int,
    folder: str,
    trial: type[DetectorTrial] = DetectorTrial,
    interruption: Interruption | None = None,
) -> tune.Tuner:
    """The Tune run: our searcher and scheduler, reused actors, and nothing kept by Tune itself."""
    shares = {"cpu": resources.cpus, "gpu": resources.gpus}
    return tune.Tuner(
        tune.with_resources(trial, {kind: share for kind, share in shares.items() if share}),
        tune_config=tune.TuneConfig(
            search_alg=MachineSearcher(studies, cpus=resources.cpus),
            scheduler=StudyScheduler(studies),
            num_samples=-1,
            max_concurrent_trials=slots,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="search",  # in a folder of its own, which is thrown away
            storage_path=folder,
            stop=Stop(studies.ledger, interruption or Interruption()),
            failure_config=tune.FailureConfig(max_failures=0),  # the scheduler asks for a trial again
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


@contextmanager
def free_unless_begun(ledger: Ledger) -> Iterator[None]:
    """Give a search's name free where an error ends it before a trial has begun: there is nothing to resume.

    A search that is asked to end raises none here, and can be resumed.
    """
    try:
        yield
    except Superseded:
        raise
    except BaseException:
        if not any(True for _ in ledger.records()):
            with suppress(HumtuneError, OSError):  # the error that is under way matters more
                ledger.remove()
        raise


def slots_of(
    cluster: Mapping[str, float], resources: Resources, *, wanted: int = 0, here: bool = False
) -> int:
    """How many trials run at a time; a UsageError where not one can, which Ray would await for ever.

    A cluster may start computers for as many as are `wanted`; `here`, on this one, there are no others.
    """
    if wanted and not here:
        return wanted
    where, mend = (
        ("this computer", "ask for less with --{}s, or name a cluster with --address")
        if here
        else (
            "the cluster",
            "where it starts computers as trials wait, say with --slots how many trials shall run at a time",
        )
    )
    for kind, share in (("CPU", resources.cpus), ("GPU", resources.gpus)):
        if share > cluster.get(kind, 0):
            raise UsageError(
                f"a trial wants {share:g} {kind}, {where} has {cluster.get(kind, 0):g}; "
                f"{mend.format(kind.lower())}"
            )
    if wanted:
        return wanted
    per_gpu = [cluster["GPU"] / resources.gpus] if resources.gpus else []
    return int(min([cluster["CPU"] / resources.cpus, *per_gpu]))


def free_name(storage: Storage, wanted: str) -> str:
    """A search name that is not taken: the wanted one, or it with a number."""
    taken = set(searches(storage))
    names = (wanted if i == 1 else f"{wanted}-{i}" for i in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
