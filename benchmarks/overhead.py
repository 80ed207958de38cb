"""What a trial costs beyond its training: marginal seconds per trial of five steps that learn nothing.

    python benchmarks/overhead.py [--trials 100] [--slots 2] [--sampler random] [--mlflow] [--way search]

The same trials, of the family noop on a few short clips, run three ways: through humtune's search (Ray Tune,
studies, scheduler, live table), as calls of plain Ray actors, and in a loop without Ray. Marginal: from the
end of a trial to the end of the next, once the first few are through, so that start-up doesn't count. From
1,000 trials on, a second table has the search in windows.
"""

import argparse
import resource
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from time import process_time, time
from typing import Any, NamedTuple

import ray
from noop import MACHINES, STEPS, begin_trial, make_bank, make_search, make_space, start_ray, together
from rich.console import Console
from rich.table import Table

from humtune.records import TrialRecord, TrialState
from humtune.search.live import LiveTable
from humtune.search.run import tuner
from humtune.search.studies import Studies
from humtune.search.tune import MachineSearcher
from humtune.tracking import Mirror

WINDOWS = 10
GROWS = 1.2  # the last window against the first


class Moment(NamedTuple):
    """The driver when a trial had ended."""

    time: float
    cpu: float  # seconds, of all threads
    rss: int  # bytes


class WatchedStudies(Studies):
    """Remembers when each trial was told, and what the driver had cost by then."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.moments: list[Moment] = []
        self.told: list[TrialRecord] = []

    def end(self, record: TrialRecord) -> None:
        if record.id in self.machines[record.machine].running:
            self.told.append(record)
            self.moments.append(Moment(time(), process_time(), resident()))
        super().end(record)


@ray.remote(num_cpus=1)
class PlainActor:
    """The same steps, without Tune."""

    def begin(self, config: dict[str, Any]) -> None:
        self.trial = begin_trial(config)

    def step(self) -> bool:
        return self.trial.epoch().state == TrialState.COMPLETE


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def through_tune(search: Studies, slots: int, mlflow: bool = False) -> None:
    """Humtune's own way, drawing its table for nobody."""
    resources = search.ledger.plan.asked.resources
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        nowhere = stack.enter_context(Path("/dev/null").open("w"))
        if mlflow:
            stack.enter_context(Mirror(search.ledger))
        stack.enter_context(
            LiveTable(search, slots=slots, console=Console(file=nowhere, force_terminal=True))
        )
        tuner(search, resources, slots=slots, folder=folder, trial=together(slots)).fit()


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
        trial = begin_trial(searcher.trial_config(record))
        while trial.epoch().state != TrialState.COMPLETE:
            pass
        search.end(trial.record)


def measured(run: Callable[[Studies, int], None], words: argparse.Namespace) -> tuple[list[Moment], int]:
    """The moments at which trials were told, and the number of processes that ran them."""
    machines = MACHINES[:2]
    space = make_space((words.trials + warm(words.slots)) // len(machines), sampler=words.sampler)
    with tempfile.TemporaryDirectory() as folder:
        banks = [make_bank(folder, machine, per_cell=1, train=4) for machine in machines]
        search = WatchedStudies(make_search(folder, space, banks), space)
        run(search, words.slots)
        processes = len({record.host for record in search.ledger.records()})
    return search.moments, processes


def warm(slots: int) -> int:
    """Trials that don't count: some for each process to have begun."""
    return max(10, 2 * slots)


def per_trial(moments: list[Moment], begin: int, end: int) -> tuple[float, float]:
    """Milliseconds a trial between two of them: of the clock, and of the driver's processor time."""
    first, last = moments[begin], moments[end]
    return 1000 * (last.time - first.time) / (end - begin), 1000 * (last.cpu - first.cpu) / (end - begin)


def show_windows(moments: list[Moment], slots: int, console: Console) -> None:
    """The cost of a trial by how many went before it."""
    begin = max(100, warm(slots))
    step = len(moments) // WINDOWS
    edges = [
        begin,
        *range(2 * step if begin >= step else step, len(moments) - step // 2, step),
        len(moments) - 1,
    ]
    table = Table(
        "trials", "ms a trial", "driver's CPU ms", "driver's MiB", title="humtune search, in windows"
    )
    for first, last in pairwise(edges):
        clock, cpu = per_trial(moments, first, last)
        mib = moments[last].rss / 2**20
        table.add_row(f"{first:,} – {last + 1:,}", f"{clock:.1f}", f"{cpu:.1f}", f"{mib:.0f}")
    console.print(table)
    early, late = (per_trial(moments, *pair)[0] for pair in (edges[:2], edges[-2:]))
    verdict = "it grows" if late > GROWS * early else "it does not grow"
    console.print(f"first window {early:.1f} ms a trial, last window {late:.1f}: {verdict}")


def main() -> None:
    ways = {"loop": in_a_loop, "actors": through_actors, "search": through_tune}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--sampler", choices=["random", "tpe"], default="random")
    parser.add_argument("--mlflow", action="store_true", help="with the mirror's thread (sqlite) beside it")
    parser.add_argument("--way", choices=ways, action="append", help="one of them alone; may be repeated")
    words = parser.parse_args()
    if words.mlflow:
        ways["search"] = lambda search, slots: through_tune(search, slots, mlflow=True)
    console = Console()
    if words.way != ["loop"]:
        start_ray(words.slots)
    table = Table("way", "ms a trial", "processes", title=f"{words.trials} trials of {STEPS} steps")
    for name in words.way or ways:
        moments, processes = measured(ways[name], words)
        clock, _ = per_trial(moments, warm(words.slots), len(moments) - 1)
        table.add_row(name, f"{clock:.1f}", str(processes))
    ray.shutdown()
    console.print(table)
    if words.trials >= 1000 and "search" in (words.way or ways):
        show_windows(moments, words.slots, console)


if __name__ == "__main__":
    main()
