"""Write a data set of synthetic machines in the layout of DCASE 2022.

    <folder>/dev_data/<machine>/{train,test}    the first half of the sections; test names carry their labels
    <folder>/eval_data/<machine>/{train,test}   the other half; test names carry nothing
    <folder>/ground_truth_{data,domain}         the truth about them

Each section is a unit of its own. Its target domain differs by what DCASE calls a domain shift: other speeds
in section 0, other loads in section 1, other microphones in section 2, and so on in turn.
"""

import csv
import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from humtune.config import SAMPLE_RATE
from humtune.drafts import drafted, sweep
from humtune.errors import UsageError, naming
from humtune.sounds.clip import TRUTH_FOLDERS, Part, Split
from humtune.sounds.machines import recipe, unit
from humtune.sounds.parallel import map_in_order
from humtune.sounds.rendering import HEALTHY, Recorder, Setting, draw_fault

Domain = Literal["source", "target"]
_NUMBERS = 10_000  # a place in _chance that no clip has

SHIFTS: dict[str, dict[Domain, tuple[Setting, ...]]] = {
    "speed": {
        "source": (Setting(speed=0.95), Setting(), Setting(speed=1.05)),
        "target": (Setting(speed=0.88), Setting(speed=1.12)),
    },
    "load": {
        "source": (Setting(load=0.85), Setting(), Setting(load=1.15)),
        "target": (Setting(load=0.65), Setting(load=1.4)),
    },
    "microphone": {
        "source": (Setting(microphone="A"), Setting(microphone="B")),
        "target": (Setting(microphone="C"), Setting(microphone="D")),
    },
}


@dataclass(frozen=True)
class Sizes:
    """How much to record: clips per section, and their length."""

    sections: int = 6
    train_source: int = 60
    train_target: int = 6
    test_per_cell: int = 10  # of (source, target) × (normal, anomaly)
    seconds: float = 4.0

    def __post_init__(self) -> None:
        counts = (self.train_source, self.train_target, self.test_per_cell)
        if not 1 <= self.sections <= 100 or min(counts) < 0 or max(counts) > 10_000 or self.seconds < 0.1:
            raise UsageError(
                f"a data set has 1 to 100 sections, 0 to 10000 clips of a kind, 0.1 s or longer; got {self}"
            )


@dataclass(frozen=True)
class _Take:
    """One clip to record."""

    name: str  # of its file
    split: Split
    section: int
    domain: Domain
    index: int  # within section, split, domain and label
    fault: str  # the kind, or "" for a normal clip
    setting: Setting
    attributes: tuple[str, ...]  # name, value, name, value, …


def synthesise(
    folder: Path,
    *,
    machines: Sequence[str] = ("fan", "bearing"),
    sizes: Sizes | None = None,
    severity: float = 1.0,
    seed: int = 0,
) -> None:
    """Write a data set of synthetic machines into a new or empty folder, which appears when it is complete.

    `severity` scales every fault (rendering.STRENGTH). The same seed gives the same clips of a machine,
    whichever other machines are asked for. Clips are mono, 16 bit, SAMPLE_RATE.
    """
    sweep(folder.parent)
    taken = UsageError(f"{folder}: is there already and not empty; name a new folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise taken
    for machine in machines:
        recipe(machine)
    sizes = sizes or Sizes()
    with drafted(folder) as draft:
        for machine in dict.fromkeys(machines):
            for section in range(sizes.sections):
                part: Part = "dev" if section < (sizes.sections + 1) // 2 else "eval"
                takes = _takes(machine, section, part, sizes, seed)
                _record(draft, machine, part, takes, seconds=sizes.seconds, severity=severity, seed=seed)
                _write_tables(draft, machine, section, part, takes)
        try:
            draft.rename(folder)
        except OSError as error:  # somebody else was faster
            raise (taken if folder.is_dir() and any(folder.iterdir()) else error) from error


def _takes(machine: str, section: int, part: Part, sizes: Sizes, seed: int) -> list[_Take]:
    """The clips of a section; unlabelled ones are numbered in a shuffled order."""
    speed, kinds = unit(machine, section, seed=seed).speed, recipe(machine).faults
    shift = SHIFTS[list(SHIFTS)[section % len(SHIFTS)]]
    takes = []
    cells: list[tuple[Split, Domain, str, int]] = [
        ("train", "source", "normal", sizes.train_source),
        ("train", "target", "normal", sizes.train_target),
        ("test", "source", "normal", sizes.test_per_cell),
        ("test", "source", "anomaly", sizes.test_per_cell),
        ("test", "target", "normal", sizes.test_per_cell),
        ("test", "target", "anomaly", sizes.test_per_cell),
    ]
    for split, domain, label, count in cells:
        for index in range(count):
            turn = index // len(kinds) if label == "anomaly" else index  # every fault in every setting
            setting = shift[domain][turn % len(shift[domain])]
            attributes = _attributes(setting, speed)
            name = f"section_{section:02d}_{domain}_{split}_{label}_{index:04d}_{'_'.join(attributes)}.wav"
            fault = kinds[index % len(kinds)] if label == "anomaly" else ""
            takes.append(_Take(name, split, section, domain, index, fault, setting, attributes))
    if part == "eval":
        hidden = [i for i, take in enumerate(takes) if take.split == "test"]
        numbers = _chance(seed, machine, section, _NUMBERS).permutation(len(hidden))
        for i, number in zip(hidden, numbers, strict=True):
            takes[i] = replace(takes[i], name=f"section_{section:02d}_{number:04d}.wav")
    return takes


def _record(
    draft: Path,
    machine: str,
    part: Part,
    takes: Sequence[_Take],
    *,
    seconds: float,
    severity: float,
    seed: int,
) -> None:
    section = takes[0].section
    recorder = Recorder(unit(machine, section, seed=seed), round(seconds * SAMPLE_RATE))
    for split in ("train", "test"):
        (draft / f"{part}_data" / machine / split).mkdir(parents=True, exist_ok=True)

    def record(take: _Take) -> None:
        code = (take.split == "test", take.domain == "target", take.fault != "", take.index)
        generator = _chance(seed, machine, section, *map(int, code))
        fault = draw_fault(take.fault, severity, generator) if take.fault else HEALTHY
        samples = recorder.record(take.setting, generator, fault)
        path = draft / f"{part}_data" / machine / take.split / take.name
        wav = io.BytesIO()  # libsndfile by itself says nothing of a full disk
        soundfile.write(wav, samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
        with naming(path):
            path.write_bytes(wav.getvalue())

    for _ in map_in_order(record, takes, title=f"{machine}: recording section {section:02d}"):
        pass


def _write_tables(draft: Path, machine: str, section: int, part: Part, takes: Sequence[_Take]) -> None:
    """Attributes of the clips that have them in their names, and the truth about those that do not."""
    listed = [take for take in takes if part == "dev" or take.split == "train"]
    pairs = range(1, len(takes[0].attributes) // 2 + 1)
    header = ["file_name", *(f"d{i}{c}" for i in pairs for c in "pv")]
    rows = [[f"{machine}/{take.split}/{take.name}", *take.attributes] for take in listed]
    _write_csv(draft / f"{part}_data" / machine / f"attributes_{section:02d}.csv", [header, *rows])
    hidden = sorted((take for take in takes if take not in listed), key=lambda take: take.name)
    if hidden:
        name = f"ground_truth_{machine}_section_{section:02d}_test.csv"
        _write_csv(draft / TRUTH_FOLDERS["label"] / name, [[t.name, int(t.fault != "")] for t in hidden])
        _write_csv(
            draft / TRUTH_FOLDERS["domain"] / name, [[t.name, int(t.domain == "target")] for t in hidden]
        )


def _write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def _attributes(setting: Setting, speed: float) -> tuple[str, ...]:
    turns = f"{speed * setting.speed:.1f}"
    return ("spd", turns, "load", f"{setting.load:.2f}", "mic", setting.microphone)


def _chance(seed: int, machine: str, *place: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(machine.encode()), *place])
