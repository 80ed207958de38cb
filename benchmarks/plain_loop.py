"""Whole trials an hour on all of this computer's processors: humtune's way against the plain loop.

humtune: as many trials at a time as there are processors, a thread each, in processes that go on to the next
trial, as a search's actors do. The plain loop is what one would write first: recordings as int16 in memory,
the spectrogram of a whole clip for every chunk that is cut from it, spectrograms and network in PyTorch's
usual layout, one trial at a time on PyTorch's usual threads. Network, initial weights, batch, epochs,
optimiser, mixup and masks are the same. Both train alone: what scoring costs is the same for both, and left
out.

    python benchmarks/plain_loop.py --size 64 --width 1.0 --rounds 3

The two take turns, so that a busy computer slows both alike; each ratio is that of two turns side by side.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from training import BATCH, noise_bank, size_parser

from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.fit import ClassifierFit, Training, learning_rate
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.encoder import random_starts
from humtune.detectors.frontends import Spectrogram
from humtune.detectors.process import settle
from humtune.plan import Resources
from humtune.sounds.bank import ClipBank

CORES = os.cpu_count() or 1


def main() -> None:
    parser = size_parser(__doc__)
    parser.add_argument("--activation", default="relu", help="relu, prelu or leaky_relu, of both")
    parser.add_argument("--epochs", type=int, default=2, help=f"of a trial; 5 steps of {BATCH} chunks each")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    words = parser.parse_args()
    recipe = Classifier(
        spectrogram=Spectrogram(n_fft=words.n_fft, chunk_frames=words.size, n_mels=words.size),
        backbone=MobileFaceNet(width=words.width, activation=words.activation),
        training=Training(batch_size=BATCH, epochs=words.epochs),
    )
    with tempfile.TemporaryDirectory() as folder:
        bank = noise_bank(Path(folder))
        humtune = Crew(humtune_worker, recipe, bank, workers=CORES)
        plain = Crew(plain_worker, recipe, bank, workers=1)
        seconds: dict[str, list[float]] = {"humtune": [], "plain": []}
        for _ in range(words.rounds):
            seconds["humtune"].append(humtune.turn() / CORES)
            seconds["plain"].append(plain.turn())
        humtune.leave()
        plain.leave()
    show(words, seconds)


class Crew:
    """Worker processes that train a trial each whenever they have their turn."""

    def __init__(self, work: object, recipe: Classifier, bank: ClipBank, *, workers: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.ends: list[Connection] = []
        self.processes = []
        for _ in range(workers):
            here, there = spawn.Pipe()
            process = spawn.Process(target=work, args=(recipe, bank_file(bank), bank, there), daemon=True)
            process.start()
            self.ends.append(here)
            self.processes.append(process)
        self.turn()  # warms up

    def turn(self) -> float:
        """A trial of every worker at the same time; seconds until the last one is through."""
        began = perf_counter()
        for end in self.ends:
            end.send("train")
        for end in self.ends:
            end.recv()
        return perf_counter() - began

    def leave(self) -> None:
        """Let the workers go."""
        for end, process in zip(self.ends, self.processes, strict=True):
            end.close()
            process.join()


def bank_file(bank: ClipBank) -> str:
    """Where the bank's samples lie: a memory map is sent to another process by its name, not by its bytes."""
    assert isinstance(bank.samples, np.memmap)
    return str(bank.samples.filename)


def humtune_worker(recipe: Classifier, samples: str, bank: ClipBank, end: Connection) -> None:
    """Trials as an actor of a search has them, on a bank that is memory-mapped."""
    settle(Resources())
    bank = replace(bank, samples=np.load(samples, mmap_mode="r"))
    serve(end, lambda: train(recipe.start(bank)))


def plain_worker(recipe: Classifier, samples: str, bank: ClipBank, end: Connection) -> None:
    """Trials as a script has them."""
    bank = replace(bank, samples=np.load(samples))
    serve(end, lambda: plain_trial(recipe, bank))


def serve(end: Connection, trial: object) -> None:
    """Train a trial at every word, until the other end is closed."""
    try:
        while end.recv():
            trial()  # type: ignore[operator]
            end.send("trained")
    except EOFError:
        pass


def train(run: ClassifierFit) -> None:
    """All epochs of a trial."""
    while run.done < run.recipe.training.epochs:
        run.step()


def plain_trial(recipe: Classifier, bank: ClipBank) -> None:
    """The same trial by the loop that one would write first."""
    run = recipe.start(bank)  # the same weights, optimiser, random numbers and mean spectrogram
    backbone = run.encoder.backbone.to(memory_format=torch.contiguous_format)
    run.encoder.train()
    training = recipe.training
    for epoch in range(training.epochs):
        for group in run.optimiser.param_groups:
            group["lr"] = learning_rate(training, epoch)
        visits = run.rng.permutation(np.repeat(run.clips, training.chunks_per_clip))
        for first in range(0, len(visits), training.batch_size):
            clips = visits[first : first + training.batch_size]
            (chunks,), target = run._mix((plain_chunks(run, clips),), run._targets(clips))
            chunks = run._mask(chunks)
            loss, _ = run.encoder.head.loss(backbone(chunks), target, run.noise)
            run.optimiser.zero_grad()
            loss.backward()
            run.optimiser.step()
            loss.item()


def plain_chunks(run: ClassifierFit, clips: NDArray[np.intp]) -> torch.Tensor:
    """Standardised spectrograms [B, 1, bins, frames], each cut from its whole clip's spectrogram."""
    frontend, length = run.encoder.frontend, run.recipe.spectrogram.chunk_frames
    samples = torch.from_numpy(np.stack([run.bank.clip(int(i)) for i in clips])).float() / 32_768
    margin = frontend.settings.window // 2
    whole = frontend.spectrogram(torch.nn.functional.pad(samples, (margin, margin), mode="reflect"))
    starts = random_starts(np.full(len(clips), whole.shape[2]), length, run.rng)
    cuts = [spectrogram[:, start : start + length] for spectrogram, start in zip(whole, starts, strict=True)]
    return frontend.standardise(torch.stack(cuts)).unsqueeze(1)


def show(words: argparse.Namespace, seconds: dict[str, list[float]]) -> None:
    """Print trials an hour, and the ratios."""
    setting = f"{words.size}×{words.size}, n_fft {words.n_fft}, width {words.width}, {words.activation}"
    table = Table("whole trials", "an hour", "seconds each", title=f"{setting}, {CORES} processors")
    for name, each in seconds.items():
        middle = statistics.median(each)
        table.add_row(name, f"{3600 / middle:.0f}", f"{middle:.1f}")
    ratios = sorted(plain / ours for ours, plain in zip(*seconds.values(), strict=True))
    console = Console()
    console.print(table)
    console.print(f"humtune / plain: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
