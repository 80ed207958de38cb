"""A folder of a million recordings: how soon the first is scored, and what memory the run takes.

    python benchmarks/many_files.py MODEL [--files 1000000] [--until 20000]

The files are links to one short recording, so that they cost no room. Prints the time to the first result and
the process's memory as it goes on, until so many are scored; beside it, what a list of all names would take.
"""

import argparse
import os
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import soundfile

from humtune.runtime.outcomes import Scored, Tally
from humtune.runtime.recordings import Listener
from humtune.runtime.results import ResultFiles
from humtune.runtime.scorer import Scorer
from humtune.runtime.sources import find_recordings

LINKS = 30_000  # of one file; file systems allow 65,000 or so


def resident() -> float:
    """MiB of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def fill(folder: Path, files: int) -> None:
    wave = 0.1 * np.random.default_rng(0).normal(size=1_600)
    source = folder
    for number in range(files):
        path = folder / f"{number:07d}.wav"
        if number % LINKS == 0:
            soundfile.write(path, wave, 16_000)
            source = path
        else:
            path.hardlink_to(source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--until", type=int, default=20_000)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "recordings"
        folder.mkdir()
        fill(folder, words.files)
        print(f"{words.files} files are there", flush=True)
        listener, tally = Listener(Scorer.open(words.model)), Tally()
        info = listener.scorer.info
        began = time.perf_counter()
        with ResultFiles(Path(place) / "scores", info) as results:
            outcomes = listener.listen(find_recordings([str(folder)]))
            for number, outcome in enumerate(outcomes, start=1):
                tally.add(outcome)
                if isinstance(outcome, Scored):
                    results.write(outcome)
                if number == 1 or number % (words.until // 5) == 0:
                    took = time.perf_counter() - began
                    print(f"{number:8} scored after {took:8.2f} s, {resident():.0f} MiB", flush=True)
                if number == words.until:
                    break
            outcomes.close()
            began = time.perf_counter()
            results.write_tables()
            print(f"tables written in {time.perf_counter() - began:.2f} s, {resident():.0f} MiB", flush=True)
        tracemalloc.start()
        began = time.perf_counter()
        names = sorted(folder.iterdir())
        took, held = time.perf_counter() - began, tracemalloc.get_traced_memory()[0] / 2**20
        print(f"a sorted list of all {len(names)}: {took:.1f} s, {held:.0f} MiB")


if __name__ == "__main__":
    main()
