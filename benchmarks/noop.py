"""Trials that train nothing, and searches of them: what the benchmarks of the search itself run on.

The trials' processes import this file too: what is heavy is imported where it is called.
"""

import os
from collections.abc import Sequence
from functools import partial
from time import sleep, time
from typing import TYPE_CHECKING, Any

import numpy as np

from humtune.detectors.recipe import recipe_of
from humtune.ledger import Ledger
from humtune.records import Epoch, Plan, TrialRecord, TrialState
from humtune.search.actor import DetectorTrial
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, ClipTable, Role
from humtune.storage import Storage

if TYPE_CHECKING:
    from humtune.search.space import Space

MACHINES = ("ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve")
STEPS = 5
CHECKPOINT = bytes(100_000)


class NoOp:
    """Stands in for a TrialRun and asks of the storage what that asks; in between it sleeps.

    The record is written before the first step and after each, a checkpoint after the middle one, and scores
    at the end where there are clips to score. `seconds` are an epoch's on average: a trial's own epochs take
    half to one and a half of them, by its number. The record's host is the process that ran the trial.
    The first step of a process waits until `slots` processes are there: while one starts (some seconds of
    imports), Tune gives its trial to any that comes free and starts it in vain.
    """

    def __init__(
        self, config: dict[str, Any], *, seconds: float = 0.0, clips: int = 0, slots: int = 1
    ) -> None:
        self.ledger = Ledger(Storage(config["storage"]), config["search"])
        asked = self.ledger.find(config["trial"]) or TrialRecord.model_validate_json(config["record"])
        self.ledger.storage.exists(self.checkpoint(asked.id))
        self.record = asked.model_copy(update={"host": str(os.getpid())})
        self.recipe = recipe_of(asked.config)
        self.rng = np.random.default_rng(asked.number)
        self.seconds = seconds * (0.5 + self.rng.random())
        self.slots = slots
        self.clips = clips
        self.rungs = config["measured"]

    def checkpoint(self, trial: str) -> str:
        return self.ledger.layout.checkpoint(trial)

    def epoch(self) -> TrialRecord:
        done = len(self.record.epochs) + 1
        if done == 1:
            self.gather()
            self.ledger.claim(self.record.id)
            self.ledger.write(self.record)
        began = time()
        sleep(self.seconds)
        last = done == self.recipe.budget
        metrics = {"loss": 1 / done, "accuracy": 0.5, "learning_rate": 1e-3}
        update: dict[str, Any] = {}
        if last or done in self.rungs:
            update["omega"] = self.omega()
            metrics["omega"] = max(update["omega"].values())
        epoch = Epoch(epoch=done, ended=time(), seconds=time() - began, metrics=metrics)
        update |= {"epochs": (*self.record.epochs, epoch), "seconds": self.record.seconds + epoch.seconds}
        if last:
            names = self.recipe.score_types if self.clips else ()
            self.ledger.write_scores(
                self.record.id, {name: self.rng.normal(size=self.clips) for name in names}
            )
            update |= {"state": TrialState.COMPLETE, "ended": time()}
        self.record = self.record.model_copy(update=update)
        self.ledger.write(self.record)
        if last:
            self.ledger.storage.delete(self.checkpoint(self.record.id))
        elif done == (self.recipe.budget + 1) // 2:
            self.ledger.storage.write(self.checkpoint(self.record.id), CHECKPOINT)
        return self.record

    def gather(self) -> None:
        """Wait for the other processes, once."""
        storage, place = self.ledger.storage, f"{self.ledger.name}/processes"
        if not storage.exists(f"{place}/{os.getpid()}"):
            storage.write(f"{place}/{os.getpid()}", b"")
            while len(storage.list(place)) < self.slots:
                sleep(0.1)

    def omega(self) -> dict[str, float]:
        """Best at mu = 10, with noise; what a search could learn."""
        found = 0.9 - abs(float(self.record.params["head.mu"]) - 10) / 50 + self.rng.normal(scale=0.02)
        return {"cosine": found, "nll": found - 0.01}


def noop_trial(*, slots: int, seconds: float = 0.0, clips: int = 0) -> type[DetectorTrial]:
    """The real coat around such trials."""

    class NoOpTrial(DetectorTrial):
        start = staticmethod(partial(NoOp, seconds=seconds, clips=clips, slots=slots))

    return NoOpTrial


def make_space(trials: int, *, sampler: str, pruner: str = "none", epochs: int = STEPS) -> "Space":
    """Two numbers and a list to search."""
    from humtune.search.space_checks import check_space

    raw = {
        "trials": trials,
        "sampler": sampler,
        "pruner": pruner,
        "fixed": {"training": {"epochs": epochs}},
        "search": {
            "head.mu": {"low": 1.0, "high": 30.0},
            "head.sigma2": {"low": 0.02, "high": 0.5, "log": True},
            "head.beta_class": [0.1, 1, 10],
        },
    }
    return check_space(raw, where="benchmark")


def make_search(
    folder: str, space: "Space", *, machines: Sequence[str], clips: dict[str, ClipTable] | None = None
) -> Ledger:
    """A search without recordings."""
    ledger = Ledger(Storage(folder), "noop")
    plan = Plan(
        name=ledger.name,
        space=space.model_dump(mode="json"),
        data="",
        machines=tuple(machines),
        trials=space.quota(machines[0]),
        banks={},
        data_hash=dict.fromkeys(machines, ""),
        created=time(),
        version="benchmark",
    )
    ledger.create(plan, clips or {})
    return ledger


def make_clips(machine: str, *, per_cell: int = 10, held_out: int = 30) -> ClipTable:
    """What is known of clips that trials without recordings give scores to: two sections, four cells each."""
    cells = [(s, d, y) for s in (0, 1) for d in (SOURCE, TARGET) for y in (NORMAL, ANOMALY)]
    rows = [("train", 0, SOURCE, NORMAL, Role.HELD_OUT)] * held_out
    rows += [("test", s, d, y, Role.SELECT) for s, d, y in cells for _ in range(per_cell)]
    split, section, domain, label, role = zip(*rows, strict=True)
    return ClipTable.from_columns(
        machine=machine,
        name=[f"{machine}_{i:04d}.wav" for i in range(len(rows))],
        part=["dev"] * len(rows),
        split=split,
        section=section,
        domain=domain,
        label=label,
        attributes=[""] * len(rows),
        role=[str(r) for r in role],
    )


def start_ray(slots: int) -> None:
    """A Ray on this computer that believes in so many processors."""
    import ray

    from humtune.search.run import connect

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    options = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    ray.init(address="local", num_cpus=slots, object_store_memory=200 * 2**20, **options)
    connect(None)  # what else a search sets
