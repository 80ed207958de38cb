"""How many healthy recordings of several lengths are called strange, beside what was promised.

    python benchmarks/lengths.py [--data DIR --machine ToyCar] [--draws 10] [--rates 0.1,0.02]

Healthy clips of a working condition follow one another as they are numbered, six to a recording. Half of the
recordings, drawn, train small detectors and choose a threshold: by their windows as an import's recordings
do, or by clips alone. Of the other half recordings of 1 to 30 clips are made. They are held against the limit
of their length, and against that of a clip. Without --data the machines are synthetic.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from humtune.config import SAMPLE_RATE
from humtune.detectors.detector import Detector
from humtune.detectors.recipe import recipe_of
from humtune.export.left_out import left_out_scores
from humtune.metrics.calibration import Threshold
from humtune.runtime.info import Evidence, ModelInfo
from humtune.runtime.limits import Limits
from humtune.runtime.promises import GroupScores
from humtune.runtime.timeline import cut
from humtune.sounds.bank import ClipBank, load_banks
from humtune.sounds.groups import without_recording
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.sounds.table import SOURCE, Role
from humtune.storage import Storage

LENGTHS = (1, 3, 6, 30)  # clips beside each other
RECORDING = 6  # clips of a recording that the model knows
MIXTURE = {"family": "gaussian_mixture", "n_mels": 32, "scores": ["own", "knn"]}
RECIPES = {
    "mean spectrum": MIXTURE,
    "loud frames": MIXTURE | {"pooling": "gwrp", "decay": 0.9},
}

Scores = NDArray[np.float64]


def in_order(bank: ClipBank) -> tuple[ClipBank, NDArray[np.intp]]:
    """The healthy source clips that are as long as most, by condition, and the condition of each."""
    usual = int(np.median(bank.lengths))
    healthy = bank.table.having(Role.TRAIN, Role.HELD_OUT)
    clips = healthy[(bank.table.domain[healthy] == SOURCE) & (bank.lengths[healthy] == usual)]
    told = without_recording(bank.table.attributes)[clips]
    names = [f"{section} {text}" for section, text in zip(bank.table.section[clips], told, strict=True)]
    condition = np.unique(names, return_inverse=True)[1]
    order = np.lexsort((bank.table.name[clips], condition))
    sounds = [bank.clip(clip) for clip in clips[order].tolist()]
    ends = np.cumsum([0, *map(len, sounds)], dtype=np.int64)
    return ClipBank(bank.table.take(clips[order]), np.concatenate(sounds), ends, bank.hash), condition[order]


def draw(condition: NDArray[np.intp], rng: np.random.Generator) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """The recording of each clip, and whether it is known."""
    place = np.concatenate([np.arange(count) for count in np.bincount(condition)])
    name = np.array([f"{c} {p // RECORDING}" for c, p in zip(condition, place, strict=True)])
    names = np.unique(name)
    known = names[rng.permutation(len(names)) < len(names) / 2]
    return name, np.isin(name, known)


def window_scores(detector: Detector, score: str, bank: ClipBank, clips: NDArray[np.intp]) -> Scores:
    """Scores of the windows of some clips, one after another as one recording."""
    pieces = [piece for _, piece in cut([bank.clip(clip) for clip in clips.tolist()], int(bank.lengths[0]))]
    ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    table = bank.table.take(np.zeros(len(pieces), np.intp))
    joined = ClipBank(table, np.concatenate(pieces), ends, "windows")
    return detector.score(detector.encode(joined, np.arange(len(pieces))))[score]


def model(evidence: Evidence, samples: int, rate: float) -> ModelInfo:
    """Of a model only what its limits are made of."""
    return ModelInfo(
        machine="one",
        score_type="one",
        threshold=Threshold(0.0, rate, 1),
        sample_rate=SAMPLE_RATE,
        least_samples=samples,
        window=samples,
        search="none",
        trial="none",
        configuration={},
        metrics={},
        versions={},
        evidence=evidence,
    ).with_threshold(rate)


def known_by(
    detector: Detector, score: str, bank: ClipBank, clips: NDArray[np.intp], name: NDArray[np.str_]
) -> Iterator[tuple[str, Evidence]]:
    """What export would keep of the known clips, as recordings and as clips alone."""
    samples = int(bank.lengths[0])
    alone = np.array([f"clip {i}" for i in range(len(name))])
    for way, groups, joined in (("recordings", name, True), ("clips", alone, False)):
        found, of = left_out_scores(detector, score, bank, clips, groups, window=samples, joined=joined)
        kept = [
            GroupScores(domain="any", group=group, scores=found[groups[clips[of]] == group].tolist())
            for group in np.unique(groups[clips]).tolist()
        ]
        evidence = Evidence(
            held_out=(0.0,), clip_samples=samples, left_out=kept, clip_windows=1 if joined else None
        )
        yield way, evidence


def shares(bank: ClipBank, condition: NDArray[np.intp], draws: int, rates: list[float]) -> Iterator[tuple]:
    """Score, evidence, rate, length in clips, share above a clip's limit, and above that of the length."""
    samples = int(bank.lengths[0])
    for seed in track(range(draws), description=bank.table.machine, console=Console(stderr=True)):
        name, is_known = draw(condition, np.random.default_rng(seed))
        role = np.where(is_known, str(Role.TRAIN), str(Role.REPORT))
        own = replace(bank, table=replace(bank.table, role=role))
        clips = np.flatnonzero(is_known)
        for kind, recipe in RECIPES.items():
            detector = recipe_of(recipe).start(own).run()
            for score in recipe["scores"]:
                new = [
                    window_scores(detector, score, own, np.flatnonzero(~is_known & (condition == c)))
                    for c in np.unique(condition[~is_known])
                ]
                for way, evidence in known_by(detector, score, own, clips, name):
                    for rate in rates:
                        limits = Limits(model(evidence, samples, rate))
                        one = limits.scale(samples).limit
                        for length in LENGTHS:
                            highest = np.array(
                                [
                                    scores[2 * a : 2 * b - 1].max()
                                    for scores in new
                                    for a, b in pairwise(range(0, (len(scores) + 1) // 2 + 1, length))
                                ]
                            )
                            limit = limits.scale(length * samples).limit
                            if highest.size:
                                above = float((highest > one).mean()), float((highest > limit).mean())
                                yield f"{kind}, {score}", way, rate, length, *above


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a data set; unsaid, two synthetic machines")
    parser.add_argument("--machine", help="of the data set")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--rates", default="0.1,0.02")
    words = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("machine", "score", "healthy", "promised %", *(f"{k} clips" for k in LENGTHS))
    with tempfile.TemporaryDirectory() as place:
        data = words.data or Path(place) / "data"
        if words.data is None:
            sizes = Sizes(sections=3, train_source=120, train_target=2, test_per_cell=2, seconds=4.0)
            synthesise(data, machines=["fan", "valve"], sizes=sizes)
        machines = [words.machine] if words.machine else None
        for machine, bank in load_banks(data, Storage(Path(place) / "runs"), machines).items():
            found: dict[tuple, dict[int, list]] = defaultdict(lambda: defaultdict(list))
            rates = [float(rate) for rate in words.rates.split(",")]
            for score, way, rate, length, *above in shares(*in_order(bank), words.draws, rates):
                for key in ((score, way, rate), ("mean", way, rate)):
                    found[key][length].append(above)
            for (score, way, rate), by_length in sorted(found.items()):
                cells = (
                    "{:.0f} → {:.1f}".format(*100 * np.mean(by_length[k], axis=0)) if by_length[k] else ""
                    for k in LENGTHS
                )
                table.add_row(machine, score, way, f"{100 * rate:g}", *cells)
    Console(width=140).print(table)
    Console().print("above a clip's limit → above the limit of the length, % of healthy recordings")


if __name__ == "__main__":
    main()
