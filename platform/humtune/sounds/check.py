"""Count a data set's clips and name every file that can't be used."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError
from humtune.names import check_name
from humtune.sounds.audio import read_recording
from humtune.sounds.clip import SUFFIXES, Clip
from humtune.sounds.dcase import DataSet, SplitFolder, listing
from humtune.sounds.parallel import map_in_order
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN

DOMAIN_NAMES = {SOURCE: "source", TARGET: "target", UNKNOWN: "unknown"}
LABEL_NAMES = {NORMAL: "normal", ANOMALY: "anomaly", UNKNOWN: "unknown"}


@dataclass(frozen=True, order=True)
class Cell:
    """What clips are counted by."""

    machine: str
    part: str
    section: int
    split: str
    domain: str
    label: str


@dataclass
class CheckReport:
    """What a data set holds, and what is wrong with it."""

    path: Path
    counts: Counter[Cell] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # of every readable clip
    formats: Counter[tuple[int, int]] = field(default_factory=Counter)  # (Hz, channels) -> files
    bad: list[tuple[Path, str]] = field(default_factory=list)  # file, what is wrong with it

    def summary(self) -> list[str]:
        """What lies beyond the counts, in lines: lengths, formats, bad files."""
        machines = len({cell.machine for cell in self.counts})
        lines = [f"{_count(sum(self.counts.values()), 'clip')} of {_count(machines, 'machine')}"]
        if self.seconds:
            lines[0] += f", {min(self.seconds):.2f} to {max(self.seconds):.2f} s"
        for (rate, channels), files in sorted(self.formats.items()):
            lines.append(f"{_count(files, 'file')} of {rate} Hz, {_count(channels, 'channel')}")
        lines.append(_count(len(self.bad), "bad file"))
        return lines + [f"  {path}: {reason}" for path, reason in self.bad]

    def to_dict(self) -> dict[str, Any]:
        """The report in plain types, for JSON; seconds and Hz."""
        return {
            "path": str(self.path),
            "clips": sum(self.counts.values()),
            "counts": [vars(cell) | {"clips": n} for cell, n in sorted(self.counts.items())],
            "shortest_seconds": min(self.seconds, default=None),
            "longest_seconds": max(self.seconds, default=None),
            "formats": [{"rate": r, "channels": c, "files": n} for (r, c), n in sorted(self.formats.items())],
            "bad": [{"file": str(path), "reason": reason} for path, reason in self.bad],
        }


def check_dataset(dataset: DataSet) -> CheckReport:
    """Read every file of a data set and report on it."""
    report = CheckReport(dataset.path)
    for machine in dataset.machines:
        try:
            check_name(machine, "a machine called", "rename its folder")
        except UsageError as error:
            report.bad += [(f.path, str(error)) for f in dataset.folders if f.machine == machine]
            continue
        clips = _named_clips(dataset, machine, report)
        results = map_in_order(_examine, clips, title=f"{machine}: checking")
        for clip, result in zip(clips, results, strict=True):
            if isinstance(result, str):
                report.bad.append((clip.path, result))
            else:
                seconds, rate, channels = result
                report.seconds.append(seconds)
                report.formats[rate, channels] += 1
                report.counts[_cell(clip)] += 1
    return report


def _named_clips(dataset: DataSet, machine: str, report: CheckReport) -> list[Clip]:
    """The clips whose names can be read and are not taken; the others are reported as bad."""
    clips: list[Clip] = []
    taken: dict[tuple[object, ...], Path] = {}
    complete = dataset.annotator(machine)
    for folder in dataset.folders:
        if folder.machine != machine:
            continue
        report.bad.extend((path, f"not a {' or '.join(SUFFIXES)} file") for path in _strangers(folder))
        for path in folder.recordings:
            try:
                clip = folder.parse(path)
            except UsageError as error:
                report.bad.append((path, _reason(error, path)))
                continue
            key = (clip.part, clip.section, clip.split, clip.domain, clip.label, clip.index)
            if (first := taken.setdefault(key, path)) is not path:
                report.bad.append((path, f"the same section, domain, label and index as {first.name}"))
            else:
                clips.append(complete(clip))
    return clips


def _examine(clip: Clip) -> tuple[float, int, int] | str:
    """Seconds, rate and channels of a file, or what is wrong with it."""
    try:
        recording = read_recording(clip.path)
    except UsageError as error:
        return _reason(error, clip.path)
    return len(recording.samples) / SAMPLE_RATE, recording.rate, recording.channels


def _reason(error: UsageError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")


def _strangers(folder: SplitFolder) -> list[Path]:
    known = set(folder.recordings)
    others = (path for path in listing(folder.path) if path.is_file() and path not in known)
    return sorted(path for path in others if not path.name.startswith("."))


def _cell(clip: Clip) -> Cell:
    domain, label = DOMAIN_NAMES[clip.domain], LABEL_NAMES[clip.label]
    return Cell(clip.machine, clip.part, clip.section, clip.split, domain, label)


def _count(number: int, thing: str) -> str:
    return f"{number or 'no'} {thing}{'s' * (number != 1)}"
