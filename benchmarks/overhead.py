"""What a trial costs beyond its training: marginal seconds per no-op trial of five steps.

    python benchmarks/overhead.py [--trials 100] [--slots 2]

The same trials, which only write their ledger record at each step, run three ways in one go: through
humtune's search (Ray Tune, studies, scheduler), as calls of plain Ray actors, and in a loop without Ray.
Marginal: the time between the ends of trials, once the first few are through, so that start-up doesn't count.
"""

import argparse
import tempfile
from collections.abc import Callable
from time import time
from typing import Any

import ray
from rich.console import Console
from rich.table import Table

from humtune.ledger import Epoch, Ledger, Plan, TrialRecord, TrialState
from humtune.search.actor import DetectorTrial
from humtune.search.run import connect, tuner
from humtune.search.searcher import MachineSearcher
from humtune.search.space import Space
from humtune.search.studies import Studies
from humtune.storage import Storage

STEPS = 5
WARM = 10  # trials that don't count


class NoOp:
    """Stands in for a TrialRun: writes the record after each step, and does nothing else."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.ledger = Ledger(Storage(config["storage"]), config["search"])
        self.record = TrialRecord.model_validate_json(config["record"])

    def epoch(self) -> TrialRecord:
        number = len(self.record.epochs) + 1
        epoch = Epoch(epoch=number, ended=time(), seconds=0.0, metrics={"loss": 1.0})
        update: dict[str, Any] = {"epochs": (*self.record.epochs, epoch)}
        if number == STEPS:
            mu = float(self.record.config.head.mu)
            update |= {"state": TrialState.COMPLETE, "omega": {"cosine": 1 / mu}, "ended": time()}
        self.record = self.record.model_copy(update=update)
        self.ledger.write(self.record)
        return self.record


class NoOpTrial(DetectorTrial):
    """The real coat around it."""

    start = staticmethod(NoOp)


@ray.remote(num_cpus=1)
class PlainActor:
    """The same steps, without Tune."""

    def begin(self, config: dict[str, Any]) -> None:
        self.trial = NoOp(config)

    def step(self) -> bool:
        return self.trial.epoch().state == TrialState.COMPLETE


def studies(folder: str, name: str, trials: int) -> Studies:
    """A search of two machines without recordings."""
    space = Space.model_validate(
        {
            "trials": trials // 2,
            "sampler": "random",
            "fixed": {"training": {"epochs": STEPS}},
            "search": {"head.mu": {"low": 1.0, "high": 30.0}},
        }
    )
    ledger = Ledger(Storage(folder), name)
    plan = Plan(
        name=name,
        space=space.model_dump(mode="json"),
        data="",
        machines=("fan", "valve"),
        trials=trials // 2,
        banks={},
        data_hash={},
        created=time(),
        version="benchmark",
    )
    ledger.create(plan, {})
    return Studies(ledger, space)


def through_tune(search: Studies, slots: int) -> None:
    """Humtune's own way."""
    with tempfile.TemporaryDirectory() as folder:
        tuner(search, search.ledger.plan, slots=slots, folder=folder, trial=NoOpTrial).fit()


def through_actors(search: Studies, slots: int) -> None:
    """One plain actor a slot, a call a step."""
    searcher = MachineSearcher(search, cpus=1)
    actors = [PlainActor.remote() for _ in range(slots)]
    busy: dict[Any, tuple[Any, TrialRecord]] = {}

    def begin(actor: Any) -> None:
        record = search.ask()
        if record is not None:
            actor.begin.remote(searcher.trial_config(record))
            busy[actor.step.remote()] = (actor, record)

    for actor in actors:
        begin(actor)
    while busy:
        [ready], _ = ray.wait(list(busy))
        actor, record = busy.pop(ready)
        if ray.get(ready):
            search.end(search.ledger.read(record.id))
            begin(actor)
        else:
            busy[actor.step.remote()] = (actor, record)
    for actor in actors:
        ray.kill(actor)


def in_a_loop(search: Studies, slots: int) -> None:
    """One after another, in this process."""
    searcher = MachineSearcher(search, cpus=1)
    while (record := search.ask()) is not None:
        trial = NoOp(searcher.trial_config(record))
        while trial.epoch().state != TrialState.COMPLETE:
            pass
        search.end(trial.record)


def marginal(run: Callable[[Studies, int], None], trials: int, slots: int) -> float:
    """Seconds from one trial's end to the next one's, once the first few are through."""
    with tempfile.TemporaryDirectory() as folder:
        search = studies(folder, "noop", WARM + trials)
        run(search, slots)
        ends = sorted(r.ended for r in search.ledger.records() if r.ended is not None)
    return (ends[-1] - ends[WARM - 1]) / trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--slots", type=int, default=2)
    words = parser.parse_args()
    connect(None)
    ways = {"a loop": in_a_loop, "plain Ray actors": through_actors, "humtune search": through_tune}
    found = {name: marginal(run, words.trials, words.slots) for name, run in ways.items()}
    ray.shutdown()
    table = Table(
        "way", "ms a trial", "against plain actors", title=f"{words.trials} no-op trials of {STEPS} steps"
    )
    for name, seconds in found.items():
        table.add_row(name, f"{1000 * seconds:.1f}", f"{seconds / found['plain Ray actors']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
