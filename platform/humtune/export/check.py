"""A finished graph is checked: that it says what the detectors say, and what a clip costs.

The first is asked of real recordings, before anything is written; the second of noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import thread_time

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.errors import HumtuneError
from humtune.export.graph import Member
from humtune.metrics.cells import Array
from humtune.runtime.scorer import INPUT, Scorer
from humtune.runtime.timeline import cut
from humtune.sounds.bank import ClipBank
from humtune.sounds.sound_file import to_waveform

# Of the scores' spread. A trained detector's scores agree to 1e-5 or so, an untrained one's, which hardly
# vary, to 3e-4: the float32 rounding of the network. A wrong graph is off by far more.
TOLERANCE = 1e-3
INT8_TOLERANCE = 3e-2  # what lies between two of the 256 steps falls to either by its last float32 digit
ROUNDING = 1e-6  # of the scores themselves: float32 knows no more, however little the scores vary
LEDGER_TOLERANCE = 0.05  # of the spread: a GPU that trained in tf32 stays below it, other weights don't
CLIPS = 8

SECONDS = 10.0  # of sound: a clip of DCASE Task 2
RUNS = 5


def check_parity(
    scorer: Scorer,
    members: Sequence[Member],
    bank: ClipBank,
    clips: NDArray[np.intp],
    *,
    recorded: Array,
    spread: float,
    tolerance: float = TOLERANCE,
) -> float:
    """The largest difference between graph and detectors, in the spread of the machine's scores.

    Compares the graph with its members on the bank's `clips` [n], and these with the scores that were
    `recorded` [n] of them when they were trained. HumtuneError with the figures where either is off.
    """
    wanted = member_scores(members, bank, clips)
    found = np.array([scorer.score_window(to_waveform(bank.clip(int(i)))) for i in clips])
    floor = ROUNDING * max(1.0, float(np.abs(wanted).max()))
    name = f"{scorer.info.machine}, {scorer.info.trial}"
    off = float(np.abs(wanted - recorded).max())
    if not off <= max(LEDGER_TOLERANCE * spread, floor):
        raise HumtuneError(
            f"{name}: its weights give {scorer.info.score_type} scores up to {off:.3g} away from the "
            f"recorded ones (their spread is {spread:.3g}); the files of a trial don't belong together"
        )
    off = float(np.abs(found - wanted).max())
    if not off <= max(tolerance * spread, floor):
        raise HumtuneError(
            f"{name}: the ONNX model's {scorer.info.score_type} scores are up to {off:.3g} away from the "
            f"detectors' (their spread is {spread:.3g}, allowed are {tolerance:g} of it); it was not written"
        )
    return off / spread if spread > 0 else 0.0


def member_scores(members: Sequence[Member], bank: ClipBank, clips: NDArray[np.intp]) -> Array:
    """What the members say of the bank's clips [n] by their detectors and calibrations, without any graph."""
    embedded = {member.detector: member.detector.encode(bank, clips) for member in members}
    total = np.zeros(len(clips))
    for member in members:
        score = member.detector.score(embedded[member.detector])[member.score_type]
        total += member.weight * (member.calibration(score) if member.calibration else score)
    return total


@dataclass(frozen=True)
class Cost:
    """A model's size and speed, the latter of the computer that it was made on."""

    size: int  # bytes
    seconds: float  # of one core, for a clip of SECONDS


@dataclass(frozen=True)
class Beside:
    """A model as one line among others."""

    name: str
    cost: Cost
    omega: float | None  # 0…1, on the labelled dev clips


def graph_cost(graph: bytes, samples: int, *, window: int | None = None) -> Cost:
    """A graph's size, and the processor's time for noise of so many samples, whoever else works.

    With a `window` of so many samples it is scored in windows, as `Scorer.score` does.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, samples).astype(np.float32)
    parts = [part for _, part in cut([noise], window or samples)]
    took = []
    for _ in range(RUNS + 1):  # the first one warms up
        began = thread_time()
        for part in parts:
            session.run(None, {INPUT: part})
        took.append(thread_time() - began)
    return Cost(len(graph), median(took[1:]))


def clip_cost(graph: bytes, window: int) -> Cost:
    """What a clip of SECONDS costs a model with that window, which no clip is shorter than."""
    return graph_cost(graph, max(window, round(SECONDS * SAMPLE_RATE)), window=window)
