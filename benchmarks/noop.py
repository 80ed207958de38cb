"""Searches of the family noop: what the benchmarks of the search itself run on.

The trials' processes import this file too: what is heavy is imported where it is called.
"""

import os
from collections.abc import Sequence
from time import sleep, time
from typing import TYPE_CHECKING, Any

import numpy as np

from humtune.ledger import Ledger
from humtune.plan import Asked, Machine, Plan
from humtune.search.actor import DetectorTrial, start_trial
from humtune.sounds.bank import ClipBank, keep_bank
from humtune.sounds.probes import scored_table
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, ClipTable, assign_roles
from humtune.storage import Storage

if TYPE_CHECKING:
    from humtune.search.space import Space
    from humtune.search.trial import TrialRun

MACHINES = ("ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve")
STEPS = 5
SAMPLES = 160  # of a clip: 10 ms, so that its level costs next to nothing


def begin_trial(config: dict[str, Any]) -> "TrialRun":
    """A search's own trial; the host in its record is the process that ran it."""
    run = start_trial(config)
    run.record = run.record.model_copy(update={"host": str(os.getpid())})
    return run


def together(slots: int) -> type[DetectorTrial]:
    """What Tune runs in so many processes; the first step of each waits until all are there.

    While one starts (some seconds of imports), Tune gives its trial to any that comes free and starts it in
    vain.
    """

    class Together(DetectorTrial):
        start = staticmethod(begin_trial)

        def step(self) -> dict[str, Any]:
            if self.trial:
                gather(self.trial.ledger, slots)
            return super().step()

    return Together


def gather(ledger: Ledger, slots: int) -> None:
    """Wait for the other processes, once."""
    storage, place = ledger.storage, f"{ledger.name}/processes"
    if not storage.exists(f"{place}/{os.getpid()}"):
        storage.write(f"{place}/{os.getpid()}", b"")
        while len(storage.list(place)) < slots:
            sleep(0.1)


def make_space(
    trials: int, *, sampler: str, pruner: str = "none", steps: int = STEPS, seconds: float = 0.0
) -> "Space":
    """How blurred a level is; and how long a step takes, half to one and a half times so many seconds."""
    from humtune.search.space import check_space

    search: dict[str, Any] = {"blur": {"low": 0.0, "high": 10.0}}
    if seconds:
        search["seconds"] = {"low": seconds / 2, "high": seconds * 3 / 2}
    raw = {
        "trials": trials,
        "sampler": sampler,
        "pruner": pruner,
        "fixed": {"family": "noop", "steps": steps},
        "search": search,
    }
    return check_space(raw, where="benchmark")


def make_search(folder: str, space: "Space", banks: Sequence[ClipBank]) -> Ledger:
    """A search of machines whose banks are there, of whose studies Optuna says nothing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ledger = Ledger(Storage(folder), "noop")
    machines = {bank.table.machine: bank for bank in banks}
    plan = Plan(
        name=ledger.name,
        created=time(),
        version="benchmark",
        asked=Asked(space=space.model_dump(mode="json"), data="", trials=max(map(space.quota, machines))),
        machines={m: Machine(bank=bank.folder, data_hash=bank.hash) for m, bank in machines.items()},
    )
    ledger.create(plan, {machine: scored_table(bank, None) for machine, bank in machines.items()})
    return ledger


def make_bank(folder: str, machine: str, *, per_cell: int = 10, train: int = 60) -> ClipBank:
    """Short clips of noise: two sections, four cells of test clips each; anomalies are mostly louder."""
    cells = [(s, d, y) for s in (0, 1) for d in (SOURCE, TARGET) for y in (NORMAL, ANOMALY)]
    rows = [("train", i % 2, SOURCE, NORMAL) for i in range(train)]
    rows += [("test", s, d, y) for s, d, y in cells for _ in range(per_cell)]
    split, section, domain, label = zip(*rows, strict=True)
    table = ClipTable.from_columns(
        machine=machine,
        name=[f"{machine}_{i:04d}.wav" for i in range(len(rows))],
        part=["dev"] * len(rows),
        split=split,
        section=section,
        domain=domain,
        label=label,
        attributes=[""] * len(rows),
        role=[""] * len(rows),
    )
    rng = np.random.default_rng(list(machine.encode()))
    loudness = 1000 * rng.lognormal(0.5 * (table.label == ANOMALY), 0.3)
    noise = (rng.normal(0, scale, SAMPLES).astype(np.int16) for scale in loudness)
    return keep_bank(noise, assign_roles(table), Storage(folder))


def start_ray(slots: int) -> None:
    """A Ray on this computer that believes in so many processors."""
    import ray

    from humtune.search.run import connect

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    options = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    ray.init(address="local", num_cpus=slots, object_store_memory=200 * 2**20, **options)
    connect(None)  # what else a search sets
