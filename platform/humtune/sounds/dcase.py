"""Find the recordings of a data set in the DCASE layout.

    <root>/<machine>/train/*.wav        training clips, normal
    <root>/<machine>/test/*.wav         test clips (DCASE 2021: source_test and target_test)
    <root>/<machine>/attributes_SS.csv  optional

A data set is one root, or a folder with the roots dev_data and eval_data, which belong together. The truth
about unlabelled test clips lies in ground_truth_data and ground_truth_domain, in or beside the roots.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from humtune.errors import UsageError
from humtune.names import twin
from humtune.sounds.annotations import (
    TRUTH_FOLDERS,
    attribute_files,
    clip_key,
    read_attributes,
    read_truth,
    truth_files,
)
from humtune.sounds.clip import Clip, Part, Split, is_recording
from humtune.sounds.table import UNKNOWN

SPLITS: dict[str, Split] = {"train": "train", "test": "test", "source_test": "test", "target_test": "test"}
_PARTS: dict[str, Part] = {"dev_data": "dev", "eval_data": "eval"}
_LAYOUT = "<machine>/train/*.wav and <machine>/test/*.wav in it, or the same below dev_data and eval_data"

logger = logging.getLogger(__name__)


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
        found = [folder for root in self.roots for folder in _split_folders(root)]
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

    @property
    def _truth_places(self) -> list[Path]:
        beside = [root.parent for root in self.roots]
        return list(dict.fromkeys([self.path, *self.roots, *beside]))


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
    """The data set in a folder: the folder is its root, or holds dev_data and eval_data (or one other root).

    A root counts as part "dev" unless it is named eval_data. Other roots beside dev_data and eval_data are
    left out, with a warning.
    """
    if not data.is_dir():
        raise UsageError(f"{data}: no such folder; expected recordings as {_LAYOUT}")
    if _is_root(data):
        return DataSet(data, (data,))
    roots = [child for child in _children(data) if _is_root(child)]
    parts = tuple(root for root in roots if root.name in _PARTS)
    if parts:
        for root in roots:
            if root not in parts:
                logger.warning("%s: left out; only dev_data and eval_data beside it are used", root)
        return DataSet(data, parts)
    if len(roots) > 1:
        names = ", ".join(str(root) for root in roots)
        raise UsageError(f"{data}: holds {len(roots)} data sets ({names}); name one of them")
    if roots:
        return DataSet(data, tuple(roots))
    if any((data / name).is_dir() for name in SPLITS):
        raise UsageError(
            f"{data}: looks like the folder of one machine; name the folder above it, {data.parent}"
        )
    raise UsageError(f"{data}: no recordings found; expected {_LAYOUT}")


def find_datasets(data: Path, *, depth: int = 3) -> list[DataSet]:
    """Every data set in a folder, searched `depth` levels down; UsageError where there is none."""
    found = list(_walk(data, depth)) if data.is_dir() else []
    return found or [find_dataset(data)]


def listing(folder: Path) -> Iterator[Path]:
    """What lies in a folder, in no order; UsageError where it may not be read."""
    try:
        yield from folder.iterdir()
    except OSError as error:
        raise UsageError(f"{folder}: can't be listed ({error.strerror or error})") from error


def _walk(folder: Path, depth: int) -> Iterator[DataSet]:
    children = _children(folder)
    if _is_root(folder):
        yield DataSet(folder, (folder,))
        return
    parts = tuple(child for child in children if child.name in _PARTS and _is_root(child))
    if parts:
        yield DataSet(folder, parts)
    if depth > 0:
        for child in children:
            if child not in parts:
                yield from _walk(child, depth - 1)


def _is_root(folder: Path) -> bool:
    return next(_split_folders(folder), None) is not None


def _split_folders(root: Path) -> Iterator[SplitFolder]:
    for machine in _children(root):
        for name, split in SPLITS.items():
            folder = machine / name
            if folder.is_dir() and any(is_recording(path) for path in listing(folder)):
                yield SplitFolder(folder, machine.name, _part(root), split)


def _children(folder: Path) -> list[Path]:
    return sorted(path for path in listing(folder) if path.is_dir() and not path.name.startswith("."))


def _part(root: Path) -> Part:
    return _PARTS.get(root.resolve().name, "dev")
