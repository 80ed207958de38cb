"""A clip's score by chunks spread over all of it, beside its strangest window's.

    python benchmarks/windows.py [--data DIR] [--machines fan,valve]

Small detectors are trained on a data set, or on synthetic machines. Their five chunks span a part of a
clip. Both scores get a threshold by their own held-out clips. Then recordings of eight normal clips are
made, and others with three faulty ones among them: do they raise an alarm, and are they told apart?
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from humtune.config import TEST_CHUNKS
from humtune.detectors.detector import Detector
from humtune.detectors.recipe import recipe_of
from humtune.metrics.calibration import false_alarm_rate, threshold_from
from humtune.results.reading import labelled_clips
from humtune.runtime.timeline import cut
from humtune.sounds.bank import ClipBank, load_banks
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.sounds.table import ANOMALY, NORMAL, SCORED, Role
from humtune.storage import Storage

FAMILIES = {
    "classifier": {"backbone": {"width": 0.125}, "training": {"epochs": 6}, "scores": ["cosine", "nll"]},
    "autoencoder": {"epochs": 6, "scores": ["own", "knn"]},
}
SPECTROGRAM = {"n_fft": 1024, "n_mels": 64}
HOP = 512
REACHES = (0.5, 0.75)  # what five chunks span side by side, as a share of a clip
CLIPS, FAULTY, RECORDINGS = 8, 3, 24  # of a long recording; of those that are faulty; recordings

Samples = NDArray[np.int16]


def score(
    detector: Detector, bank: ClipBank, sounds: Sequence[Samples], size: int | None
) -> dict[str, np.ndarray]:
    """Scores of sounds by score type: of the strangest window of `size` samples, or of all as one clip."""
    pieces = [(i, piece) for i, sound in enumerate(sounds) for _, piece in cut([sound], size or len(sound))]
    owner = np.array([i for i, _ in pieces])
    table = bank.table.take(np.zeros(len(pieces), np.intp))
    ends = np.cumsum([0, *(len(piece) for _, piece in pieces)])
    joined = ClipBank(table, np.concatenate([piece for _, piece in pieces]), ends, "windows")
    found = detector.score(detector.encode(joined, np.arange(len(pieces))))
    return {
        name: np.array([values[owner == i].max() for i in range(len(sounds))])
        for name, values in found.items()
    }


def long_recordings(
    clips: Sequence[Samples], faults: Sequence[Samples]
) -> tuple[list[Samples], list[Samples]]:
    """Healthy recordings of several clips each, and the same with some of them faulty."""
    rng = np.random.default_rng(0)
    healthy, faulty = [], []
    for _ in range(RECORDINGS):
        chosen = [clips[i] for i in rng.integers(0, len(clips), CLIPS)]
        healthy.append(np.concatenate(chosen))
        first = int(rng.integers(0, CLIPS - FAULTY + 1))
        chosen[first : first + FAULTY] = [faults[rng.integers(0, len(faults))]] * FAULTY
        faulty.append(np.concatenate(chosen))
    return healthy, faulty


def measure(bank: ClipBank, family: str, reach: float, table: Table) -> None:
    usual = int(np.median(bank.lengths))
    frames = max(16, round(reach * usual / HOP / TEST_CHUNKS))
    spectrogram = SPECTROGRAM | {"chunk_frames": frames}
    fit = recipe_of({"family": family, "spectrogram": spectrogram, **FAMILIES[family]}).start(bank)
    for _ in range(fit.recipe.budget):
        fit.step()
    detector = fit.finish()
    size = (TEST_CHUNKS * frames - 1) * HOP
    scored = bank.table.having(*SCORED)
    clips = bank.table.take(scored)
    sounds = [bank.clip(int(i)) for i in scored]
    select = clips.role == str(Role.SELECT)
    kinds = [np.flatnonzero(select & (clips.label == label)) for label in (NORMAL, ANOMALY)]
    normal, faults = ([sounds[i] for i in kind] for kind in kinds)
    healthy, faulty = long_recordings(normal, faults)
    for way, window in (("spread over all", None), ("in windows", size)):
        found = score(detector, bank, sounds, window)
        long = [score(detector, bank, some, window) for some in (healthy, faulty)]
        for name, values in found.items():
            threshold = threshold_from(values[clips.having(Role.HELD_OUT)]).value
            read = labelled_clips(clips).read(values).select
            omega = "" if read is None else f"{100 * float(read.omega_official):.1f}"
            calm, odd = (some[name] for some in long)
            rates = [
                false_alarm_rate(some, threshold) for some in (*(values[kind] for kind in kinds), calm, odd)
            ]
            auc = float((odd[:, None] > calm).mean())
            cells = (bank.table.machine, f"{family} {name}", f"{size / usual:.2f}", way, omega)
            table.add_row(*cells, *(f"{100 * rate:.0f}" for rate in (*rates, auc)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a data set; unsaid, synthetic machines with clips of 6 s")
    parser.add_argument("--machines", default="fan,valve")
    words = parser.parse_args()
    torch.set_num_threads(1)
    heads = ("machine", "score", "window / clip", "chunks", "Ω", "false alarms %", "caught %")
    table = Table(*heads, "long: false alarms %", "caught %", "AUC %")
    with tempfile.TemporaryDirectory() as place:
        data = words.data or Path(place) / "data"
        if words.data is None:
            sizes = Sizes(sections=3, train_source=60, train_target=5, test_per_cell=15, seconds=6.0)
            synthesise(data, machines=words.machines.split(","), sizes=sizes)
        for machine, bank in load_banks(data, Storage(Path(place) / "runs")).items():
            if machine in words.machines.split(","):
                for family in FAMILIES:
                    for reach in REACHES:
                        measure(bank, family, reach, table)
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
