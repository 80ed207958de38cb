"""How long thousands of trials' scores take to load: file by file, and from the score archive.

    python benchmarks/archive.py [--trials 5000] [--clips 1230]

Writes that many complete trials of two score types into a ledger of its own, reads them as the ledger has
them, builds the archive, and loads it again as every later report or ensemble does.
"""

import argparse
import tempfile
from collections.abc import Callable
from time import perf_counter, process_time, time

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from humtune import __version__
from humtune.detectors.classifier.recipe import Classifier
from humtune.ledger import Ledger
from humtune.plan import Asked, Machine, Plan
from humtune.records import Epoch, TrialRecord, TrialState, trial_id
from humtune.results.archive import read_archive
from humtune.sounds.table import NORMAL, SOURCE, ClipTable, Role
from humtune.storage import Storage

SCORES = ("cosine", "nll")
EPOCHS = 50


def write_search(storage: Storage, *, trials: int, clips: int) -> Ledger:
    columns = {"part": "dev", "split": "test", "attributes": "", "role": str(Role.SELECT)}
    numbers = {"section": 0, "domain": SOURCE, "label": NORMAL}
    table = ClipTable.from_columns(
        machine="fan",
        name=[f"{i:05d}.wav" for i in range(clips)],
        **{name: [value] * clips for name, value in (columns | numbers).items()},
    )
    plan = Plan(
        name="many",
        created=time(),
        version=__version__,
        asked=Asked(space={}, data="recordings", trials=trials),
        machines={"fan": Machine(bank="bank", data_hash="0")},
    )
    ledger = Ledger(storage, plan.name)
    ledger.create(plan, {"fan": table})
    metrics = {"loss": 0.123456789, "accuracy": 0.987654321, "learning_rate": 1e-3}
    epochs = tuple(Epoch(epoch=i + 1, ended=time(), seconds=1.0, metrics=metrics) for i in range(EPOCHS))
    generator = np.random.default_rng(0)
    for number in track(range(trials), "writing"):
        record = TrialRecord(
            id=trial_id("fan", number),
            machine="fan",
            number=number,
            origin="sampler",
            params={"head.mu": float(number)},
            config=Classifier().model_dump(mode="json"),
            state=TrialState.COMPLETE,
            started=time(),
            epochs=epochs,
            omega=dict.fromkeys(SCORES, 0.5),
        )
        ledger.write_scores(record.id, {name: generator.normal(size=clips) for name in SCORES})
        ledger.write(record)
    return ledger


def file_by_file(ledger: Ledger) -> int:
    return len([ledger.scores(record.id, name) for record in ledger.records() for name in record.omega])


def from_archive(ledger: Ledger) -> int:
    return len(read_archive(ledger, "fan").scores)


def timed(function: Callable[[Ledger], int], ledger: Ledger) -> tuple[int, float, float]:
    wall, work = perf_counter(), process_time()
    return function(ledger), perf_counter() - wall, process_time() - work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--clips", type=int, default=1230)
    asked = parser.parse_args()
    table = Table("way", "score vectors", "s", "s of processor")
    with tempfile.TemporaryDirectory() as folder:
        ledger = write_search(Storage(folder), trials=asked.trials, clips=asked.clips)
        ways = {
            "file by file": file_by_file,
            "archive, the first time": from_archive,
            "archive": from_archive,
        }
        for name, way in ways.items():
            count, wall, work = timed(way, ledger)
            table.add_row(name, str(count), f"{wall:.2f}", f"{work:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
