"""How long a 10 s clip takes at every size of the paper's Table 2, beside the arithmetic that it costs.

    python benchmarks/latency.py [--machines fan,bearing] [--threads 1,2] [--turns 9]

From waveform to score: PyTorch eager, the exported model in float32, and in int8. The limit is the network's
floating-point operations over the rate at which the same cores multiply matrices in the same run. All take
turns, so that a busy computer slows all alike; the fastest of the turns counts. Networks are untrained:
time doesn't depend on the weights.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from humtune.config import SAMPLE_RATE, TEST_CHUNKS
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.detector import Detector
from humtune.detectors.frontends import Spectrogram
from humtune.export.graph import FrontEnds, Judge, Member, least_samples
from humtune.export.onnx import export_onnx
from humtune.export.quantised import quantise
from humtune.metrics.calibration import Threshold
from humtune.runtime.info import ModelInfo
from humtune.runtime.scorer import Scorer
from humtune.scores.encoded import Encoded
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import ClipTable, Role

SECONDS = 10
REFERENCES = 6 * 891 * TEST_CHUNKS  # chunks of a DCASE 2022 machine's training clips that are not held out
TABLE_2 = {  # slider is as ToyTrain, valve in the size of fan
    "ToyCar": Spectrogram(n_fft=256, chunk_frames=512, n_mels=256),
    "ToyTrain": Spectrogram(n_fft=128, chunk_frames=1024, n_mels=128, db=False),
    "bearing": Spectrogram(n_fft=1024, chunk_frames=128, n_mels=512),
    "fan": Spectrogram(n_fft=512, chunk_frames=256, n_mels=512),
    "gearbox": Spectrogram(n_fft=400, chunk_frames=400, n_mels=None),
}
WAYS = "eager", "fp32", "int8"
SIDE = 1024  # of the matrices that tell a core's rate


@dataclass(frozen=True)
class Measured:
    """Seconds of each way, and of the limit."""

    seconds: dict[str, float]
    limit: float
    gigaflops: float  # of the network, all chunks


def noise_bank(clips: int) -> ClipBank:
    """Clips of noise to quantise by."""
    samples = np.random.default_rng(0).normal(0, 3000, clips * SECONDS * SAMPLE_RATE).astype(np.int16)
    table = ClipTable.from_columns(
        machine="noise",
        name=[f"{i}.wav" for i in range(clips)],
        part="dev",
        split="train",
        section=0,
        domain=0,
        label=0,
        attributes="",
        role=str(Role.TRAIN),
    )
    return ClipBank(table, samples, np.arange(clips + 1, dtype=np.int64) * SECONDS * SAMPLE_RATE, "noise")


def reference() -> Encoded:
    """As many reference chunks as a machine has."""
    mean = torch.randn(REFERENCES, 128, generator=torch.Generator().manual_seed(0))
    return Encoded(mean=mean, clip=torch.arange(REFERENCES) // TEST_CHUNKS)


def make_detectors(spectrogram: Spectrogram, bank: ClipBank) -> tuple[Detector, Detector]:
    """A detector, and its twin in int8."""
    recipe = Classifier(spectrogram=spectrogram, scores=("cosine",))
    detector = Detector(recipe, recipe.build(("a", "b")).eval(), machine="noise")
    twin = quantise(detector, bank)
    detector.reference = twin.reference = reference()
    return detector, twin


def scorer_of(detector: Detector, threads: int) -> Scorer:
    """The exported model at work."""
    member = Member(detector, "cosine")
    info = ModelInfo(
        machine="noise",
        score_type="cosine",
        threshold=Threshold(0.0, 0.1, 1),
        sample_rate=SAMPLE_RATE,
        least_samples=least_samples([member]),
        search="",
        trial="",
        configuration={},
        metrics={},
        versions={},
    )
    metadata = {name: getattr(info, name) for name in ("machine", "score_type", "search", "trial")}
    return Scorer(info, export_onnx([member], metadata), threads=threads)


def eager(detector: Detector, waveform: torch.Tensor) -> Callable[[], Any]:
    """The same by PyTorch, an operation at a time."""
    judge = Judge([Member(detector, "cosine")]).eval()
    front = FrontEnds(judge.graphs).eval()

    @torch.no_grad()
    def score() -> float:
        (chunks,) = front(waveform)
        return float(judge(detector.encoder.backbone(chunks.contiguous(memory_format=torch.channels_last))))

    return score


def operations(detector: Detector) -> int:
    """Floating-point operations of the network for the chunks of one clip."""
    spectrogram = detector.recipe.spectrogram
    chunk = torch.zeros(1, 1, spectrogram.bins, spectrogram.chunk_frames)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        detector.encoder.backbone(chunk)
    return TEST_CHUNKS * int(counter.get_total_flops())


def fastest(ways: dict[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Seconds of each, taking turns; the first turn is to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns + 1):
        for name, work in ways.items():
            began = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - began)
    return {name: min(seconds[1:]) for name, seconds in taken.items()}


def measure(detector: Detector, twin: Detector, *, threads: int, turns: int) -> Measured:
    """All ways on so many cores."""
    torch.set_num_threads(threads)
    waveform = np.random.default_rng(0).uniform(-0.1, 0.1, SECONDS * SAMPLE_RATE).astype(np.float32)
    full, small = scorer_of(detector, threads), scorer_of(twin, threads)
    left, right, product = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE), torch.empty(SIDE, SIDE)
    ways: dict[str, Callable[[], Any]] = {
        "eager": eager(detector, torch.from_numpy(waveform)),
        "matrices": lambda: torch.mm(left, right, out=product),
        "fp32": lambda: full.score(waveform),
        "matrices again": lambda: torch.mm(left, right, out=product),
        "int8": lambda: small.score(waveform),
    }
    seconds = fastest(ways, turns)
    rate = 2 * SIDE**3 / min(seconds.pop("matrices"), seconds.pop("matrices again"))
    flops = operations(detector)
    return Measured(seconds, flops / rate, flops / 1e9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--machines", default=",".join(TABLE_2))
    parser.add_argument("--threads", default="1,2", help="cores to work on one clip")
    parser.add_argument("--turns", type=int, default=9)
    words = parser.parse_args()
    console, bank = Console(), noise_bank(4)
    table = Table(title=f"ms a clip of {SECONDS} s, fastest of {words.turns} turns")
    columns = (
        "size",
        "cores",
        "GFLOP",
        "limit",
        "eager",
        "fp32",
        "int8",
        "limit/fp32",
        "eager/fp32",
        "fp32/int8",
    )
    for column in columns:
        table.add_column(column, justify="right")
    for machine in words.machines.split(","):
        detector, twin = make_detectors(TABLE_2[machine], bank)
        for threads in map(int, words.threads.split(",")):
            found = measure(detector, twin, threads=threads, turns=words.turns)
            limit, *others = (1e3 * found.limit, *(1e3 * found.seconds[way] for way in WAYS))
            torched, full, small = others
            table.add_row(
                f"{machine} {TABLE_2[machine].bins}×{TABLE_2[machine].chunk_frames}",
                str(threads),
                f"{found.gigaflops:.1f}",
                *(f"{value:.0f}" for value in (limit, *others)),
                *(f"{ratio:.2f}" for ratio in (limit / full, torched / full, full / small)),
            )
            console.print(f"{machine}, {threads} core(s): fp32 {full:.0f} ms, int8 {small:.0f} ms")
    console.print(table)


if __name__ == "__main__":
    main()
