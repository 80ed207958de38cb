"""What a classifier's trial takes, and whether to compile it: by batches timed on the computer at hand."""

from dataclasses import dataclass
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from humtune.config import TEST_CHUNKS, Acceleration
from humtune.detectors.classifier.fit import ClassifierFit
from humtune.detectors.fit import PREVIEW_CLIPS
from humtune.detectors.recipe import Estimate
from humtune.errors import HumtuneError
from humtune.sounds.bank import ClipBank
from humtune.sounds.probes import PER_KIND
from humtune.sounds.table import SCORED, Role

if TYPE_CHECKING:
    from humtune.detectors.classifier.recipe import Classifier

COMPILING = 45.0  # seconds it takes, about: shorter trials don't ask how long exactly
WORTH = 10  # a trial should last so many times as long as compiling for it
GAIN = 1.05  # less may be noise
TURNS = 3  # the fastest counts
CHUNKS = 8  # a batch's, at most: a whole one of the paper's largest spectrograms takes a dozen seconds
FORWARD_SHARE = 1 / 3  # of a training step's work: the backward pass costs twice the forward
PIXELS = 64 * 64 * 64  # of a timed batch's spectrograms: fewer would stay in a processor's cache


@dataclass(frozen=True)
class Timing:
    """Seconds of a training step as it is and compiled, and of compiling it."""

    plain: float
    compiled: float
    compiling: float

    @property
    def gain(self) -> float:
        """How many times as fast a compiled step is."""
        return self.plain / self.compiled

    def pays(self, trial_seconds: float) -> bool:
        """Whether a trial that takes so long uncompiled should be compiled."""
        saved = trial_seconds * (1 - 1 / self.gain)
        return self.gain > GAIN and saved > self.compiling and trial_seconds > WORTH * self.compiling


def estimate(
    recipe: "Classifier",
    bank: ClipBank,
    *,
    device: str,
    bf16: bool,
    compiled: bool | None,
    measured: int,
) -> Estimate:
    """What a trial takes as it is best computed; `measured` are the epochs after which it is scored."""
    run = recipe.start(bank, device=device, acceleration=Acceleration(bf16=bf16))
    chunk = _chunk_seconds(run)
    trained = len(run.clips) * recipe.training.chunks_per_clip / (1 - recipe.head.share_of_others)
    clips = len(bank.table.having(Role.TRAIN, *SCORED)) + 3 * PER_KIND  # with about as many probes
    previewed = len(bank.table.having(Role.SELECT)) + min(PREVIEW_CLIPS, len(run.clips))
    scored = TEST_CHUNKS * (clips + previewed * measured)
    trial = chunk * (trained * recipe.budget + scored * FORWARD_SHARE)
    how, gain = choose(recipe, bank, device=device, bf16=bf16, said=compiled, trial_seconds=trial)
    return Estimate(acceleration=how, step_seconds=chunk * trained / gain, trial_seconds=trial / gain)


def _chunk_seconds(run: ClassifierFit) -> float:
    clips = run.clips[: min(CHUNKS, run.recipe.training.batch_size)]
    return min([batch_seconds(run, clips) for _ in range(1 + TURNS)][1:]) / len(clips)


def choose(
    recipe: "Classifier",
    bank: ClipBank,
    *,
    device: str,
    bf16: bool,
    said: bool | None,
    trial_seconds: float,
) -> tuple[Acceleration, float]:
    """How to compute a trial that takes so long uncompiled, and how many times as fast that is.

    `said` is the person's word whether to compile; without one it is compiled where that pays. Takes no time
    where that can't be, otherwise that of compiling and a few steps.
    """
    plain, compiled = (Acceleration(compiled=c, bf16=bf16) for c in (False, True))
    if said is False or (said is None and trial_seconds < WORTH * COMPILING):
        return plain, 1.0
    try:
        timing = measure(recipe, bank, device=device, ways=(plain, compiled))
    except HumtuneError:
        if said:
            raise
        return plain, 1.0  # there is nothing to compile with
    return (compiled, timing.gain) if said or timing.pays(trial_seconds) else (plain, 1.0)


def measure(
    recipe: "Classifier", bank: ClipBank, *, device: str, ways: tuple[Acceleration, Acceleration]
) -> Timing:
    """Time steps uncompiled and compiled in turns, so that a busy computer slows both alike."""
    pixels = sum(map(prod, recipe.spectrogram.build().shapes))
    chunks = min(recipe.training.batch_size, max(8, PIXELS // pixels))
    training = recipe.training.model_copy(update={"batch_size": chunks})
    recipe = recipe.model_copy(update={"training": training})
    runs = [recipe.start(bank, device=device, acceleration=way) for way in ways]
    clips = np.resize(runs[0].clips, chunks)
    _, first = (batch_seconds(run, clips) for run in runs)
    turns = [[batch_seconds(run, clips) for run in runs] for _ in range(TURNS)]
    plain, compiled = (min(seconds) for seconds in zip(*turns, strict=True))
    return Timing(plain, compiled, compiling=max(0.0, first - compiled))


def batch_seconds(run: ClassifierFit, clips: NDArray[np.intp]) -> float:
    """Seconds of one training step."""
    began = perf_counter()
    run.batch(clips).tolist()  # waits for the device
    return perf_counter() - began
