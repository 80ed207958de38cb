"""What trials that share one bank of recordings hold in memory, beside what copies would take.

    python benchmarks/memory.py [--megabytes 400]

1, 2 and 4 processes each begin a real trial of a tiny network on one memory-mapped bank of noise, train an
epoch and read every sample; the same with a copy of the samples in each. Of all processes together: RSS
counts a shared page for each process, PSS once in all, USS only what no other process has.
"""

import argparse
import multiprocessing
import tempfile
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from noop import make_search
from rich.console import Console
from rich.table import Table

from humtune.ledger import Ledger
from humtune.search.space import Space, check_space
from humtune.search.studies import Studies
from humtune.search.tune import MachineSearcher
from humtune.sounds.bank import keep_bank
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, ClipTable, assign_roles
from humtune.storage import Storage

MACHINE = "fan"
CLIP = 160_000  # samples: 10 s
TRIALS = (1, 2, 4)
TINY = {
    "spectrogram": {"n_fft": 128, "chunk_frames": 16, "n_mels": 16},
    "backbone": {"width": 0.125, "embedding": 16},
    "training": {"epochs": 2, "chunks_per_clip": 1},
}


class Held(NamedTuple):
    """Bytes that processes hold."""

    rss: int
    pss: int
    uss: int
    bank: int  # of pss, the pages of the bank's file


def clip_table(clips: int) -> ClipTable:
    """Two sections; four clips of five train."""
    cells = [(SOURCE, NORMAL), (SOURCE, ANOMALY), (TARGET, NORMAL), (TARGET, ANOMALY)]
    tested = [i % 5 == 0 for i in range(clips)]
    told = [cells[i // 10 % 4] if test else (SOURCE, NORMAL) for i, test in enumerate(tested)]
    return ClipTable.from_columns(
        machine=MACHINE,
        name=[f"{i:05d}.wav" for i in range(clips)],
        part=["dev"] * clips,
        split=["test" if test else "train" for test in tested],
        section=[i % 2 for i in range(clips)],
        domain=[domain for domain, _ in told],
        label=[label for _, label in told],
        attributes=[""] * clips,
        role=[""] * clips,
    )


def search_on_noise(folder: str, clips: int) -> tuple[Ledger, Space]:
    """A search whose machine has so many clips of noise."""
    rng = np.random.default_rng(0)
    table = assign_roles(clip_table(clips))
    noise = (rng.integers(-3000, 3000, CLIP, dtype=np.int16) for _ in range(clips))
    bank = keep_bank(noise, table, Storage(folder))
    raw = {"trials": max(TRIALS), "sampler": "random", "fixed": TINY}
    space = check_space(raw | {"search": {"head.mu": {"low": 1.0, "high": 30.0}}}, where="benchmark")
    return make_search(folder, space, [bank]), space


def one_trial(config: dict[str, Any], copied: bool, wire: Connection) -> None:
    """Begin a trial, train an epoch, read all samples; then wait to be measured."""
    from humtune.search.trial import TrialRun, open_bank, start_trial

    run = start_trial(config)
    if copied:
        bank = open_bank(run.ledger.storage, run.ledger.name, MACHINE)
        bank = replace(bank, samples=np.array(bank.samples))
        open_bank.cache_clear()
        run = TrialRun(run.ledger, run.record, [bank], measured=run.measured)
    run.epoch()
    wire.send(int(run.fit.bank.samples.max()))
    wire.recv()


def held(pids: list[int]) -> Held:
    """What the processes hold together, as the kernel counts it."""
    totals = dict.fromkeys(("Rss", "Pss", "Private_Clean", "Private_Dirty"), 0)
    bank = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, kilobytes = line.split()[:2]
            if name.rstrip(":") in totals:
                totals[name.rstrip(":")] += 1024 * int(kilobytes)
        mapped = ""
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            words = line.split()
            if not words[0].endswith(":"):
                mapped = words[-1]
            elif words[0] == "Pss:" and mapped.endswith("samples.npy"):
                bank += 1024 * int(words[1])
    uss = totals["Private_Clean"] + totals["Private_Dirty"]
    return Held(totals["Rss"], totals["Pss"], uss, bank)


def measured(ledger: Ledger, space: Space, *, trials: int, copied: bool) -> Held:
    """What so many trials hold at a time."""
    studies = Studies(ledger, space)
    searcher = MachineSearcher(studies, cpus=1)
    context = multiprocessing.get_context("spawn")
    processes, wires = [], []
    for _ in range(trials):
        record = studies.ask()
        assert record is not None
        ours, theirs = context.Pipe()
        process = context.Process(target=one_trial, args=(searcher.trial_config(record), copied, theirs))
        process.start()
        processes.append(process)
        wires.append(ours)
    for wire in wires:
        wire.recv()
    found = held([process.pid for process in processes if process.pid])
    for wire, process in zip(wires, processes, strict=True):
        wire.send(None)
        process.join()
    for trial in ledger.storage.list(ledger.layout.trials):  # the next ones begin anew
        for file in (ledger.layout.progress, ledger.layout.checkpoint):
            ledger.storage.delete(file(trial))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=400, help="size of the bank")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ledger, space = search_on_noise(folder, words.megabytes * 1_000_000 // (2 * CLIP))
        size = ledger.bank(MACHINE).samples.nbytes
        table = Table("trials", "samples", "RSS", "PSS", "USS", "bank's pages", title="MB of all processes")
        for copied in (False, True):
            for trials in TRIALS:
                found = measured(ledger, space, trials=trials, copied=copied)
                metrics = (f"{value / 1e6:.0f}" for value in found)
                table.add_row(str(trials), "copied" if copied else "mapped", *metrics)
    console = Console()
    console.print(f"a bank of {size / 1e6:.0f} MB")
    console.print(table)


if __name__ == "__main__":
    main()
