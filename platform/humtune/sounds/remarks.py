"""What a user should know of the clips of a data set that can be used: nothing of it is refused."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path

from humtune.sounds.annotations import clip_key
from humtune.sounds.clip import Clip
from humtune.sounds.survey import Finding, Survey, count
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN

_DOMAINS = {SOURCE: " source", TARGET: " target", UNKNOWN: ""}
_GLANCE = 4096  # bytes in the middle of a file: of equal length most clips differ there


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
    if len(trained) == 1 and len({clip.attributes for clip in train}) == 1:
        same = "the same" if train[0].attributes else "no"
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
    told = {clip.section for key, clip in test.items() if key in known.labels}
    without = [c.path.name for c in test.values() if c.label == UNKNOWN and c.section in told]
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
