"""Makes table.parquet: every configuration of space.yaml, trained to its end from two seeds, epoch by epoch.

    python benchmarks/efficiency/make_table.py [--work DIR] [--slots 2]

Three synthetic machines × 72 configurations × 2 seeds, by humtune's own search: under an hour on two cores. A
run that was interrupted goes on where it stopped, if it is given the same --work.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from humtune.layout import Layout
from humtune.ledger import Ledger
from humtune.search import run
from humtune.search.space import read_space
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage

HERE = Path(__file__).parent
MACHINES = ("fan", "bearing", "valve")
SIZES = Sizes(sections=4, train_source=24, train_target=4, test_per_cell=10, seconds=2.5)


def main() -> None:
    """Search, and write the table."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--work", type=Path, help="folder for recordings and search; a new one")
    words.add_argument("--slots", type=int, default=2)
    words.add_argument("--out", type=Path, default=HERE / "table.parquet")
    given = words.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="humtune-table-"))
    ledger = searched(work)
    run.run(ledger, slots=given.slots)
    rows = list(table_rows(ledger))
    parquet.write_table(pyarrow.Table.from_pylist(rows), given.out)
    seconds = sum(record.seconds for record in ledger.records())
    print(f"{given.out}: {len(rows)} epochs of {len(rows) // 8} trials, {seconds / 3600:.2f} hours of work")


def searched(work: Path) -> Ledger:
    """The search's ledger, new or as far as it has come."""
    storage = Storage(work / "runs")
    if storage.exists(Layout("table").plan):
        return Ledger(storage, "table")
    recordings = work / "recordings"
    if not recordings.exists():
        synthesise(recordings, machines=MACHINES, sizes=SIZES)
    _, space = read_space(str(HERE / "space.yaml"))
    return run.prepare(space, name="table", data=recordings, storage=storage)


def table_rows(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """An epoch of a trial each: machine, what was searched, seed, epoch, Ω of the best score type (0…1)."""
    for record in ledger.records():
        for epoch in record.epochs:
            yield {
                "machine": record.machine,
                **record.params,
                "seed": record.seed,
                "epoch": epoch.epoch,
                "omega": epoch.metrics["omega"],
                "seconds": epoch.seconds,
            }


if __name__ == "__main__":
    main()
