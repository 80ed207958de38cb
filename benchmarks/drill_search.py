"""Kills a search at random moments, goes on with it, and reads whether anything was lost.

    python benchmarks/drill_search.py --kills 50 [--seed 0] [--keep DIR]

Two synthetic machines are searched by the real command. At random moments it kills, at random: the driver
alone, a trial's process, the raylet, or the driver with all of Ray. What a kill ends, `humtune resume` takes
up at once, while what is left of the sitting before may still be alive. A search that ends before the kills
are used up is followed by another one with another seed. Then everything is read: see drill_checks.py.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from drill_checks import Findings, check
from rich.console import Console
from rich.table import Table

from humtune.ledger import Ledger
from humtune.records import TrialRecord, TrialState
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage

MACHINES = ("fan", "valve")
PATIENCE = 300.0  # seconds in which a search must do what is waited for
ORPHANS = 60.0  # seconds in which a trial's process must notice that its driver is gone

HASTY = 0.25  # of the kills, those that don't wait until trials are at work


class Kind(StrEnum):
    """What is killed."""

    DRIVER = "driver"
    WORKER = "a trial's process"
    RAYLET = "raylet"
    ALL = "driver and all of Ray"


@dataclass
class Drill:
    """The kills that were made, and what was finished before each of them."""

    folder: Path
    kills: Counter[Kind] = field(default_factory=Counter)
    sittings: int = 0
    orphans: int = 0  # trials' processes that did not notice that their driver was gone
    searches: list[str] = field(default_factory=list)
    finished: dict[tuple[str, str], TrialRecord] = field(default_factory=dict)  # (search, trial) -> record

    @property
    def storage(self) -> Path:
        return self.folder / "runs"

    def ledger(self, name: str) -> Ledger:
        return Ledger(Storage(self.storage), name)

    def remember(self, name: str) -> None:
        """Note each trial that has ended, as it was when it was first seen so."""
        for record in self.ledger(name).records():
            if record.state != TrialState.RUNNING:
                self.finished.setdefault((name, record.id), record)

    def begin(self, *, seed: int, trials: int, epochs: int) -> "Sitting":
        """Start another search."""
        name = f"drill-{len(self.searches)}"
        self.searches.append(name)
        space = write_space(self.folder, seed=seed, trials=trials, epochs=epochs)
        words = ("search", space, "--data", self.folder / "data", "--checkpoint-seconds", "0")
        return self.sit(name, *words, "--name", name)

    def resume(self, name: str) -> "Sitting":
        return self.sit(name, "resume", name)

    def sit(self, name: str, *words: str | Path) -> "Sitting":
        self.sittings += 1
        log = (self.folder / f"sitting-{self.sittings:03d}.log").open("wb")
        command = [sys.executable, "-m", "humtune.cli.main", *map(str, words), "--storage", self.storage]
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"MLFLOW_TRACKING_URI": ""},
        )
        return Sitting(name, process, Path(log.name))

    def wait_for_work(self, sitting: "Sitting") -> None:
        """Until a trial of this sitting has written a checkpoint, or the search is over."""
        folder = self.storage / sitting.name / "trials"
        deadline = time.time() + PATIENCE
        while not sitting.is_over and time.time() < deadline:
            with suppress(FileNotFoundError):  # a trial that ends takes its checkpoint along
                if any(path.stat().st_mtime > sitting.began for path in folder.glob("*/checkpoint.pt")):
                    return
            time.sleep(0.02)

    def clear(self, sitting: "Sitting") -> None:
        """Wait until no trial's process is left of a sitting: one that stays is counted, and ended.

        Ray's two agents notice a minute later that their raylet is gone. They write nothing, and are ended.
        """
        deadline = time.time() + ORPHANS
        while (left := sitting.pids(Kind.WORKER)) and time.time() < deadline:
            time.sleep(0.1)
        self.orphans += len(left)
        for pid in sitting.processes():
            kill(pid)


@dataclass
class Sitting:
    """One run of the command: a process in a session of its own, with Ray's processes below it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    began: float = field(default_factory=time.time)

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def processes(self) -> dict[int, str]:
        """Every process of the run by its number, with its name."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and os.getsid(int(entry.name)) == self.process.pid:
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    words = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
                    if state != "Z":
                        found[int(entry.name)] = words.rpartition("/")[2]
            except OSError:  # it ended while we looked
                continue
        return found

    def pids(self, kind: Kind) -> list[int]:
        """The processes that a kill of this kind takes."""
        match kind:
            case Kind.DRIVER:
                return [] if self.is_over else [self.process.pid]
            case Kind.ALL:
                return list(self.processes())
            case Kind.RAYLET:
                return [pid for pid, name in self.processes().items() if name == "raylet"]
        return [pid for pid, name in self.processes().items() if name.startswith("ray::ResourceTrainable")]

    def strike(self, kind: Kind, rng: random.Random) -> bool:
        """Kill, as soon as there is what should be killed; False where the search was over before."""
        deadline = time.time() + PATIENCE
        while not (pids := self.pids(kind)):
            if self.is_over:
                return False
            if time.time() > deadline:
                raise TimeoutError(f"no {kind} to kill; see {self.log}")
            time.sleep(0.05)
        for pid in [rng.choice(pids)] if kind == Kind.WORKER else pids:
            kill(pid)
        return True

    def wait(self) -> int:
        """The exit code at the search's end; TimeoutExpired where it does not end."""
        return self.process.wait(PATIENCE)


def kill(pid: int) -> None:
    """End a process, where it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def write_space(folder: Path, *, seed: int, trials: int, epochs: int) -> Path:
    """Small networks, TPE with a pruner, and a first point that is never stopped."""
    space: dict[str, Any] = {
        "trials": trials,
        "seed": seed,
        "sampler": "tpe",
        "pruner": "successive_halving",
        "fixed": {
            "spectrogram": {"n_fft": 256, "chunk_frames": 32, "n_mels": 32, "db": True},
            "backbone": {"width": 0.125},
            "training": {"epochs": epochs, "batch_size": 16, "chunks_per_clip": 4},
        },
        "search": {"head.mu": [5, 10, 20], "head.sigma2": {"low": 0.02, "high": 0.5, "log": True}},
        "first": [{"head.mu": 10, "head.sigma2": 0.1}],
    }
    path = folder / f"space-{seed}.yaml"
    path.write_text(yaml.safe_dump(space))
    return path


def record_machines(folder: Path) -> None:
    """Make the recordings that all searches of a drill share."""
    sizes = Sizes(sections=3, train_source=12, train_target=3, test_per_cell=4, seconds=1.0)
    synthesise(folder / "data", machines=MACHINES, sizes=sizes)


def drill(
    folder: Path,
    kinds: list[Kind],
    *,
    rng: random.Random,
    seed: int,
    trials: int,
    epochs: int,
    pause: float,
    hasty: float = 0.0,
) -> Drill:
    """Make the kills in their order and end every search.

    Each comes up to `pause` seconds after a checkpoint of the sitting that it hits; a share of them, `hasty`,
    up to `pause` seconds after the sitting's start, or whatever the kill before left of it.
    """
    record_machines(folder)
    made = Drill(folder)
    wanted = list(kinds)
    sitting: Sitting | None = None
    try:
        while wanted:
            if sitting is None:
                sitting = made.begin(seed=seed + len(made.searches), trials=trials, epochs=epochs)
            before = sitting
            if rng.random() >= hasty:
                made.wait_for_work(sitting)
            time.sleep(rng.uniform(0.0, pause))
            made.remember(sitting.name)
            if not sitting.strike(wanted[0], rng):
                sitting = finished(made, sitting)
                continue
            kind = wanted.pop(0)
            made.kills[kind] += 1
            if kind != Kind.WORKER:
                sitting.wait()  # a dead raylet ends the driver too
                if made.ledger(sitting.name).storage.exists(f"{sitting.name}/plan.json"):
                    sitting = made.resume(sitting.name)  # at once: orphans may be at work
                else:  # killed before there was anything to go on with
                    made.searches.remove(sitting.name)
                    sitting = None
                made.clear(before)
        while sitting is not None:
            sitting.wait()
            sitting = finished(made, sitting)
    except BaseException:
        for pid in sitting.processes() if sitting else ():
            kill(pid)
        raise
    return made


def finished(made: Drill, sitting: Sitting) -> Sitting | None:
    """None after a search that ended well; where it failed, the sitting that goes on with it."""
    made.remember(sitting.name)
    made.clear(sitting)
    if sitting.wait() == 0:
        return None
    raise RuntimeError(f"{sitting.name} failed though nothing was killed:\n{sitting.log.read_text()}")


def show(made: Drill, found: Findings, console: Console) -> None:
    """The counts as a table, the violations, and a line for the documentation."""
    table = Table("what", "count", title="a search killed at random moments", title_justify="left")
    for kind in Kind:
        table.add_row(f"kills: {kind}", str(made.kills[kind]))
    counts = {
        "searches": len(made.searches),
        "sittings": made.sittings,
        "trials' processes that outlived their driver by a minute": made.orphans,
    } | found.counts
    for what, count in counts.items():
        table.add_row(what, str(count))
    table.add_row("violations", str(len(found.violations)))
    console.print(table)
    for violation in found.violations:
        console.print(violation, markup=False, highlight=False, soft_wrap=True)
    kills = ", ".join(f"{made.kills[kind]} of {kind}" for kind in Kind if made.kills[kind])
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    line = f"{made.kills.total()} kills ({kills}): {told}, {len(found.violations)} violations."
    console.print(f"for docs/search.md: {line}", markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=8, help="per machine and search")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--pause", type=float, default=8.0, help="longest wait before a kill, in seconds")
    parser.add_argument("--keep", type=Path, help="a new folder that keeps everything")
    words = parser.parse_args()
    rng = random.Random(words.seed)
    kinds = [rng.choice(list(Kind)) for _ in range(words.kills)]
    with tempfile.TemporaryDirectory(prefix="humtune-drill-") as temporary:
        folder = words.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        made = drill(
            folder.resolve(),
            kinds,
            rng=rng,
            seed=words.seed,
            trials=words.trials,
            epochs=words.epochs,
            pause=words.pause,
            hasty=HASTY,
        )
        found = check(made.ledger(name) for name in made.searches)
        found.compare(made.finished, {n: made.ledger(n) for n in made.searches})
        show(made, found, Console())
    sys.exit(bool(found.violations))


if __name__ == "__main__":
    main()
