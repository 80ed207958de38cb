"""Whether to compile the trials of a size: by steps that are timed on the computer at hand."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from humtune.config import Acceleration, TrialConfig
from humtune.detector.training import TrainingRun
from humtune.errors import HumtuneError
from humtune.sounds.bank import ClipBank

COMPILING = 45.0  # seconds it takes, about: shorter trials don't ask how long exactly
WORTH = 10  # a trial should last so many times as long as compiling for it
GAIN = 1.05  # less may be noise
STEPS = 3  # the fastest counts
PIXELS = 64 * 64 * 64  # of a timed step's pictures: fewer would stay in a processor's cache


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


def choose(
    config: TrialConfig,
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
        timing = measure(config, bank, device=device, ways=(plain, compiled))
    except HumtuneError:
        if said:
            raise
        return plain, 1.0  # there is nothing to compile with
    return (compiled, timing.gain) if said or timing.pays(trial_seconds) else (plain, 1.0)


def measure(
    config: TrialConfig, bank: ClipBank, *, device: str, ways: tuple[Acceleration, Acceleration]
) -> Timing:
    """Time steps uncompiled and compiled in turns, so that a busy computer slows both alike."""
    pixels = config.spectrogram.bins * config.spectrogram.chunk_frames
    chunks = min(config.training.batch_size, max(8, PIXELS // pixels))
    training = config.training.model_copy(update={"batch_size": chunks})
    config = config.model_copy(update={"training": training})
    runs = [TrainingRun(config, bank, device=device, acceleration=way) for way in ways]
    clips = np.resize(runs[0].clips, chunks)
    _, first = (step_seconds(run, clips) for run in runs)
    turns = [[step_seconds(run, clips) for run in runs] for _ in range(STEPS)]
    plain, compiled = (min(seconds) for seconds in zip(*turns, strict=True))
    return Timing(plain, compiled, compiling=max(0.0, first - compiled))


def step_seconds(run: TrainingRun, clips: np.ndarray[tuple[int], np.dtype[np.intp]]) -> float:
    """Seconds of one training step."""
    began = perf_counter()
    run.step(clips).tolist()  # waits for the device
    return perf_counter() - began
