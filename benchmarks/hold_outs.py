"""Which held-out clips make thresholds that keep their promise in each domain of real recordings.

    python benchmarks/hold_outs.py DATA --machine ToyCar [--epochs 10] [--seeds 2]

DATA is a data set with labelled test clips. Cheap detectors learn its training clips; a threshold then comes
from scores of clips held out at random, of each clip without itself, without its cluster of near duplicates,
or without its group (recording or condition); from all of them at once, or as the highest of the domains'.
What test normals and anomalies of each domain then give stands beside the promise.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.cluster import AgglomerativeClustering

from humtune.detectors.detector import Detector
from humtune.detectors.recipe import recipe_of
from humtune.export.left_out import can_leave_out, left_out_scores
from humtune.metrics.calibration import false_alarm_rate, threshold_from
from humtune.sounds.bank import ClipBank, load_banks
from humtune.sounds.groups import group_names
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, Role
from humtune.storage import Storage

RATES = (0.05, 0.1, 0.2)
CLUSTERS = 18

Names = NDArray[np.str_]


def recipes(epochs: int, seeds: int) -> Iterator[tuple[str, dict]]:
    """What is tried: without classes, and with."""
    for pooling in ("mean", "gwrp"):
        scores = ("own", "knn", "knn_normalised")
        yield f"mixture, {pooling}", {"family": "gaussian_mixture", "pooling": pooling, "scores": scores}
    for seed in range(seeds if epochs else 0):
        yield (
            f"classifier, seed {seed}",
            {
                "family": "classifier",
                "labels": "attributes",
                "head": {"kind": "cross_entropy"},
                "backbone": {"width": 0.25},
                "spectrogram": {"n_fft": 1024, "n_mels": 128, "chunk_frames": 64},
                "training": {
                    "epochs": epochs,
                    "batch_size": 32,
                    "chunks_per_clip": 2,
                    "learning_rate": 0.003,
                },
                "scores": ("cosine", "knn_normalised"),
                "seed": seed,
            },
        )


def clusters(bank: ClipBank) -> Names:
    """The cluster of each clip, by the pooled spectrum."""
    encoder = recipe_of({"family": "gaussian_mixture"}).start(bank).run().encoder
    pooled = encoder.encode(bank, np.arange(len(bank.table))).embedding.numpy()
    return AgglomerativeClustering(CLUSTERS).fit_predict(pooled).astype(np.str_)


def thresholds(
    scores: NDArray[np.float64], groups: Names, domain: NDArray[np.integer], rate: float
) -> dict[str, float]:
    """By all clips at once, and the highest of the domains'."""
    parts = [
        threshold_from(scores[domain == of], false_alarms=rate, groups=groups[domain == of]).value
        for of in np.unique(domain)
    ]
    together = threshold_from(scores, false_alarms=rate).value
    return {"together": together, "by domain": max(parts)}


def held_out(
    detector: Detector, score: str, bank: ClipBank, ways: dict[str, Names]
) -> Iterator[tuple[str, NDArray[np.intp], NDArray[np.float64], Names]]:
    """Each way to hold out: its name, the clips, their scores and groups."""
    kept_out, each = bank.table.having(Role.HELD_OUT), ways["each clip"]
    plain = detector.score(detector.encode(bank, kept_out))[score]
    yield "at random", kept_out, plain, each
    if can_leave_out(detector, score):
        clips = bank.table.having(Role.TRAIN, Role.HELD_OUT)
        for way, groups in ways.items():
            scores, of = left_out_scores(detector, score, bank, clips, groups)
            yield way, clips[of], scores, groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--epochs", type=int, default=10, help="of the classifier; 0: without")
    parser.add_argument("--seeds", type=int, default=2)
    words = parser.parse_args()
    storage = Storage(str(Path(gettempdir()) / "humtune-hold-outs"))
    bank = load_banks(words.data, storage, [words.machine])[words.machine]
    table = bank.table
    ways = {
        "each clip": np.array([f"clip {i}" for i in range(len(table))]),
        "cluster": clusters(bank),
        "group": group_names(table.attributes, table.section, table.domain),
    }
    test = table.role == str(Role.SELECT)
    shown = Table("detector", "score", "left out", "threshold", *(f"{100 * rate:g} %" for rate in RATES))
    mean: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for name, recipe in track(list(recipes(words.epochs, words.seeds)), console=Console(stderr=True)):
        detector = recipe_of(recipe).start(bank).run()
        every = detector.score(detector.encode(bank, np.flatnonzero(test)))
        for score, scores in every.items():
            for way, clips, found, groups in held_out(detector, score, bank, ways):
                cells: dict[str, list[str]] = defaultdict(list)
                given: dict[str, list[float]] = defaultdict(list)
                for rate in RATES:
                    values = thresholds(found, groups[clips], table.domain[clips], rate)
                    for kind, value in values.items():
                        shares = [
                            100
                            * false_alarm_rate(
                                scores[(label == table.label[test]) & (of == table.domain[test])], value
                            )
                            for label in (NORMAL, ANOMALY)
                            for of in (SOURCE, TARGET)
                        ]
                        given[kind] += shares
                        cells[kind].append("{:.0f} {:.0f} | {:.0f} {:.0f}".format(*shares))
                for kind in cells:
                    mean[way, kind].append(given[kind])
                    shown.add_row(name, score, way, kind, *cells[kind])
    for (way, kind), rows in mean.items():
        shares = np.mean(rows, axis=0).reshape(len(RATES), 4)
        shown.add_row(
            "mean", "", way, kind, *("{:.0f} {:.0f} | {:.0f} {:.0f}".format(*row) for row in shares)
        )
    console = Console(width=140)
    console.print(shown)
    console.print("% above the threshold: normal source, target | anomalous source, target test clips")


if __name__ == "__main__":
    main()
