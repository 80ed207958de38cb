"""What a search would cost, from a few training steps of each size of picture on this computer."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import torch

from humtune.config import TEST_CHUNKS
from humtune.detector.training import SKETCH_CLIPS, TrainingRun
from humtune.ledger import ParamValue
from humtune.search.space import Space
from humtune.sounds.bank import ClipBank
from humtune.sounds.probes import PER_KIND
from humtune.sounds.table import Role

CHUNKS = 8  # a step's, at most: a whole step of the paper's largest pictures takes a dozen seconds
STEPS = 3  # the fastest counts, after one that warms up
FORWARD_SHARE = 1 / 3  # of a training step's work: the backward pass costs twice the forward
SIZES = ("spectrogram", "backbone", "training.batch_size", "training.chunks_per_clip")  # what cost depends on


@dataclass(frozen=True)
class Cost:
    """One size of trial on one machine's recordings."""

    machine: str
    chosen: dict[str, ParamValue]
    chunk_seconds: float  # of training
    trial_seconds: float  # the whole budget, with the scoring at every rung and at the end


def costs(space: Space, bank: ClipBank, *, device: str, cpus: float) -> Iterator[Cost]:
    """The cost of a trial at every size that the space can choose."""
    torch.set_num_threads(max(1, int(cpus)))
    for params, config in space.corners(*SIZES, machine=bank.table.machine):
        run = TrainingRun(config, bank, device=device)
        chunk = _chunk_seconds(run)
        trained = len(run.clips) * config.training.chunks_per_clip * config.training.epochs
        clips = len(bank.table) + 3 * PER_KIND  # with about as many probes
        sketched = len(bank.table.having(Role.SELECT)) + min(SKETCH_CLIPS, len(run.clips))
        scored = TEST_CHUNKS * (clips + sketched * len(space.measured))
        yield Cost(bank.table.machine, params, chunk, chunk * (trained + scored * FORWARD_SHARE))


def _chunk_seconds(run: TrainingRun) -> float:
    batch = run.clips[: min(CHUNKS, run.config.training.batch_size)]
    seconds = []
    for _ in range(1 + STEPS):
        began = perf_counter()
        run.step(batch).tolist()  # waits for the device
        seconds.append(perf_counter() - began)
    return min(seconds) / len(batch)
