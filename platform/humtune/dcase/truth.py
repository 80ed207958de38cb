"""What is known of scored clips: from their names, from truth files, or from the recordings themselves."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from humtune.errors import UsageError
from humtune.sounds.clip import TRUTH_FOLDERS, Clip, clip_key, read_truth, truth_files
from humtune.sounds.dcase import DataSet, find_dataset
from humtune.sounds.table import UNKNOWN, ClipTable, Role

_MACHINE = re.compile(r"ground_truth_(.+)_section_[0-9]{2}(?:_source|_target)?_test\.csv")


@dataclass(frozen=True)
class Truth:
    """A folder that tells the labels of clips whose names don't, and which clips there are."""

    path: Path
    dataset: DataSet | None = None  # the recordings in it, where there are any

    @classmethod
    def open(cls, path: Path) -> "Truth":
        """The truth in (or beside) a folder: ground_truth_data and ground_truth_domain, or a data set."""
        try:
            return cls(path, find_dataset(path))
        except UsageError as error:
            found = cls(path)
            if path.is_dir() and found._files():
                return found
            raise UsageError(f"{error}; or truth files in {TRUTH_FOLDERS['label']}") from None

    @property
    def machines(self) -> tuple[str, ...]:
        """Every machine that it knows a clip of, sorted."""
        found = {match[1] for path in self._files() if (match := _MACHINE.fullmatch(path.name))}
        return tuple(sorted(found.union(self.dataset.machines if self.dataset else ())))

    def clips(self, machine: str) -> dict[str, Clip]:
        """A machine's test clips by `clip_key`; those of truth files without a recording count as "eval"."""
        labels, domains = (read_truth(self._places, kind, machine) for kind in ("label", "domain"))
        found = {}
        for key, label in labels.items():
            clip = Clip.parse(Path(f"{key}.wav"), machine=machine, part="eval", split="test")
            domain = domains.get(key, UNKNOWN) if clip.domain == UNKNOWN else clip.domain
            found[key] = replace(clip, label=label, domain=domain)
        if self.dataset and machine in self.dataset.machines:
            complete = self.dataset.annotator(machine)
            for folder in self.dataset.folders:
                if (folder.machine, folder.split) == (machine, "test"):
                    found |= {clip_key(p.name): complete(folder.parse(p)) for p in folder.recordings}
        return found

    @cached_property
    def _places(self) -> list[Path]:
        roots = self.dataset.roots if self.dataset else ()
        beside = [place.parent for place in (self.path.resolve(), *roots)]
        return list(dict.fromkeys([self.path, *roots, *beside]))

    def _files(self) -> list[Path]:
        return truth_files(self._places, "label", None)


def label_clips(machine: str, names: Iterable[str], *, truth: Truth | None = None) -> ClipTable:
    """The table of test clips known by name alone: dev clips select, eval clips are reported.

    A clip is of the part where the truth has it; where it doesn't, a clip that carries its label is "dev".
    Sections without any label stay UNKNOWN; a UsageError names the first clip that lacks its label in a
    section that has some (or where no section has), or its domain.
    """
    known = truth.clips(machine) if truth else {}
    clips: dict[str, Clip] = {}
    for name in names:
        key = clip_key(name)
        if key in clips:
            raise UsageError(
                f"{machine}: {name} is scored a second time, in another folder; keep one of them"
            )
        clips[key] = _complete(_parse(name, machine), known.get(key))
    labelled = {(c.part, c.section) for c in clips.values() if c.label != UNKNOWN}
    for clip in clips.values():
        name = clip.path.name
        if clip.label == UNKNOWN and (not labelled or (clip.part, clip.section) in labelled):
            mend = (
                f"{truth.path} has no truth for it" if truth else "name the folder of the truth: --truth DIR"
            )
            raise UsageError(f"{machine}: {name} carries no label in its name; {mend}")
        if clip.label != UNKNOWN and clip.domain == UNKNOWN and name.startswith("section"):
            raise UsageError(
                f"{machine}: {name} has no domain; {TRUTH_FOLDERS['domain']} belongs beside the labels"
            )
    return _table(machine, list(clips.values()))


def find_unscored(truth: Truth, tables: Mapping[str, ClipTable], *, machines: Iterable[str]) -> list[Clip]:
    """The labelled test clips of these machines that no table holds, in the parts that the tables hold."""
    parts = {str(part) for table in tables.values() for part in table.part}
    missing = []
    for machine in machines:
        scored = {clip_key(name) for name in tables[machine].name} if machine in tables else set()
        missing += [
            clip
            for key, clip in truth.clips(machine).items()
            if key not in scored and clip.part in parts and clip.label != UNKNOWN
        ]
    return missing


def _parse(name: str, machine: str) -> Clip:
    try:
        clip = Clip.parse(Path(name.replace("\\", "/")), machine=machine, part="dev", split="test")
    except UsageError as error:
        raise UsageError(f"{machine}: only test clips are evaluated; {error}") from None
    return clip if clip.label != UNKNOWN else replace(clip, part="eval")


def _complete(clip: Clip, known: Clip | None) -> Clip:
    """The clip with the truth where its name kept it back."""
    if known is None:
        return clip
    return replace(
        clip,
        part=known.part,
        label=known.label if clip.label == UNKNOWN else clip.label,
        domain=known.domain if clip.domain == UNKNOWN else clip.domain,
    )


def _table(machine: str, clips: list[Clip]) -> ClipTable:
    return ClipTable.from_columns(
        machine=machine,
        name=[c.path.name for c in clips],
        part=[c.part for c in clips],
        split=[c.split for c in clips],
        section=[c.section for c in clips],
        domain=[c.domain for c in clips],
        label=[c.label for c in clips],
        attributes=[c.attributes for c in clips],
        role=[str(Role.SELECT if c.part == "dev" else Role.REPORT) for c in clips],
    )
