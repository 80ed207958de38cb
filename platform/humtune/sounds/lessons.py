"""Lessons: clips made of a machine's training clips, for a network to learn what an ensemble says of them.

Training clips alone are all healthy, and an ensemble gives them low scores. For high ones two kinds are made:
a training clip that is disturbed, in the ways of `probes` but with another seed, and two that are mixed.
Probes are made of held-out clips, so no lesson is one, nor has any clip in it that judges.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humtune.errors import UsageError
from humtune.sounds.bank import ClipBank, keep_bank
from humtune.sounds.groups import draw_units, recording_names
from humtune.sounds.parallel import tracked
from humtune.sounds.probes import DISTURBANCES, Float, mix
from humtune.sounds.sound_file import FULL_SCALE, to_samples
from humtune.sounds.table import ANOMALY, ClipTable, Role
from humtune.storage import Storage

PER_KIND = 300  # clips: a teacher's networks all have to score them
FOLDS = 10  # of the training clips: a teacher scores each by the references of the others
SEED = 1  # another than that of the probes
LEVEL = (-15.0, 0.0)  # dB of the softer of two mixed clips, beside the other's rms


@dataclass(frozen=True, eq=False)
class TaughtBank(ClipBank):
    """A bank with what its teachers say of its clips, higher being more anomalous."""

    targets: NDArray[np.float64] = field(kw_only=True)  # [T, N]; NaN of clips that teach nothing


@dataclass(frozen=True, eq=False)
class Origins:
    """Which training clips the L lessons are made of, in the order of a bank's clips."""

    first: NDArray[np.intp]  # [L]
    second: NDArray[np.intp]  # [L], mixed in; of a disturbed clip the first again
    disturbed: int  # so many come first, the mixed ones after them
    fold: NDArray[np.intp]  # [N] of every clip of the bank; -1 of those that don't train


def origins(table: ClipTable, *, per_kind: int = PER_KIND, seed: int = SEED) -> Origins:
    """Where lessons come from; the same clips, number and seed always give the same.

    Both clips of a mixed one are of a fold, as are clips that were cut from one recording. UsageError where
    all training clips are of one recording, or there is one alone.
    """
    train = table.having(Role.TRAIN)
    units = draw_units(recording_names(table.attributes[train])) if len(train) else train
    if len(np.unique(units)) < 2:
        units = np.arange(len(train))  # one recording can't be split: its clips stand for themselves
    if len(train) < 2:
        raise UsageError(
            f"{table.machine}: a network learns of two training clips or more, there are {len(train)}"
        )
    generator = np.random.default_rng(seed)
    count = int(units.max()) + 1
    folds = min(FOLDS, max(2, count // 4))  # large enough to mix within
    own = (generator.permutation(count) % folds)[units]
    fold = np.full(len(table), -1, dtype=np.intp)
    fold[train] = own
    rounds = -(-per_kind // len(train))
    again = [
        np.concatenate([generator.permutation(train) for _ in range(rounds)])[:per_kind] for _ in range(2)
    ]
    first = np.concatenate(again)
    second = first.copy()
    for i in range(per_kind, len(first)):
        others = train[(own == fold[first[i]]) & (train != first[i])]
        second[i] = generator.choice(others) if len(others) else first[i]
    return Origins(first, second, per_kind, fold)


def make_lessons(
    bank: ClipBank, found: Origins, storage: Storage, *, cache: Path | None = None, seed: int = SEED
) -> ClipBank:
    """A bank of the lessons, kept in the storage; see `lesson_table` and `lesson_clips`."""
    table = lesson_table(bank.table, found)
    title = f"{bank.table.machine}: making lessons"
    made = tracked(lesson_clips(bank, found, seed=seed), total=len(table), title=title)
    return keep_bank(made, table, storage, cache=cache)


def lesson_table(table: ClipTable, found: Origins) -> ClipTable:
    """What is known of the lessons: each has its first clip's section, domain and attributes."""
    kinds = ["disturbed"] * found.disturbed + ["mixed"] * (len(found.first) - found.disturbed)
    own = table.take(found.first)
    names = [f"{k}-{i:04d}-{name}" for i, (k, name) in enumerate(zip(kinds, own.name, strict=True))]
    return own.with_columns(name=names, part=kinds, label=ANOMALY, role=Role.LESSON)


def lesson_clips(bank: ClipBank, found: Origins, *, seed: int = SEED) -> Iterator[NDArray[np.int16]]:
    """The lessons' samples, each as long as its first clip; the same seed always makes the same."""
    generator = np.random.default_rng([seed, 1])
    for i, (one, other) in enumerate(zip(found.first.tolist(), found.second.tolist(), strict=True)):
        wave = bank.clip(one) / FULL_SCALE
        if i < found.disturbed:
            disturb = DISTURBANCES[generator.integers(len(DISTURBANCES))]
            yield to_samples(disturb(wave, generator))
        else:
            yield to_samples(mixed(wave, bank.clip(other) / FULL_SCALE, generator))


def mixed(wave: Float, other: Float, generator: np.random.Generator) -> Float:
    """A clip with another one in it from anywhere on, softer by a level drawn from LEVEL."""
    other = np.resize(np.roll(other, int(generator.integers(len(other)))), len(wave))
    return mix(wave, other, LEVEL, generator)


def teach(bank: ClipBank, targets: NDArray[np.float64]) -> TaughtBank:
    """A bank with lessons whose training clips and lessons, in their order, have targets [T, n]."""
    every = np.full((len(targets), len(bank.table)), np.nan)
    every[:, bank.table.having(Role.TRAIN, Role.LESSON)] = targets
    return TaughtBank(bank.table, bank.samples, bank.offsets, bank.hash, targets=every)
