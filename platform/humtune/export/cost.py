"""What a model costs where it runs: bytes, and the time of one clip on one core."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np

from humtune.runtime.scorer import Scorer

SECONDS = 10.0  # of sound: a clip of DCASE Task 2
RUNS = 5


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


def measure_cost(scorer: Scorer, graph: bytes) -> Cost:
    """Score a clip of noise several times, after one to warm up; the median counts."""
    samples = round(SECONDS * scorer.info.sample_rate)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, samples).astype(np.float32)
    took = []
    for _ in range(RUNS + 1):
        began = perf_counter()
        scorer.score(noise)
        took.append(perf_counter() - began)
    return Cost(len(graph), median(took[1:]))
