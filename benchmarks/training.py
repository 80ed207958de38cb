"""Chunks per second of a ClassifierFit against its bare network on ready spectrograms.

The bare network takes the same optimiser steps (layout, batch, loss, Adam, threads) on spectrograms that lie
ready in memory: what cutting, spectrogram, mixup and masks cost on top is humtune's own overhead. The two
take turns, so that a busy computer slows both alike.

    python benchmarks/training.py --size 64 --width 1.0 --threads 1 --steps 30
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from humtune.config import SAMPLE_RATE
from humtune.detectors.classifier import fit
from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.fit import ClassifierFit, Training
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.encoder import random_chunks
from humtune.detectors.frontends import Spectrogram
from humtune.detectors.process import settle
from humtune.plan import Resources
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import ClipTable, Role

SECTIONS = 6
CLIP_SECONDS = 10
BATCH = 64
TURN = 5  # steps of one before the other has its turn


def size_parser(about: str | None) -> argparse.ArgumentParser:
    """The words that say how large spectrograms and network are."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="mel filters and frames of a spectrogram")
    parser.add_argument("--n-fft", type=int, default=512)
    parser.add_argument("--width", type=float, default=1.0, help="channels of the network; 1 is the paper's")
    return parser


def main() -> None:
    parser = size_parser(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=30, help="optimiser steps of each, in turns of 5")
    words = parser.parse_args()
    settle(Resources(cpus=words.threads))
    recipe = Classifier(
        spectrogram=Spectrogram(n_fft=words.n_fft, chunk_frames=words.size, n_mels=words.size),
        backbone=MobileFaceNet(width=words.width),
        training=Training(batch_size=BATCH, chunks_per_clip=TURN),
    )
    with tempfile.TemporaryDirectory() as folder:
        bank = noise_bank(Path(folder))
        whole, bare = recipe.start(bank), recipe.start(bank)
        chunks = ready_chunks(bare)
        whole.step()  # both warm up
        bare_turn(bare, chunks)
        whole_seconds, bare_seconds = [], []
        with stopwatches(whole) as parts:
            for _ in range(max(1, words.steps // TURN)):
                whole_seconds.append(timed(whole.step))
                bare_seconds.append(timed(lambda: bare_turn(bare, chunks)))
    parts["network, loss, optimiser"] = sum(whole_seconds) - sum(parts.values())
    show(words, whole=whole_seconds, bare=bare_seconds, parts=parts)


def noise_bank(folder: Path) -> ClipBank:
    """One clip for each chunk of a batch, memory-mapped as in a search."""
    rng = np.random.default_rng(0)
    length = CLIP_SECONDS * SAMPLE_RATE
    np.save(folder / "samples.npy", rng.normal(0, 3000, BATCH * length).astype(np.int16))
    table = ClipTable.from_columns(
        machine="noise",
        name=[f"{i}.wav" for i in range(BATCH)],
        part="dev",
        split="train",
        section=[i % SECTIONS for i in range(BATCH)],
        domain=0,
        label=0,
        attributes="",
        role=str(Role.TRAIN),
    )
    samples = np.load(folder / "samples.npy", mmap_mode="r")
    return ClipBank(table, samples, np.arange(BATCH + 1, dtype=np.int64) * length, "noise")


def ready_chunks(run: ClassifierFit) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Standardised spectrograms and class weights of a turn's batches."""
    found = []
    for _ in range(TURN):
        clips = run.rng.permutation(run.clips)
        samples = random_chunks(run.bank, clips, run.recipe.spectrogram, run.rng)
        with torch.no_grad():
            (chunks,) = run.encoder.frontend(samples)
        found.append((chunks.contiguous(memory_format=torch.channels_last), run._targets(clips)))
    return found


def bare_turn(run: ClassifierFit, chunks: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Optimiser steps of the network and its head alone."""
    run.encoder.train()
    for chunk, target in chunks:
        loss, _ = run.encoder.head.loss(run.encoder.backbone(chunk), target, run.noise)
        run.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        run.optimiser.step()


def timed(work: Callable[[], Any]) -> float:
    """Seconds that the work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


@contextmanager
def stopwatches(run: ClassifierFit) -> Iterator[dict[str, float]]:
    """Seconds that a run spends in each part before its network, added up while the context lasts."""
    spent: dict[str, float] = {}

    def watch(owner: Any, method: str, part: str) -> None:
        original = getattr(owner, method)
        spent.setdefault(part, 0.0)

        def watched(*args: Any) -> Any:
            begin = time.perf_counter()
            result = original(*args)
            spent[part] += time.perf_counter() - begin
            return result

        setattr(owner, method, watched)
        undo.callback(setattr, owner, method, original)

    with ExitStack() as undo:
        watch(fit, "random_chunks", "cut")
        watch(run.encoder.frontend, "forward", "spectrogram")
        watch(run, "_mix", "mixup")
        watch(run, "_mask", "masks")
        yield spent


def show(
    words: argparse.Namespace, *, whole: list[float], bare: list[float], parts: dict[str, float]
) -> None:
    """Print both tables."""
    console = Console()
    setting = f"{words.size}×{words.size}, n_fft {words.n_fft}, width {words.width}, threads {words.threads}"
    rates = [TURN * BATCH / statistics.median(seconds) for seconds in (bare, whole)]
    table = Table("training", "chunks/s", title=setting)
    table.add_row("bare network on ready spectrograms", f"{rates[0]:.0f}")
    table.add_row("ClassifierFit.step", f"{rates[1]:.0f}")
    table.add_row("ratio", f"{rates[1] / rates[0]:.3f}")
    console.print(table)
    table = Table("part of an epoch", "ms a step", "share", title="where the time goes")
    for name, seconds in parts.items():
        table.add_row(name, f"{1e3 * seconds / (TURN * len(whole)):.2f}", f"{seconds / sum(whole):.1%}")
    console.print(table)


if __name__ == "__main__":
    main()
