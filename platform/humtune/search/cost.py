"""What a search would cost, from a few training steps of each size of picture on this computer."""

from collections.abc import Iterator
from dataclasses import dataclass

from humtune.config import TEST_CHUNKS, Acceleration, TrialConfig
from humtune.detector.process import settle
from humtune.detector.training import SKETCH_CLIPS, TrainingRun
from humtune.records import ParamValue
from humtune.search.acceleration import choose, step_seconds
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
    acceleration: Acceleration
    chunk_seconds: float  # of training
    trial_seconds: float  # the whole budget, with the scoring at every rung and at the end


def costs(
    space: Space,
    bank: ClipBank,
    *,
    device: str,
    cpus: float,
    gpus: float = 0.0,
    bf16: bool = False,
    compiled: bool | None = None,
) -> Iterator[Cost]:
    """The cost of a trial at every size that the space can choose, computed as a search would."""
    settle(device, cpus=cpus, gpus=gpus)
    for params, config in space.corners(*SIZES, machine=bank.table.machine):
        chunk, trial = seconds_of(config, bank, space, device=device, bf16=bf16)
        how, gain = choose(config, bank, device=device, bf16=bf16, said=compiled, trial_seconds=trial)
        yield Cost(bank.table.machine, params, how, chunk / gain, trial / gain)


def seconds_of(
    config: TrialConfig, bank: ClipBank, space: Space, *, device: str, bf16: bool
) -> tuple[float, float]:
    """Seconds of a training chunk and of a whole trial, uncompiled."""
    run = TrainingRun(config, bank, device=device, acceleration=Acceleration(bf16=bf16))
    chunk = _chunk_seconds(run)
    trained = len(run.clips) * config.training.chunks_per_clip * config.training.epochs
    clips = len(bank.table) + 3 * PER_KIND  # with about as many probes
    sketched = len(bank.table.having(Role.SELECT)) + min(SKETCH_CLIPS, len(run.clips))
    scored = TEST_CHUNKS * (clips + sketched * len(space.measured))
    return chunk, chunk * (trained + scored * FORWARD_SHARE)


def _chunk_seconds(run: TrainingRun) -> float:
    batch = run.clips[: min(CHUNKS, run.config.training.batch_size)]
    return min([step_seconds(run, batch) for _ in range(1 + STEPS)][1:]) / len(batch)
