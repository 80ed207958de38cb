"""A search of thousands of trials on many slots, simulated: what it costs the driver, and what lags behind.

    python benchmarks/scale.py [--trials 5000] [--slots 64] [--seconds 1.0] [--sampler tpe] [--storage DIR]
    python benchmarks/scale.py --slots 0    no search: trials one after another, then what reading them takes

The trials, of the family noop, sleep instead of training, so that a small computer holds many slots; all
else is the search's own: Ray Tune, a study a machine, early stopping, ledger, live table, MLflow's mirror
(sqlite). Afterwards the storage is measured, and what it takes to read it: to resume, and for the commands
that show a search.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from time import perf_counter, time
from typing import NamedTuple

import numpy as np
import ray
from noop import MACHINES, STEPS, begin_trial, make_bank, make_search, make_space, start_ray, together
from overhead import WatchedStudies
from rich.console import Console
from rich.table import Table

from humtune.ledger import Ledger
from humtune.records import TrialRecord, TrialState
from humtune.search.live import LiveTable
from humtune.search.run import tuner
from humtune.search.space import check_space
from humtune.search.studies import Studies
from humtune.search.tune import MachineSearcher
from humtune.storage import Storage
from humtune.tracking import Mirror

WINDOWS = 5
PATIENCE = 600.0  # seconds that the mirror may take to catch up
COMMANDS = (("runs",), ("show", "noop"), ("show", "noop", "fan-00000"), ("report", "noop"), ("track", "noop"))


class Lag(NamedTuple):
    """How far MLflow was when the last trial had ended, and how long it took to catch up."""

    trials: int
    seconds: float


class CountedStorage(Storage):
    """Counts the requests that an object store would get."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.requests: Counter[str] = Counter()

    def read(self, name: str) -> bytes:
        self.requests["read"] += 1
        return super().read(name)

    def list(self, folder: str = "") -> list[str]:
        self.requests["list"] += 1
        return super().list(folder)

    def exists(self, name: str) -> bool:
        self.requests["exists"] += 1
        return super().exists(name)


def fill(search: WatchedStudies) -> None:
    """Run the trials one after another, without Ray and without sleep: for what is measured afterwards."""
    searcher = MachineSearcher(search, cpus=1)
    while (record := search.ask()) is not None:
        trial = begin_trial(searcher.trial_config(record))
        while trial.epoch().state != TrialState.COMPLETE:
            pass
        search.end(trial.record)


def simulate(search: WatchedStudies, *, slots: int) -> Lag:
    """Run the search as `humtune search` does, with trials that sleep."""
    ledger = search.ledger
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        console = Console(file=nowhere, force_terminal=True)
        with Mirror(ledger, patience=PATIENCE):
            with LiveTable(search, slots=slots, console=console):
                tuner(
                    search, ledger.plan.asked.resources, slots=slots, folder=folder, trial=together(slots)
                ).fit()
            behind, began = len(search.moments) - mirrored(ledger), time()
        return Lag(behind, time() - began)


def mirrored(ledger: Ledger) -> int:
    """Trials that MLflow knows to have ended."""
    with sqlite3.connect(ledger.storage.path("mlflow.db")) as database:
        ended = "status in ('FINISHED', 'KILLED', 'FAILED') and name like '%-0%'"
        return int(database.execute(f"select count(*) from runs where {ended}").fetchone()[0])


def ray_seconds() -> float:
    """Processor time of the processes that Ray's node consists of: those that this one started."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == os.getpid():
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def show_windows(search: WatchedStudies, console: Console) -> None:
    """The driver as the search went on, from the moment when every slot had ended a trial on average."""
    moments = search.moments
    edges = np.linspace(min(100, len(moments) // 10), len(moments) - 1, WINDOWS + 1).astype(int)
    table = Table(
        "trials", "trials/s", "driver's CPU", "ms of it a trial", "driver's MiB", title="the driver"
    )
    for first, last in pairwise(edges):
        a, b, count = moments[first], moments[last], last - first
        share = (b.cpu - a.cpu) / (b.time - a.time)
        table.add_row(
            f"{first:,} – {last + 1:,}",
            f"{count / (b.time - a.time):.1f}",
            f"{100 * share:.0f} %",
            f"{1000 * (b.cpu - a.cpu) / count:.1f}",
            f"{b.rss / 2**20:.0f}",
        )
    console.print(table)


def show_delays(search: WatchedStudies, records: list[TrialRecord], slots: int, console: Console) -> None:
    """What waits for the driver, in milliseconds."""
    told = {r.id: moment.time for r, moment in zip(search.told, search.moments, strict=True)}
    waits = {
        "from a trial's end to its slot's next first step": list(between_trials(records)),
        "from one epoch to the next": list(between_epochs(records)),
        "from a trial's last record to the studies": [told[r.id] - r.epochs[-1].ended for r in records],
    }
    table = Table("wait (ms)", "median", "95 %", "longest")
    for name, seconds in waits.items():
        metrics = (f"{1000 * q:.0f}" for q in np.quantile(seconds, [0.5, 0.95, 1.0]))
        table.add_row(name, *metrics)
    console.print(table)
    ends = [r.epochs[-1].ended for r in records]
    whole = max(ends) - min(r.epochs[0].ended - r.epochs[0].seconds for r in records)
    busy = sum(r.seconds for r in records) / (slots * whole)
    processes = len({r.host for r in records})
    console.print(f"{processes} processes; slots were busy {100 * busy:.0f} % of {whole:.0f} s")


def between_trials(records: Iterable[TrialRecord]) -> Iterator[float]:
    """Seconds between the trials of one process."""
    slots: dict[str, list[TrialRecord]] = {}
    for record in sorted(records, key=lambda r: r.epochs[0].ended):
        slots.setdefault(record.host, []).append(record)
    for mine in slots.values():
        for before, after in pairwise(mine):
            first = after.epochs[0]
            yield first.ended - first.seconds - before.epochs[-1].ended


def between_epochs(records: Iterable[TrialRecord]) -> Iterator[float]:
    """Seconds between the epochs of one trial."""
    for record in records:
        for before, after in pairwise(record.epochs):
            yield after.ended - after.seconds - before.ended


def show_afterwards(folder: str, console: Console) -> None:
    """What is left, and what it takes to read it."""
    files = [path.stat().st_size for path in Path(folder, "noop").rglob("*") if path.is_file()]
    console.print(f"the ledger: {len(files):,} files, {sum(files) / 2**20:.1f} MiB")
    storage = CountedStorage(folder)
    ledger, began = Ledger(storage, "noop"), perf_counter()
    Studies(ledger, check_space(ledger.plan.asked.space, where="benchmark"))
    counts = ", ".join(f"{count:,} {kind}" for kind, count in storage.requests.items())
    console.print(f"to resume: studies rebuilt in {perf_counter() - began:.1f} s; requests: {counts}")
    table = Table("command", "seconds")
    for command in COMMANDS:
        began = perf_counter()
        call = [sys.executable, "-c", "from humtune.cli.main import main; main()", *command]
        subprocess.run([*call, "--storage", folder], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        table.add_row(f"humtune {' '.join(command)}", f"{perf_counter() - began:.1f}")
    console.print(table)
    database = Path(folder, "mlflow.db").stat().st_size
    console.print(f"MLflow's database: {database / 2**20:.1f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument(
        "--slots",
        type=int,
        default=64,
        help="0: one trial after another, for what is measured afterwards alone",
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of an epoch, on average")
    parser.add_argument("--sampler", choices=["random", "tpe"], default="tpe")
    parser.add_argument("--storage", type=Path, help="a new folder that is kept")
    words = parser.parse_args()
    console = Console()
    space = make_space(
        words.trials // len(MACHINES),
        sampler=words.sampler,
        pruner="successive_halving",
        seconds=words.seconds if words.slots else 0.0,
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(words.storage or temporary)
        banks = [make_bank(folder, machine) for machine in MACHINES]
        search = WatchedStudies(make_search(folder, space, banks), space)
        if not words.slots:
            fill(search)
            show_afterwards(folder, console)
            return
        start_ray(words.slots)
        lag = simulate(search, slots=words.slots)
        node = ray_seconds()
        ray.shutdown()
        whole = search.moments[-1].time - search.moments[0].time
        size = f"{len(search.moments):,} trials of up to {STEPS} epochs on {words.slots} slots"
        console.print(
            f"{size}, {words.sampler}, in {whole:.0f} s; Ray's own processes took {node:.0f} s of CPU"
        )
        show_windows(search, console)
        show_delays(search, list(search.ledger.records()), words.slots, console)
        console.print(f"MLflow was behind by {lag.trials} trials at the end; {lag.seconds:.1f} s to catch up")
        show_afterwards(folder, console)


if __name__ == "__main__":
    main()
