"""Find the recordings of a data set in the DCASE layout.

    <root>/<machine>/train/*.wav        training clips, normal
    <root>/<machine>/test/*.wav         test clips (DCASE 2021: source_test and target_test)
    <root>/<machine>/test_rename/*.wav  the test clips of eval_data once more, labels in their names
    <root>/<machine>/attributes_SS.csv  optional

A data set is one root, or a folder with the roots dev_data and eval_data, which belong together; the
machines may lie a folder deeper, in `raw`, as the challenge's baselines have them. Capitals make no
difference in these names. The truth about unlabelled test clips lies in ground_truth_data and
ground_truth_domain, in or beside the roots.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from humtune.errors import UsageError
from humtune.names import command, twin
from humtune.sounds.clip import (
    TRUTH_FOLDERS,
    Clip,
    Part,
    Split,
    attribute_files,
    clip_key,
    is_recording,
    is_sound,
    read_attributes,
    read_truth,
    truth_files,
)
from humtune.sounds.folders import listing, readable, subfolders, walk
from humtune.sounds.table import UNKNOWN

RENAMED = "test_rename"
SUPPLEMENTAL = "supplemental"
_SPLITS: dict[str, Split] = {
    "train": "train",
    "test": "test",
    "source_test": "test",
    "target_test": "test",
    RENAMED: "test",
}
_PARTS: dict[str, Part] = {"dev_data": "dev", "eval_data": "eval"}
_LEVEL = "raw"
_LOOK = 4  # levels of folders in which to look for what lies in the wrong place
_LAYOUT = "<machine>/train/*.wav and <machine>/test/*.wav in it, or the same below dev_data and eval_data"


@dataclass(frozen=True)
class SplitFolder:
    """A folder of recordings of one machine, part and split."""

    path: Path
    machine: str
    part: Part
    split: Split

    @cached_property
    def recordings(self) -> list[Path]:
        """Its wav and flac files, sorted by name."""
        return sorted(path for path in listing(self.path) if is_recording(path))

    def parse(self, path: Path) -> Clip:
        """What the name of one of its files says; UsageError where it can't be read."""
        return Clip.parse(path, machine=self.machine, part=self.part, split=self.split)


@dataclass(frozen=True)
class DataSet:
    """The recordings of one data set: what lies where."""

    path: Path
    roots: tuple[Path, ...]

    @cached_property
    def folders(self) -> tuple[SplitFolder, ...]:
        """Every folder of recordings, by machine, dev before eval, train before test."""
        once: dict[tuple[str, ...], SplitFolder] = {}
        for root in self.roots:
            for folder in _split_folders(root):
                once.setdefault((folder.machine, folder.split, os.path.realpath(folder.path)), folder)
        found = [folder for folder in once.values() if not self._told_twice(folder, list(once.values()))]
        return tuple(sorted(found, key=lambda f: (f.machine, f.part, f.split != "train", f.path)))

    @property
    def machines(self) -> tuple[str, ...]:
        """Names of the machines, sorted."""
        return tuple(dict.fromkeys(folder.machine for folder in self.folders))

    def choose(self, machines: Sequence[str] | None) -> tuple[str, ...]:
        """The machines that were asked for, or all; a UsageError that lists them for an unknown one."""
        known = self.machines
        machines = [twin(machine, known) for machine in machines or ()]
        for machine in machines:
            if machine not in known:
                raise UsageError(f"no machine '{machine}' in {self.path}; there are: {', '.join(known)}")
        return tuple(dict.fromkeys(machines)) if machines else known

    def clips(self, machine: str) -> list[Clip]:
        """A machine's clips in a fixed order, attributes and truth filled in; UsageError for a bad name."""
        self.choose((machine,))
        folders = [folder for folder in self.folders if folder.machine == machine]
        complete = self.annotator(machine)
        return [complete(folder.parse(path)) for folder in folders for path in folder.recordings]

    def annotator(self, machine: str) -> "Annotator":
        """Fills in what the tables know about a machine's clips."""
        attributes: dict[tuple[str, str], str] = {}
        for root in self.roots:
            found = read_attributes(root / machine)
            attributes |= {(_part(root), key): value for key, value in found.items()}
        labels, domains = (read_truth(self._truth_places, kind, machine) for kind in TRUTH_FOLDERS)
        return Annotator(attributes, labels, domains)

    def tables(self, machine: str) -> list[Path]:
        """The attribute and truth files that a machine's clips draw on."""
        attributes = [path for root in self.roots for path in attribute_files(root / machine)]
        truth = [path for kind in TRUTH_FOLDERS for path in truth_files(self._truth_places, kind, machine)]
        return attributes + truth

    def _told_twice(self, folder: SplitFolder, folders: Sequence[SplitFolder]) -> bool:
        """Whether other folders stand for this one: renamed test clips for the test clips they copy.

        Where truth files tell the labels, it is the other way round: a submission has the names of `test`.
        """
        beside = [f for f in folders if f.split == "test" and f.path.parent == folder.path.parent]
        if folder.split != "test" or not any(_is_renamed(f) != _is_renamed(folder) for f in beside):
            return False
        return _is_renamed(folder) == bool(truth_files(self._truth_places, "label", folder.machine))

    @property
    def _truth_places(self) -> list[Path]:
        parts = [root.parent if root.name.lower() == _LEVEL else root for root in self.roots]
        beside = [part.parent for part in parts]
        return list(dict.fromkeys([self.path, *self.roots, *parts, *beside]))


@dataclass(frozen=True)
class Annotator:
    """What a data set's tables know about one machine's clips, by part and key."""

    attributes: dict[tuple[str, str], str]
    labels: dict[str, int]
    domains: dict[str, int]

    def __call__(self, clip: Clip) -> Clip:
        """The clip with its attributes, and with label and domain where its name kept them back."""
        key = clip_key(clip.path.name)
        clip = replace(clip, attributes=self.attributes.get((clip.part, key), clip.attributes))
        if clip.split == "test" and clip.label == UNKNOWN:
            domain = self.domains.get(key, UNKNOWN) if clip.domain == UNKNOWN else clip.domain
            clip = replace(clip, label=self.labels.get(key, UNKNOWN), domain=domain)
        return clip


def find_dataset(data: Path) -> DataSet:
    """The one data set in a folder, which is its root, or holds dev_data and eval_data (or one other root).

    A root counts as part "dev" unless it is eval_data. What else lies in the folder is no part of it.
    """
    found = find_datasets(data)
    if found[0].path == data:
        return found[0]
    names = ", ".join(str(dataset.path) for dataset in found)
    raise UsageError(f"{data}: holds {len(found)} data sets ({names}); name one of them")


def find_datasets(data: Path, *, depth: int = 3) -> list[DataSet]:
    """Every data set in a folder, searched `depth` levels down; UsageError where there is none."""
    if not data.is_dir():
        raise UsageError(f"{data}: no such folder; expected recordings as {_LAYOUT}")
    list(listing(data))  # a folder that may not be read says so itself
    found = list(_walk(data, depth))
    if not found:
        raise UsageError(f"{data}: {_nothing(data)}")
    return [replace(found[0], path=data)] if len(found) == 1 else found


def _nothing(data: Path) -> str:
    """Why there is no data set in a folder."""
    if any(split_of(child.name) for child in subfolders(data)):
        return f"looks like the folder of one machine; name the folder above it, {data.parent}"
    unread = [found.path for found in walk(data, depth=_LOOK) if any(map(is_sound, found.files))]
    if not unread:
        return f"no recordings found; expected {_LAYOUT}"
    lie = f"sound files lie in {unread[0]}{' and elsewhere' * (len(unread) > 1)}"
    one = data if len(unread) > 1 else unread[0]
    learn, imported = command("learn", one, out="MODEL"), command("data import", one, out="DATA")
    mend = f"{learn} makes a model of one machine's, {imported} makes a data set of them"
    return f"no recordings found; expected {_LAYOUT}; {lie}: {mend}"


def split_of(name: str) -> Split | None:
    """What clips a folder of this name holds; None for a name that says nothing."""
    return _SPLITS.get(name.lower())


def _walk(folder: Path, depth: int) -> Iterator[DataSet]:
    if _is_root(folder):
        yield DataSet(folder, (folder,))
        return
    children = subfolders(folder)
    parts = {c: root for c in children if c.name.lower() in _PARTS and (root := _root_of(c))}
    if parts:
        yield DataSet(folder, tuple(parts.values()))
    if depth > 0:
        for child in children:
            if child not in parts:
                yield from _walk(child, depth - 1)


def _root_of(folder: Path) -> Path | None:
    """The folder itself, or `raw` in it, where the machines lie there; None where they lie in neither."""
    levels = [child for child in subfolders(folder) if child.name.lower() == _LEVEL]
    return next((root for root in (folder, *levels) if _is_root(root)), None)


def _is_root(folder: Path) -> bool:
    return next(_split_folders(folder), None) is not None


def _split_folders(root: Path) -> Iterator[SplitFolder]:
    for machine in subfolders(root):
        for folder in subfolders(machine):
            if (split := split_of(folder.name)) and any(is_recording(path) for path in readable(folder)):
                yield SplitFolder(folder, machine.name, _part(root), split)


def _is_renamed(folder: SplitFolder) -> bool:
    return folder.path.name.lower() == RENAMED


def _part(root: Path) -> Part:
    """By the folder's own name, or by that of the folder which a link leads to."""
    for place in (Path(os.path.abspath(root)), root.resolve()):  # noqa: PTH100 - absolute() keeps the ..
        name = place.parent.name if place.name.lower() == _LEVEL else place.name
        if part := _PARTS.get(name.lower()):
            return part
    return "dev"
