"""What a refresh of tables and page takes while a folder is watched, after few results among many.

    python benchmarks/refresh.py [--entries 10000,100000] [--new 20]

A log of so many results is written. Then, a few times, new ones are appended, and tables and page are made
again: by reading the whole log for each, as where nothing is remembered, and as a watch does.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

from humtune.runtime.log import Entry, Log, read_log
from humtune.runtime.page import Recent, write_page
from humtune.runtime.results import write_tables

RATE, TIMES = 16_000, 5


def entry(i: int) -> Entry:
    score = i * 7_919 % 1_000 / 1_000
    return Entry(
        time=1.7e9 + i,
        recorded=1.7e9 + i,
        machine="fan",
        trial="fan-00001",
        file=f"/srv/incoming/fan/{i:07d}.wav",
        seconds=10.0,
        score=score,
        limit=0.99,
        usual=0.5,
        anomaly=score > 0.99,
        size=320_000,
        model="0123456789abcdef",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", default="10000,100000")
    parser.add_argument("--new", type=int, default=20)
    words = parser.parse_args()
    table = Table("results in the log", "page by the whole log, s", "page by what is new, s", "tables, s")
    for entries in map(int, words.entries.split(",")):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            with Log(folder) as log:
                for i in range(entries):
                    log.append(entry(i))
                recent = Recent(folder)
                recent.strangest()
                works: list[Callable[[], Any]] = [
                    lambda folder=folder: write_page(folder, Recent(folder).strangest(), RATE),
                    lambda folder=folder, recent=recent: write_page(folder, recent.strangest(), RATE),
                    lambda folder=folder: write_tables(folder, read_log(folder)),
                ]
                write_tables(folder, read_log(folder))
                took: list[list[float]] = [[] for _ in works]
                for turn in range(TIMES):
                    for i in range(words.new):
                        log.append(entry(entries + turn * words.new + i))
                    for times, work in zip(took, works, strict=True):
                        began = perf_counter()
                        work()
                        times.append(perf_counter() - began)
            table.add_row(f"{entries:,}", *(f"{median(times):.3f}" for times in took))
    Console().print(table)


if __name__ == "__main__":
    main()
