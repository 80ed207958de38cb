"""Count a data set's clips and name every file that can't be used."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError
from humtune.sounds.clip import Clip
from humtune.sounds.dcase import DataSet
from humtune.sounds.parallel import map_in_order
from humtune.sounds.remarks import remarks
from humtune.sounds.sound_file import open_sound
from humtune.sounds.survey import count, detail, few, survey
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
    odd: dict[str, list[Path]] = field(default_factory=dict)  # what is odd, and the files that it is odd in
    notes: list[tuple[Path, str]] = field(default_factory=list)  # file, what a search makes of it

    def summary(self) -> list[str]:
        """What lies beyond the counts, in lines: lengths, formats, what is odd, bad files."""
        machines = len({cell.machine for cell in self.counts})
        lines = [f"{count(sum(self.counts.values()), 'clip')} of {count(machines, 'machine')}"]
        if self.seconds:
            lines[0] += f", {min(self.seconds):.2f} to {max(self.seconds):.2f} s"
        for (rate, channels), files in sorted(self.formats.items()):
            lines.append(f"{count(files, 'file')} of {rate} Hz, {count(channels, 'channel')}")
        for oddity, paths in sorted(self.odd.items()):
            lines.append(f"{count(len(paths), 'file')}: {oddity} ({few([path.name for path in paths])})")
        folders = sum(path.is_dir() for path, _ in self.bad)
        kinds = {"bad file": len(self.bad) - folders, "bad folder": folders}
        lines.append(", ".join(count(n, kind) for kind, n in kinds.items() if n) or "no bad files")
        lines += [f"  {path}: {reason}" for path, reason in self.bad]
        lines += [count(len(self.notes), "note")] if self.notes else []
        return lines + [f"  {path}: {reason}" for path, reason in self.notes]

    def to_dict(self) -> dict[str, Any]:
        """The report in plain types, for JSON; seconds and Hz."""
        return {
            "path": str(self.path),
            "clips": sum(self.counts.values()),
            "counts": [vars(cell) | {"clips": n} for cell, n in sorted(self.counts.items())],
            "shortest_seconds": min(self.seconds, default=None),
            "longest_seconds": max(self.seconds, default=None),
            "formats": [{"rate": r, "channels": c, "files": n} for (r, c), n in sorted(self.formats.items())],
            "odd": [{"what": odd, "files": list(map(str, paths))} for odd, paths in sorted(self.odd.items())],
            "bad": [{"file": str(path), "reason": reason} for path, reason in self.bad],
            "notes": [{"file": str(path), "reason": reason} for path, reason in self.notes],
        }


def check_dataset(dataset: DataSet, *, channel: int | None = None) -> CheckReport:
    """Read every file of a data set, of several channels that one or all, mixed down, and report on it."""
    found = survey(dataset)
    report = CheckReport(dataset.path, bad=[(f.path, f.reason) for f in found.bad])
    report.notes = [(note.path, note.reason) for note in (*found.notes, *remarks(found))]
    for machine, clips in found.clips.items():
        results = map_in_order(partial(_examine, channel=channel), clips, title=f"{machine}: checking")
        for clip, result in zip(clips, results, strict=True):
            if isinstance(result, str):
                report.bad.append((clip.path, result))
            else:
                seconds, rate, channels, odd = result
                report.seconds.append(seconds)
                report.formats[rate, channels] += 1
                report.counts[_cell(clip)] += 1
                for oddity in odd:
                    report.odd.setdefault(oddity, []).append(clip.path)
    return report


def _examine(clip: Clip, *, channel: int | None) -> tuple[float, int, int, Iterable[str]] | str:
    """Seconds, rate, channels and oddities of a file, or what is wrong with it."""
    try:
        with open_sound(clip.path, channel=channel) as sound:
            seconds = sum(map(len, sound.blocks())) / SAMPLE_RATE
            return sound.silent or (seconds, sound.rate, sound.channels, tuple(sound.oddities()))
    except UsageError as error:
        return detail(error, clip.path)


def _cell(clip: Clip) -> Cell:
    domain, label = DOMAIN_NAMES[clip.domain], LABEL_NAMES[clip.label]
    return Cell(clip.machine, clip.part, clip.section, clip.split, domain, label)
