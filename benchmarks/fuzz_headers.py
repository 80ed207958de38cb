"""Damaged sound files, thousands of them: each is scored or told in a line, none ends the process.

    python benchmarks/fuzz_headers.py [--files 100000] [--seed 0]

A short wav, wav of floats, wav of 24 bits, RF64 and flac each get bytes changed at random, most of them in
their headers, are cut or lengthened, and read as the scorer reads. Prints how many were read, how many told
in a line, the slowest, and the most memory; stops at the first error that is no such line, with what it takes
to make the file again. The number of files done stands above a crash of the process.
"""

import argparse
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile

from humtune.errors import HumtuneError
from humtune.runtime.timeline import cut
from humtune.sounds.sound_file import open_sound

RATE, SAMPLES = 16_000, 4_000
HEADER = 128  # bytes in which most changes fall
KINDS = {
    "wav": ("WAV", "PCM_16"),
    "wav of floats": ("WAV", "FLOAT"),
    "wav of 24 bits": ("WAVEX", "PCM_24"),
    "rf64": ("RF64", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
}
ODD = (0, 1, 0x7F, 0x80, 0xFF)


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one byte to eight, then now and then cut or lengthen what is there."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        end = min(HEADER, len(data)) if rng.random() < 0.8 else len(data)
        value = int(rng.choice(ODD)) if rng.random() < 0.5 else int(rng.integers(256))
        data[int(rng.integers(end))] = value
    how = rng.random()
    if how < 0.2:
        return bytes(data[: int(rng.integers(len(data)))])
    return bytes(data) + rng.bytes(int(rng.integers(64))) if how < 0.3 else bytes(data)


def read(path: Path) -> int:
    """Samples in all windows of a file."""
    with open_sound(path, RATE) as sound:
        return sum(len(samples) for _, samples in cut(sound.blocks(), RATE))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    wave = 0.1 * np.random.default_rng(0).normal(size=SAMPLES)
    outcomes: Counter[tuple[str, str]] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        whole = {}
        for name, (container, subtype) in KINDS.items():
            path = Path(folder) / "whole"
            soundfile.write(path, wave, RATE, format=container, subtype=subtype)
            whole[name] = path.read_bytes()
        path = Path(folder) / "damaged.wav"
        for number in range(words.files):
            rng = np.random.default_rng((words.seed, number))
            name = list(KINDS)[number % len(KINDS)]
            path.write_bytes(damage(whole[name], rng))
            began = time.perf_counter()
            try:
                outcome = "read" if read(path) else "nothing"
            except HumtuneError as error:
                line = str(error)
                outcome = "told" if line.startswith(f"{path}: ") and "\n" not in line else "told badly"
            except BaseException:
                print(f"seed {words.seed}, file {number}, {name}")
                raise
            slowest = max(slowest, time.perf_counter() - began)
            outcomes[name, outcome] += 1
            if number % 1_000 == 999:
                print(f"{number + 1} of {words.files}", flush=True)
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name:16} {outcome:10} {count}")
    print(
        f"slowest {slowest:.2f} s, memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
    )


if __name__ == "__main__":
    main()
