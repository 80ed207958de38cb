"""Kills a search at random moments, lets it meet faults, goes on with it: the part of drill.py for searches.

Two synthetic machines are searched by the real command. At random moments it kills, at random: the driver
alone, a trial's process, the raylet, or the driver with all of Ray. What a kill ends, `humtune resume` takes
up at once, while what is left of the run before may still be alive. Or disk or clock are wrong for all
processes for a while, or a second resume begins while the search runs. A search that ends before all is
used up is followed by another one with another seed. Then everything is read: see drill_checks.py.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from drill_faults import Fault, Page

from humtune.layout import Layout
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
    FULL = "disk full"
    BROKEN = "I/O error"
    READ_ONLY = "read-only"
    SLOW = "slow storage"
    BACK = "clock back an hour"
    AHEAD = "clock ahead a day"
    SECOND = "two at once"


KILLS = (Kind.DRIVER, Kind.WORKER, Kind.RAYLET, Kind.ALL)
JUMPS = {Kind.BACK: -3_600.0, Kind.AHEAD: 86_400.0}  # seconds
LASTS = 2.0  # seconds that a fault of the disk lasts
STEPS = 40  # the fault hits one of so many


@dataclass
class Drill:
    """The kills that were made, and what was finished before each of them."""

    folder: Path
    kills: Counter[Kind] = field(default_factory=Counter)
    runs: int = 0
    orphans: int = 0  # trials' processes that did not notice that their driver was gone
    searches: list[str] = field(default_factory=list)
    finished: dict[tuple[str, str], TrialRecord] = field(default_factory=dict)  # (search, trial) -> record
    page: Page | None = None  # where faults are asked for
    begun: list["Run"] = field(default_factory=list)

    def break_disk_or_clock(self, kind: Kind, run: "Run", rng: random.Random) -> None:
        """Let all processes of a search meet a fault, which passes."""
        assert self.page is not None
        run.met_fault = True
        if kind in JUMPS:
            self.page.clock += JUMPS[kind]
            return
        fault = Fault[kind.name]
        self.page.arm(self.storage, fault, at=rng.randint(1, STEPS), slow=0.05)
        deadline = time.monotonic() + PATIENCE
        while not (run.is_over or self.page.met) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(LASTS)
        self.page.arm(self.storage)

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

    def begin(self, *words: str, seed: int, trials: int, epochs: int) -> "Run":
        """Start another search, with further words of its command."""
        name = f"drill-{len(self.searches)}"
        self.searches.append(name)
        space = write_space(self.folder, seed=seed, trials=trials, epochs=epochs)
        always = ("search", space, "--data", self.folder / "data", "--checkpoint-seconds", "0")
        return self.start(name, *always, "--name", name, *words)

    def resume(self, name: str) -> "Run":
        return self.start(name, "resume", name)

    def start(self, name: str, *words: str | Path) -> "Run":
        self.runs += 1
        log = (self.folder / f"run-{self.runs:03d}.log").open("wb")
        command = [sys.executable, "-m", "humtune.cli.main", *map(str, words), "--storage", self.storage]
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"MLFLOW_TRACKING_URI": ""},
        )
        self.begun.append(Run(name, process, Path(log.name)))
        return self.begun[-1]

    def wait_for_work(self, run: "Run", ended: int = 0) -> None:
        """Until a trial of this run has written a checkpoint and so many ended, or the search is over."""
        checkpoints = Layout(run.name).checkpoint("*")
        deadline = time.monotonic() + PATIENCE
        while not run.is_over and time.monotonic() < deadline:
            with suppress(FileNotFoundError):  # a trial that ends takes its checkpoint along
                if any(path.stat().st_mtime > run.began for path in self.storage.glob(checkpoints)):
                    self.remember(run.name)
                    if sum(name == run.name for name, _ in self.finished) >= ended:
                        return
            time.sleep(0.02)

    def clear(self, run: "Run") -> None:
        """Wait until no trial's process is left of a run: one that stays is counted, and ended.

        Ray's two agents notice a minute later that their raylet is gone. They write nothing, and are ended.
        """
        deadline = time.monotonic() + ORPHANS
        while (left := run.pids(Kind.WORKER)) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.orphans += len(left)
        for pid in run.processes():
            kill(pid)


@dataclass
class Run:
    """One run of the command: a process in a session of its own, with Ray's processes below it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    began: float = field(default_factory=lambda: time.time_ns() / 1e9)  # no drill changes this clock
    met_fault: bool = False

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
        deadline = time.monotonic() + PATIENCE
        while not (pids := self.pids(kind)):
            if self.is_over:
                return False
            if time.monotonic() > deadline:
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
    ended: int = 0,
    page: Page | None = None,
) -> Drill:
    """Make the kills in their order and end every search.

    Each comes up to `pause` seconds after a checkpoint of the run that it hits; a share of them, `hasty`,
    up to `pause` seconds after the run's start, or whatever the kill before left of it. The others wait
    until `ended` trials have ended for each kill that went before.
    """
    record_machines(folder)
    made = Drill(folder, page=page)
    wanted = list(kinds)
    run: Run | None = None
    try:
        while wanted:
            if run is None:
                run = made.begin(seed=seed + len(made.searches), trials=trials, epochs=epochs)
            before = run
            if rng.random() >= hasty:
                made.wait_for_work(run, ended * made.kills.total())
            time.sleep(rng.uniform(0.0, pause))
            made.remember(run.name)
            if wanted[0] not in KILLS and not run.is_over:
                kind = wanted.pop(0)
                made.kills[kind] += 1
                if kind == Kind.SECOND:
                    run = made.resume(before.name)
                    before.wait()
                    made.clear(before)
                else:
                    made.break_disk_or_clock(kind, run, rng)
                continue
            if not run.strike(wanted[0], rng):
                run = finished(made, run)
                continue
            kind = wanted.pop(0)
            made.kills[kind] += 1
            if kind != Kind.WORKER:
                run.wait()  # a dead raylet ends the driver too
                ledger = made.ledger(run.name)
                if ledger.storage.exists(ledger.layout.plan):
                    run = made.resume(run.name)  # at once: orphans may be at work
                else:  # killed before there was anything to go on with
                    made.searches.remove(run.name)
                    run = None
                made.clear(before)
        while run is not None:
            run.wait()
            run = finished(made, run)
    except BaseException:
        for pid in [pid for each in made.begun for pid in each.processes()]:
            kill(pid)
        raise
    return made


def finished(made: Drill, run: Run) -> Run | None:
    """None after a search that ended well; where it failed, the run that goes on with it."""
    made.remember(run.name)
    made.clear(run)
    if run.wait() == 0:
        return None
    if run.met_fault:
        return made.resume(run.name)
    raise RuntimeError(f"{run.name} failed though nothing was killed:\n{run.log.read_text()}")
