"""What lies in a data set and can't be used, or is left out: the same for `data check` and for a search.

Whatever is *bad* is refused by a search of that machine; a *note* says what is left out, and a search goes
on. In a root every sound file has to be read; beside the roots it is noted.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from humtune.errors import UsageError
from humtune.names import check_name, command, count
from humtune.sounds.clip import SUFFIXES, Clip, clip_key, is_recording, is_sound
from humtune.sounds.dcase import RENAMED, SUPPLEMENTAL, Annotator, DataSet, SplitFolder, split_of
from humtune.sounds.folders import listing, readable, subfolders, walk

_DEPTH = 4  # levels of folders beside the roots that are looked into
NAMED = 3  # files or findings that a sentence names
_FORMATS = " or ".join(SUFFIXES)


@dataclass(frozen=True)
class Finding:
    """A file or folder, what is wrong with it and the mend."""

    path: Path
    reason: str
    machine: str | None  # whose it is; None: of no machine

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass
class Survey:
    """What can't be used, what is left out, and the clips that are neither."""

    dataset: DataSet
    bad: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    known: dict[str, Annotator] = field(default_factory=dict)  # by machine: what the tables say
    clips: dict[str, list[Clip]] = field(default_factory=dict)  # by machine, attributes and truth filled in

    def refuse(self, machines: Sequence[str] | None) -> None:
        """UsageError that names what is bad of these machines, or of all."""
        bad = [str(b) for b in self.bad if machines is None or b.machine is None or b.machine in machines]
        if bad:
            more = f"; … {len(bad)} in all, {command('data check', self.dataset.path)} names them"
            raise UsageError("; ".join(bad[:NAMED]) + (more if len(bad) > NAMED else ""))


def survey(dataset: DataSet, machines: Sequence[str] | None = None) -> Survey:
    """Look at every folder of a data set, and at the names of some machines' clips or all; read no sound."""
    found = Survey(dataset)
    for machine in dataset.choose(machines):
        known = found.known[machine] = _annotator(found, machine)
        found.clips[machine] = [known(clip) for clip in _named_clips(found, machine)]
        _complete(found, machine)
        _nameable(found, machine)
    _one_spelling(found)
    _unread(found)
    _beside(found)
    return found


def _annotator(found: Survey, machine: str) -> Annotator:
    try:
        return found.dataset.annotator(machine)
    except UsageError as error:
        tables = [path for path in found.dataset.tables(machine) if str(error).startswith(str(path))]
        path = tables[0] if tables else found.dataset.path
        found.bad.append(Finding(path, detail(error, path), machine))
        return Annotator({}, {}, {})


def _named_clips(found: Survey, machine: str) -> list[Clip]:
    """The clips whose names can be read and are not taken; the others are bad."""
    clips: list[Clip] = []
    taken: dict[tuple[object, ...], Path] = {}
    again: defaultdict[tuple[Path, Path], list[Path]] = defaultdict(list)
    for folder in found.dataset.folders:
        if folder.machine != machine:
            continue
        _strangers(found, folder)
        for path in folder.recordings:
            try:
                clip = folder.parse(path)
                if not path.exists():
                    raise UsageError(f"{path}: a link that leads nowhere; delete it")
            except UsageError as error:
                found.bad.append(Finding(path, detail(error, path), machine))
                continue
            number = (clip.part, clip.section, clip.split, clip.domain, clip.label, clip.index)
            first = taken.setdefault(number, path)
            if first is path and clip.split == "test":
                first = taken.setdefault(("name", clip_key(path.name)), path)
            if first is path:
                clips.append(clip)
            elif first.parent == path.parent:
                found.bad.append(Finding(path, _twin(path, first), machine))
            else:
                again[first.parent, path.parent].append(path)
    for (there, here), paths in again.items():
        why = f"{count(len(paths), 'clip')} of the same numbers as in {there} ({paths[0].name}, for one); "
        found.bad.append(Finding(here, why + "delete the one or the other", machine))
    return clips


def _twin(path: Path, first: Path) -> str:
    if path.stem == first.stem:
        return f"the same clip as {first.name}; delete one of the two"
    return f"the same section, domain, label and index as {first.name}; delete one, or number it anew"


def _strangers(found: Survey, folder: SplitFolder) -> None:
    """Files among the recordings that are none."""
    others = [path for path in next(walk(folder.path, depth=0)).files if not is_recording(path)]
    for path in filter(is_sound, others):
        found.bad.append(Finding(path, f"not a {_FORMATS} file; convert it", folder.machine))
    if silent := [path for path in others if not is_sound(path)]:
        why = f"{count(len(silent), 'file')} of no sound left out ({silent[0].name})"
        found.notes.append(Finding(folder.path, why, folder.machine))


def _nameable(found: Survey, machine: str) -> None:
    """A machine's name becomes that of files, and a word of commands."""
    try:
        check_name(machine, "a machine called", "rename its folder")
    except UsageError as error:
        folder = next(f.path.parent for f in found.dataset.folders if f.machine == machine)
        found.bad.append(Finding(folder, str(error), machine))


def _complete(found: Survey, machine: str) -> None:
    """A machine without training clips can't be searched; renamed test clips have to be all of them."""
    folders = [folder for folder in found.dataset.folders if folder.machine == machine]
    if not any(folder.split == "train" for folder in folders):
        place = folders[0].path.parent
        found.bad.append(
            Finding(place, f"no training clips; a search needs some in {place / 'train'}", machine)
        )
    for renamed in (folder for folder in folders if folder.path.name.lower() == RENAMED):
        names = {
            path.name
            for child in subfolders(renamed.path.parent)
            if split_of(child.name) == "test" and child != renamed.path
            for path in listing(child)
            if is_recording(path)
        }
        if names and len(names) != len(renamed.recordings):
            few = f"{count(len(renamed.recordings), 'clip')}, while there are {len(names)} to rename"
            found.bad.append(Finding(renamed.path, f"{few}; rename again, or delete the folder", machine))


def _one_spelling(found: Survey) -> None:
    spelt: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for folder in found.dataset.folders:
        spelt[folder.machine.casefold()].setdefault(folder.machine, folder.path.parent)
    for places in spelt.values():
        if len(places) > 1:
            for machine, path in places.items():
                others = " and ".join(str(other) for other in places.values() if other != path)
                why = f"one machine, spelt another way in {others}; rename one of the folders"
                found.bad.append(Finding(path, why, machine))


def _unread(found: Survey) -> None:
    """Folders in the roots that hold sound files which no rule reads, or nothing at all."""
    read = {os.path.realpath(folder.path) for folder in found.dataset.folders}
    for root in found.dataset.roots:
        if loose := _sounds(next(walk(root, depth=0)).files):
            why = f"{loose} in no machine's folder; they belong in <machine>/train or <machine>/test in it"
            found.bad.append(Finding(root, why, None))
        for machine in subfolders(root):
            sounds = 0
            for listed in walk(machine):
                if listed.unreadable:
                    why = f"can't be listed ({listed.unreadable})"
                    found.bad.append(Finding(listed.path, why, machine.name))
                elif os.path.realpath(listed.path) in read:
                    sounds += 1
                elif sound := _sounds(listed.files):
                    sounds += 1
                    _left_out(found, machine, listed.path, sound)
            if not sounds and (not any(readable(machine)) or any(map(_is_split, subfolders(machine)))):
                found.notes.append(Finding(machine, "no recordings in it; left out", machine.name))


def _is_split(folder: Path) -> bool:
    return split_of(folder.name) is not None


def _left_out(found: Survey, machine: Path, folder: Path, sound: str) -> None:
    """Say of a folder whose sound files nothing reads what would read them."""
    inside = folder.relative_to(machine).parts
    first = inside[0].lower() if inside else ""
    rule = f"training clips belong in {machine / 'train'}, test clips in {machine / 'test'}"
    if first == SUPPLEMENTAL:
        why = f"{sound} left out: the machine or the noise alone, no training clips"
        found.notes.append(Finding(folder, why, machine.name))
    elif len(inside) == 1 and split_of(first) and any(is_recording(path) for path in listing(folder)):
        other = "test" if first == RENAMED else RENAMED
        why = f"{sound} left out: {machine / other} holds the same clips"
        found.notes.append(Finding(folder, why, machine.name))
    elif len(inside) == 1 and split_of(first):
        found.bad.append(
            Finding(folder, f"{sound} in it, none of them {_FORMATS}; convert them", machine.name)
        )
    elif split_of(first):
        why = f"{sound} not read, for they lie too deep; move them up into {machine / inside[0]}"
        found.bad.append(Finding(folder, why, machine.name))
    elif len(inside) > 1 and split_of(inside[-1]):
        why = f"{sound} not read, for the machine lies too deep; move {folder.parent} into {machine.parent}"
        found.bad.append(Finding(folder, why, machine.name))
    else:
        found.bad.append(Finding(folder, f"{sound} not read; {rule}", machine.name))


def _beside(found: Survey) -> None:
    """What lies in the data set's folder, but in none of its roots."""
    data, roots = found.dataset.path, set(found.dataset.roots)
    mine = " and ".join(str(root.relative_to(data)) for root in found.dataset.roots)
    for place, depth in _places_beside(data, roots):
        counts = []
        for listed in walk(place, depth=depth):
            if listed.unreadable:
                why = f"can't be listed ({listed.unreadable}); left out"
                found.notes.append(Finding(listed.path, why, None))
            elif sound := _sounds(listed.files):
                counts.append(sound)
        if counts:
            many = counts[0] if len(counts) == 1 else f"sound files in {len(counts)} folders"
            found.notes.append(Finding(place, f"{many} left out; this data set is {mine} alone", None))


def _places_beside(folder: Path, roots: set[Path]) -> Iterator[tuple[Path, int]]:
    """Folders that are no root, and how deep to look into them: not at all where a root lies in them."""
    if folder in roots:
        return
    if not any(folder in root.parents for root in roots):
        yield folder, _DEPTH
        return
    yield folder, 0
    for child in subfolders(folder):
        yield from _places_beside(child, roots)


def _sounds(files: Sequence[Path]) -> str:
    """How many there are, as "3 recordings" or "2 .mp3 files"; empty where there are none."""
    sounds = [path for path in files if is_sound(path)]
    if recordings := [path for path in sounds if is_recording(path)]:
        return count(len(recordings), "recording")
    return count(len(sounds), f"{sounds[0].suffix.lower()} file") if sounds else ""


def detail(error: UsageError, path: Path) -> str:
    """What an error says of a file, without the file's name before it."""
    return str(error).removeprefix(str(path)).lstrip(":, ")


def few(texts: Sequence[str], *, between: str = ", ") -> str:
    """The first of some texts, and a sign that there are more."""
    return between.join(texts[:NAMED]) + f"{between}…" * (len(texts) > NAMED)
