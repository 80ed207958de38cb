"""Probes: sounds that a machine in good order would not make, for choosing a detector without anomalies.

They are made of normal clips, and are of three kinds, named by the column `part`:

    fault    a held-out clip, disturbed: barely audibly or plainly, whatever the machine
    machine  a normal clip of another machine
    section  a held-out clip that claims to be of another section (ANOMALY) or of its own (NORMAL); only a
             detector that is given the section can tell these apart
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError
from humtune.sounds.bank import ClipBank, keep_bank
from humtune.sounds.dcase import find_dataset
from humtune.sounds.parallel import map_in_order, tracked
from humtune.sounds.sound_file import FULL_SCALE, read_recording, to_samples
from humtune.sounds.table import ANOMALY, NORMAL, SCORED, ClipTable, Role
from humtune.storage import Storage

PER_KIND = 100  # clips at most, so that they cost little beside a thousand test clips

Samples = NDArray[np.int16]

Float = NDArray[np.float64]

LEVEL = (-25.0, -5.0)  # dB of what is mixed in, beside the recording's own rms


class ProbeKind(StrEnum):
    """What a probe pretends."""

    FAULT = "fault"
    MACHINE = "machine"
    SECTION = "section"


@dataclass(frozen=True, eq=False)
class Stranger:
    """A normal clip of another machine."""

    name: str  # <machine>/<file>
    samples: Samples


def strangers(data: Path, machine: str, *, channel: int | None = None) -> list[Stranger]:
    """Training clips of the data set's other machines, evenly chosen, about as many of each.

    A file that can't be read, or has nothing in it, is left out: it is no reason to refuse a search of this
    machine. Of several channels `channel` is read, counted from 1; None: all are mixed down.
    """
    dataset = find_dataset(data)
    others = [other for other in dataset.machines if other != machine]
    paths: list[Path] = []
    for other in others:
        folders = [f for f in dataset.folders if f.machine == other and f.split == "train"]
        trained = [path for folder in folders for path in folder.recordings]
        paths += [trained[i] for i in _evenly(len(trained), PER_KIND // len(others))]
    found = map_in_order(
        partial(_stranger, channel=channel), paths, title=f"{machine}: reading other machines"
    )
    return [stranger for stranger in found if stranger]


def _stranger(path: Path, *, channel: int | None) -> Stranger | None:
    try:
        recording = read_recording(path, channel=channel)
    except UsageError:
        return None
    return None if recording.silent else Stranger(f"{path.parent.parent.name}/{path.name}", recording.samples)


def make_probes(
    bank: ClipBank, others: Sequence[Stranger], storage: Storage, *, cache: Path | None = None, seed: int = 0
) -> ClipBank | None:
    """A bank of a machine's probes, up to a hundred of each kind; None where no clip is held out.

    Every probe imitates a held-out clip: it has its section, domain, attributes and length. The same
    recordings and seed always give the same probes.
    """
    held_out = bank.table.having(Role.HELD_OUT)
    if not len(held_out):
        return None
    generator = np.random.default_rng(seed)
    parts = [
        _of_kind(bank, _again_and_again(held_out, PER_KIND, generator), ProbeKind.FAULT),
        _of_kind(bank, _again_and_again(held_out, len(others), generator), ProbeKind.MACHINE),
        _of_sections(bank, held_out[_evenly(len(held_out), PER_KIND)]),
    ]
    faults, machines, sections = (index for index, _ in parts)
    tables = [table for _, table in parts]
    tables[1] = replace(tables[1], name=np.array([o.name for o in others][: len(machines)], dtype=np.str_))

    def clips() -> Iterator[Samples]:
        for i in faults:
            disturb = DISTURBANCES[generator.integers(len(DISTURBANCES))]
            yield to_samples(disturb(bank.clip(int(i)) / FULL_SCALE, generator))
        for i, other in zip(machines, others, strict=False):
            yield np.resize(other.samples, len(bank.clip(int(i))))
        for i in sections:
            yield bank.clip(int(i))

    table = ClipTable.concatenate(tables)
    made = tracked(
        clips(),
        total=len(table),
        title=f"{bank.table.machine}: making test sounds",
    )
    return keep_bank(made, table, storage, cache=cache)


def scored_table(bank: ClipBank, probes: ClipBank | None, *, roles: Sequence[Role] = SCORED) -> ClipTable:
    """What is known of everything that gets a score: the clips that did not train, then the probes."""
    clips = bank.table.take(bank.table.having(*roles))
    return ClipTable.concatenate([clips, probes.table]) if probes else clips


def _of_kind(bank: ClipBank, index: NDArray[np.intp], kind: ProbeKind) -> tuple[NDArray[np.intp], ClipTable]:
    table = bank.table.take(index)
    numbered = [f"{kind}-{i:03d}-{name}" for i, name in enumerate(table.name)]
    changed = {"name": numbered, "part": kind, "split": "test", "label": ANOMALY, "role": Role.PROBE}
    return index, table.with_columns(**changed)


def _of_sections(bank: ClipBank, index: NDArray[np.intp]) -> tuple[NDArray[np.intp], ClipTable]:
    """Each clip as what it is, and as one of the next section; nothing where there is one section only."""
    sections = np.unique(bank.table.section[index])
    if len(sections) < 2:
        index = index[:0]
    _, table = _of_kind(bank, index, ProbeKind.SECTION)
    claimed = sections[(np.searchsorted(sections, table.section) + 1) % len(sections)]
    names = [f"{name}-as-{section:02d}" for name, section in zip(table.name, claimed, strict=True)]
    honest, lying = table.with_columns(label=NORMAL), table.with_columns(section=claimed, name=names)
    return np.concatenate([index, index]), ClipTable.concatenate([honest, lying])


def _again_and_again(index: NDArray[np.intp], count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """So many of the indices: all of them in random order before any comes again."""
    rounds = -(-count // len(index))
    orders = [generator.permutation(index) for _ in range(rounds)]
    return np.concatenate([index[:0], *orders])[:count]


def _evenly(length: int, count: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, length - 1, min(length, count)).astype(np.intp))


def knocks(wave: Float, generator: np.random.Generator) -> Float:
    """Irregular blows, two to twenty a second, each setting one resonance ringing."""
    count = max(1, int(generator.uniform(2, 20) * len(wave) / SAMPLE_RATE))
    blows = np.zeros(len(wave))
    np.add.at(blows, generator.integers(0, len(wave), count), generator.uniform(0.3, 1.0, count))
    frequency, decay = _log_uniform(generator, 800, 6000), _log_uniform(generator, 0.002, 0.02)
    seconds = np.arange(int(6 * decay * SAMPLE_RATE)) / SAMPLE_RATE
    ringing = np.exp(-seconds / decay) * np.sin(2 * np.pi * frequency * seconds)
    size = len(wave) + len(ringing)
    sound = np.fft.irfft(np.fft.rfft(blows, size) * np.fft.rfft(ringing, size), size)
    return mix(wave, sound[: len(wave)], LEVEL, generator)


def rubbing(wave: Float, generator: np.random.Generator) -> Float:
    """Noise of a band about an octave wide that swells and fades a few times a second."""
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    middle = _log_uniform(generator, 400, 6000)
    band = np.exp(-0.5 * (np.log2(np.maximum(hertz, 1) / middle) / 0.4) ** 2)
    noise = np.fft.irfft(np.fft.rfft(generator.standard_normal(len(wave))) * band, len(wave))
    return mix(wave, noise * _swing(len(wave), generator), LEVEL, generator)


def whine(wave: Float, generator: np.random.Generator) -> Float:
    """A tone with its octave whose pitch wanders by a percent or so."""
    frequency = _log_uniform(generator, 200, 3500)
    wander = 1 + 0.01 * (_swing(len(wave), generator) - 1)
    phase = 2 * np.pi * np.cumsum(frequency * wander) / SAMPLE_RATE
    return mix(wave, np.sin(phase) + 0.3 * np.sin(2 * phase), LEVEL, generator)


def wrong_speed(wave: Float, generator: np.random.Generator) -> Float:
    """The whole machine one to eight percent slower or faster."""
    ratio = (1 + generator.uniform(0.01, 0.08)) ** generator.choice([-1, 1])
    return np.resize(soxr.resample(wave, SAMPLE_RATE, SAMPLE_RATE * ratio), len(wave))


def wrong_colour(wave: Float, generator: np.random.Generator) -> Float:
    """A band about an octave wide, 3 to 12 dB louder or softer than it should be."""
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    middle = _log_uniform(generator, 200, 5000)
    band = np.exp(-0.5 * (np.log2(np.maximum(hertz, 1) / middle) / 0.5) ** 2)
    gain = generator.uniform(3, 12) * generator.choice([-1, 1]) * band
    return np.asarray(np.fft.irfft(np.fft.rfft(wave) * 10 ** (gain / 20), len(wave)))


DISTURBANCES: tuple[Callable[[Float, np.random.Generator], Float], ...] = (
    knocks,
    rubbing,
    whine,
    wrong_speed,
    wrong_colour,
)


def mix(wave: Float, sound: Float, level: tuple[float, float], generator: np.random.Generator) -> Float:
    """The recording with a sound in it, whose rms is drawn from so many dB beside the recording's."""
    gain = 10 ** (generator.uniform(*level) / 20) * rms(wave) / max(rms(sound), 1e-12)
    return wave + gain * sound


def _swing(samples: int, generator: np.random.Generator) -> Float:
    """A gain between 0 and 2 over time: a slow sine of random rate and phase."""
    rate, phase = generator.uniform(0.5, 8), generator.uniform(0, 2 * np.pi)
    return 1 + np.sin(2 * np.pi * rate * np.arange(samples) / SAMPLE_RATE + phase)


def _log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))


def rms(wave: Float) -> float:
    """Root mean square of samples [n]."""
    return float(np.sqrt(np.mean(wave**2)))
