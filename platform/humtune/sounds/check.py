"""Check a data set: count its clips, name every file that can't be used, and remark on those that can."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError
from humtune.names import count
from humtune.sounds.clip import Clip, clip_key
from humtune.sounds.dcase import DataSet
from humtune.sounds.groups import without_recording
from humtune.sounds.parallel import map_in_order
from humtune.sounds.sound_file import open_sound
from humtune.sounds.survey import Finding, Survey, detail, few, survey
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN

if TYPE_CHECKING:
    from pandas import DataFrame

DOMAIN_NAMES = {SOURCE: "source", TARGET: "target", UNKNOWN: "unknown"}
LABEL_NAMES = {NORMAL: "normal", ANOMALY: "anomaly", UNKNOWN: "unknown"}

_DOMAINS = {SOURCE: " source", TARGET: " target", UNKNOWN: ""}
_GLANCE = 4096  # bytes in the middle of a file: of equal length most clips differ there


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

    def to_frame(self) -> "DataFrame":
        """The counts as a table of pandas: machine, part, section, split, domain, label, clips."""
        from pandas import DataFrame

        columns = [*(f.name for f in fields(Cell)), "clips"]
        return DataFrame(
            [vars(cell) | {"clips": n} for cell, n in sorted(self.counts.items())], columns=columns
        )

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


def remarks(found: Survey) -> Iterator[Finding]:
    """A finding for each thing to know about the clips, their tables and the truth about them."""
    for machine, clips in found.clips.items():
        if clips:
            place = clips[0].path.parent.parent
            for why in (
                *_sections(clips),
                *_labels(clips),
                *_attributes(found, machine),
                *_truth(found, machine),
            ):
                yield Finding(place, why, machine)
            for trained, tested in _leaks(clips):
                yield Finding(tested, f"byte for byte the training clip {trained}", machine)


def _sections(clips: list[Clip]) -> Iterator[str]:
    train = [clip for clip in clips if clip.split == "train"]
    trained = {clip.section for clip in train}
    both = {c.section for c in train if c.part == "dev"} & {c.section for c in train if c.part == "eval"}
    for section in sorted(both):
        yield f"section {section:02d} is in dev_data and in eval_data; a search takes it for one section"
    for section in sorted({clip.section for clip in clips} - trained if trained else ()):
        yield f"section {section:02d} has test clips, but no training clips; other sections stand in for it"
    told = set(without_recording([clip.attributes for clip in train]).tolist())
    if len(trained) == 1 and len(told) == 1:
        same = "the same" if any(told) else "no"
        yield f"one section and {same} attributes: a classifier finds nothing to tell apart"


def _labels(clips: list[Clip]) -> Iterator[str]:
    labelled = [c for c in clips if (c.part, c.split) == ("dev", "test") and c.label != UNKNOWN]
    if not labelled:
        yield "no labelled test clips in dev_data; a search judges trials by pseudo-Ω"
    there = {(clip.section, clip.domain, clip.label) for clip in labelled}
    for section in sorted({clip.section for clip in labelled}):
        for domain in sorted({clip.domain for clip in labelled}):
            for label, kind in ((NORMAL, "normal"), (ANOMALY, "anomalous")):
                if (section, domain, label) not in there:
                    yield (
                        f"section {section:02d}{_DOMAINS[domain]} has no {kind} test clips, which Ω needs; "
                        "a search wants objective: pseudo"
                    )


def _attributes(found: Survey, machine: str) -> Iterator[str]:
    rows = found.known[machine].attributes
    here = {(clip.part, clip_key(clip.path.name)): clip for clip in found.clips[machine]}
    yield from _of_no_clip("attributes", (key for part, key in rows.keys() - here.keys()))
    train = {place: clip for place, clip in here.items() if clip.split == "train"}
    tabled = {(clip.part, clip.section) for place, clip in train.items() if place in rows}
    without = [c.path.name for p, c in train.items() if p not in rows and (c.part, c.section) in tabled]
    if without:
        yield f"{count(len(without), 'training clip')} without a row in attributes_SS.csv ({min(without)})"


def _truth(found: Survey, machine: str) -> Iterator[str]:
    known = found.known[machine]
    test = {clip_key(clip.path.name): clip for clip in found.clips[machine] if clip.split == "test"}
    yield from _of_no_clip("truth files", known.labels.keys() - test.keys())
    labelled = {clip.section for key, clip in test.items() if key in known.labels}
    without = [c.path.name for c in test.values() if c.label == UNKNOWN and c.section in labelled]
    if without:
        yield f"{count(len(without), 'test clip')} without a row in the truth ({min(without)})"


def _of_no_clip(table: str, keys: Iterable[str]) -> Iterator[str]:
    if absent := sorted(keys):
        yield f"the {table} name {count(len(absent), 'clip')} that can't be found ({absent[0]})"


def _leaks(clips: list[Clip]) -> Iterator[tuple[Path, Path]]:
    """Training and test clip of the same bytes; few files are read whole for it."""
    groups: list[list[Clip]] = [clips]
    for tell in (_size, _glance, _digest):
        parted: defaultdict[tuple[int, Hashable], list[Clip]] = defaultdict(list)
        for i, group in enumerate(groups):
            for clip in group:
                parted[i, tell(clip.path)].append(clip)
        groups = [group for group in parted.values() if len({clip.split for clip in group}) == 2]
    for group in groups:
        train = next(clip.path for clip in group if clip.split == "train")
        yield from ((train, clip.path) for clip in group if clip.split == "test")


def _size(path: Path) -> int:
    return path.stat().st_size


def _glance(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(_size(path) // 2)
        return stream.read(_GLANCE)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
