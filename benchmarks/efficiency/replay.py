"""What each way to search costs in epochs, replayed from table.parquet: regret of the best found so far.

    python benchmarks/efficiency/replay.py [--replays 50] [--trials 40] [--slots 4] [--out DIR]

humtune's own studies (sampler, pruner, warm start) run against the table instead of a network: `slots` trials
at a time, each epoch a step. A trial's curve is that of one of the configuration's two seeds, drawn anew each
time. The regret after so many epochs of a machine is the table's best mean Ω over the seeds less that of the
configuration whose trial looked best, in points, averaged over machines and replays.
"""

import argparse
import os
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from landscape import Landscape, key, landscape
from numpy.typing import NDArray
from optuna.logging import WARNING, set_verbosity
from rich.console import Console
from rich.table import Table

from humtune.formatting.text import to_markdown
from humtune.ledger import Ledger
from humtune.plan import Asked, Machine, Plan
from humtune.records import Epoch, TrialRecord, TrialState
from humtune.search.space import Space, read_space
from humtune.search.studies import Studies
from humtune.search.trial import ended
from humtune.search.warm import warm_up
from humtune.sounds.parallel import tracked
from humtune.storage import Storage

HERE = Path(__file__).parent
CLOSE = 1.0  # points of regret: about what a seed does to a configuration

Curve = NDArray[np.float64]  # regret in points by epochs spent on a machine, from 1; nan before a first trial


@dataclass(frozen=True)
class Way:
    """One way to search: the keys of a space, and whether it starts from a search of the other machines."""

    name: str
    keys: dict[str, Any]
    warm: bool = False


COLD = {"pruner": "none", "transfer": False}
ASHA = {"pruner": "successive_halving", "transfer": False}
WAYS = (
    Way("grid", {**COLD, "sampler": "grid"}),
    Way("random", {**COLD, "sampler": "random"}),
    Way("TPE", {**COLD, "sampler": "tpe"}),
    Way("random + ASHA", {**ASHA, "sampler": "random"}),
    Way("TPE + ASHA", {**ASHA, "sampler": "tpe"}),
    Way("TPE + ASHA, machines lend points", {**ASHA, "sampler": "tpe", "transfer": True}),
    Way("TPE + ASHA, warm from other machines", {**ASHA, "sampler": "tpe"}, warm=True),
)

GP = Way("GP", {**COLD, "sampler": "gp"})  # half a second of processor for each trial that it chooses


class Replay:
    """A search whose trials are looked up."""

    def __init__(self, table: Landscape, space: Space, ledger: Ledger, *, seed: int) -> None:
        self.table = table
        self.space = space
        self.ledger = ledger
        self.rng = np.random.default_rng(seed)
        self.studies = Studies(ledger, space)
        self.records: list[TrialRecord] = []
        self.spent: dict[str, int] = defaultdict(int)  # epochs, by machine
        self.incumbent: dict[str, TrialRecord] = {}
        self.regret: dict[str, list[float]] = defaultdict(list)  # after each epoch, by machine

    def run(self, slots: int) -> None:
        """All trials, so many at a time, a step each in turn."""
        running: list[tuple[TrialRecord, Curve]] = []
        while True:
            while len(running) < slots and (record := self.studies.ask()):
                curves = self.table.curves[record.machine, key(record.params)]
                running.append((record, curves[self.rng.integers(len(curves))]))
            if not running:
                return
            running = [(record, curve) for old, curve in running if (record := self.step(old, curve))]

    def step(self, record: TrialRecord, curve: Curve) -> TrialRecord | None:
        """An epoch of a trial; None where it has ended with it."""
        number, machine = len(record.epochs) + 1, record.machine
        value = float(curve[number - 1])
        epoch = Epoch(epoch=number, ended=0.0, seconds=1.0, metrics={"omega": value})
        record = record.model_copy(update={"epochs": (*record.epochs, epoch), "omega": {"best": value}})
        self.spent[machine] += 1
        if number == self.space.epochs:
            record = record.model_copy(update={"state": TrialState.COMPLETE})
            best = self.incumbent.get(machine)
            if best is None or record.objective > best.objective:
                self.incumbent[machine] = record
        elif self.studies.report(record.id, number, 1.0, value):
            record = ended(record, TrialState.PRUNED, "stopped")
        best = self.incumbent.get(machine)
        self.regret[machine].append(self.table.regret(machine, best.params) if best else np.nan)
        if record.state == TrialState.RUNNING:
            return record
        self.studies.end(record)
        self.records.append(record)
        return None


def search(
    table: Landscape, way: Way, machines: Iterable[str], *, trials: int, slots: int, seed: int
) -> tuple[Replay, Ledger]:
    """One search of some machines."""
    _, base = read_space(str(HERE / "space.yaml"))
    raw = base.model_dump() | {"trials": trials, "seeds": 1, "seed": seed, "curves": False} | way.keys
    if way.keys["sampler"] == "grid":
        raw["trials"] = None
    space = Space.model_validate(raw)
    machines = tuple(machines)
    holds = {m: len(space.runs(m)) for m in machines} if space.enumerated else {}
    folder = tempfile.mkdtemp(dir=scratch())
    ledger = Ledger(Storage(folder), way.name.replace(" ", "-"))
    plan = Plan(
        name=ledger.name,
        created=0.0,
        version="benchmark",
        asked=Asked(space=space.model_dump(mode="json"), data="", trials=max(map(space.quota, machines))),
        machines=dict.fromkeys(machines, Machine()),
        holds=holds,
    )
    if way.warm:
        others = [m for m in table.machines if m not in machines]
        cold = Way("earlier", way.keys)
        earlier, where = search(table, cold, others, trials=trials, slots=slots, seed=seed + 1)
        for record in earlier.records:
            where.write(record)
        plan = plan.asking(warm=where.name)
        warm_up(ledger, plan, space, where)
    ledger.create(plan, {})
    replay = Replay(table, space, ledger, seed=seed)
    replay.run(slots)
    return replay, ledger


@cache
def scratch() -> str:
    """A folder of this process for its ledgers, in memory where there is such a place."""
    home = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    holder = tempfile.TemporaryDirectory(prefix="humtune-replay-", dir=home)
    _HELD.append(holder)
    return holder.name


_HELD: list[tempfile.TemporaryDirectory[str]] = []


def replayed(task: tuple[Way, int], *, path: Path, trials: int, slots: int) -> list[Curve]:
    """The regret of one replay on each machine."""
    way, seed = task
    table = landscape(path)
    groups = [(m,) for m in table.machines] if way.warm else [table.machines]
    curves = []
    for machines in groups:
        replay, _ = search(
            table, way, machines, trials=trials, slots=slots * len(machines), seed=10_000 * seed
        )
        curves += [np.array(replay.regret[m]) for m in machines]
    return curves


def aligned(curves: Iterable[Curve], epochs: int) -> NDArray[np.float64]:
    """Curves [n, epochs]; one that ends before keeps its last value, and none had anything before a trial."""
    padded = [np.pad(c[:epochs], (0, max(0, epochs - len(c))), mode="edge") for c in curves]
    return np.array(padded)


def first_within(mean: Curve, points: float) -> int | None:
    """Epochs after which the mean regret stays within so many points; None where it never does."""
    outside = np.flatnonzero(~(mean <= points))
    after = int(outside[-1]) + 2 if outside.size else 1
    return after if after <= len(mean) else None


def main() -> None:
    """Replay every way; print and write the table, draw the figure."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--replays", type=int, default=50)
    words.add_argument("--trials", type=int, default=40, help="per machine")
    words.add_argument("--slots", type=int, default=4, help="trials of a machine at a time")
    words.add_argument("--gp", action="store_true", help="the Gaussian process too: twenty minutes more")
    words.add_argument("--table", type=Path, default=HERE / "table.parquet")
    words.add_argument("--out", type=Path, default=Path("efficiency"))
    given = words.parse_args()
    table = landscape(given.table)
    ways = (*WAYS, GP) if given.gp else WAYS
    tasks = [(way, seed) for way in ways for seed in range(given.replays)]
    work = partial(replayed, path=given.table, trials=given.trials, slots=given.slots)
    curves: dict[str, list[Curve]] = defaultdict(list)
    with ProcessPoolExecutor(initializer=set_verbosity, initargs=(WARNING,)) as pool:
        done = pool.map(work, tasks, chunksize=2)
        for (way, _), found in zip(tasks, tracked(done, total=len(tasks), title="replaying"), strict=True):
            curves[way.name] += found
    show(table, curves, given.out)


def show(table: Landscape, curves: dict[str, list[Curve]], out: Path) -> None:
    """Print both tables; write them and the figure."""
    out.mkdir(parents=True, exist_ok=True)
    console = Console(width=120)
    epochs = max(len(c) for found in curves.values() for c in found)
    marks = [m for m in (40, 80, 120, 160, 240, 320, 480) if m <= epochs]
    columns = ["way", *(f"after {m}" for m in marks), f"epochs to {CLOSE:g}", "epochs in all"]
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):  # nothing, before a first trial
        means = {name: np.nanmean(aligned(found, epochs), axis=0) for name, found in curves.items()}
    rows = []
    for name, found in curves.items():
        at = first_within(means[name], CLOSE)
        length = np.mean([len(c) for c in found])
        cells = [f"{means[name][m - 1]:.2f}" for m in marks]
        rows.append([name, *cells, "–" if at is None else str(at), f"{length:.0f}"])
    text = [to_markdown(columns, rows), "", *foretold(table)]
    (out / "efficiency.md").write_text("\n".join(text) + "\n")
    shown = Table(*columns, title="regret in points of Ω, by epochs spent on a machine")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
    console.print("\n".join(foretold(table)), markup=False)
    draw(means, out / "efficiency.png")
    console.print(f"{out}/efficiency.md, {out}/efficiency.png")


def foretold(table: Landscape) -> list[str]:
    """How well each epoch foretells the last one, and what the last one itself is worth."""
    epochs = next(iter(table.curves.values())).shape[1]
    columns = ["machine", *(f"epoch {e}" for e in range(1, epochs)), "another seed's end"]
    rows = [
        [m, *(f"{table.foretold(m, e):.2f}" for e in range(1, epochs)), f"{table.repeated(m):.2f}"]
        for m in table.machines
    ]
    return [to_markdown(columns, rows)]


def draw(means: dict[str, Curve], path: Path) -> None:
    """Mean regret against epochs."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for name, mean in means.items():
        axes.plot(np.arange(1, len(mean) + 1), mean, label=name, lw=1.5)
    axes.set(xlabel="epochs spent on a machine", ylabel="regret, points of Ω", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
