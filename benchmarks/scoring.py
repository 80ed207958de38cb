"""Recordings scored at once by threads, by processes, or one by one on all cores: which is faster.

    python benchmarks/scoring.py MODEL FOLDER [--workers 2] [--rounds 5]

All ways score all recordings of the folder in turn, round after round: other work on the computer then falls
on each of them. Prints the median of their times, beside that of a single thread.
"""

import argparse
import multiprocessing
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from humtune.runtime.outcomes import Scored
from humtune.runtime.recordings import Listener
from humtune.runtime.scorer import Scorer
from humtune.runtime.sources import find_recordings

_listener: Listener


def open_model(model: Path) -> None:
    """What a process does once."""
    global _listener
    _listener = Listener(Scorer.open(model), workers=1)


def score(path: Path) -> float:
    outcome = _listener.score(path)
    assert isinstance(outcome, Scored)
    return outcome.score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    paths = [path for path in find_recordings([str(words.folder)]) if isinstance(path, Path)]
    single, several = (Listener(Scorer.open(words.model), workers=n) for n in (1, words.workers))
    spread = Listener(Scorer.open(words.model, threads=words.workers), workers=1)
    # Forked children of a process with onnxruntime's threads would wait for ever.
    fresh = multiprocessing.get_context("spawn")
    begin = {"initializer": open_model, "initargs": (words.model,), "mp_context": fresh}
    with ProcessPoolExecutor(words.workers, **begin) as pool:
        ways: dict[str, Callable[[], object]] = {
            "one thread": lambda: list(single.listen(paths)),
            f"{words.workers} threads": lambda: list(several.listen(paths)),
            f"{words.workers} processes": lambda: list(pool.map(score, paths, chunksize=4)),
            f"one by one, {words.workers} threads in onnxruntime": lambda: list(spread.listen(paths)),
        }
        seconds = defaultdict(list)
        for _ in range(words.rounds + 1):  # the first warms up
            for name, way in ways.items():
                began = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - began)
    table = Table("way", "recordings a second", "beside one thread")
    base = statistics.median(seconds["one thread"][1:])
    for name, took in seconds.items():
        median = statistics.median(took[1:])
        table.add_row(name, f"{len(paths) / median:.1f}", f"{base / median:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
