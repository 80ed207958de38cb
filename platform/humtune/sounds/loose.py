"""Recordings that lie in a folder under any names, at any depth: found, read, and cut into windows.

A recording is cut into equal windows of about ten seconds, as many as come nearest to that: nothing of it is
left out, and nothing is in two windows. One of less than fifteen seconds stays whole.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError, naming
from humtune.names import count, shown
from humtune.sounds.clip import Clip
from humtune.sounds.compressed import may_be_sound
from humtune.sounds.folders import walk
from humtune.sounds.parallel import byte_progress, in_order
from humtune.sounds.sound_file import open_sound, to_flac
from humtune.sounds.table import ANOMALY, NORMAL

WINDOW = 10.0  # seconds, about
LEAST = 2.0  # seconds: in less there is no telling how a machine sounds


@dataclass(frozen=True)
class Loose:
    """A file of sound."""

    path: Path
    name: str  # its place below the folder that was named
    label: int  # NORMAL or ANOMALY; UNKNOWN: a person can't tell

    @property
    def folder(self) -> str:
        """The folder that it lies in, below the one that was named; empty for that one."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class LeftOut:
    """A file that can't be used, and why."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


@dataclass(frozen=True)
class Taken:
    """A recording, brought to one rate and channel and cut into windows."""

    loose: Loose
    sound: str  # hash of its samples: of two with the same one is left out
    samples: int  # at SAMPLE_RATE
    windows: tuple[Path, ...]  # flac files, from its beginning to its end
    remarks: tuple[str, ...]  # what was done to it, and what is odd about it

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.samples / SAMPLE_RATE


def find_loose(folder: Path, label: int = NORMAL, *, without: Sequence[Path] = ()) -> list[Loose]:
    """The sound files in a folder and those in it, sorted by name; nothing that lies in one of `without`.

    UsageError where there is no such folder, or a healthy one's name calls itself an anomaly.
    """
    if not folder.is_dir():
        why = "a file; name the folder that it lies in" if folder.exists() else "no such folder"
        raise UsageError(f"{folder}: {why}")
    passed = [place.resolve() for place in without]
    found = []
    for listed in walk(folder):
        here = listed.path.resolve()
        if listed.unreadable:
            raise UsageError(f"{listed.path}: can't be listed ({listed.unreadable})")
        if not any(here.is_relative_to(place) for place in passed):
            sounds = (path for path in listed.files if may_be_sound(path))
            found += [Loose(path, path.relative_to(folder).as_posix(), label) for path in sounds]
    if label == NORMAL and (bad := [loose.path for loose in found if _calls_itself_bad(loose.path)]):
        others = f" and {count(len(bad) - 1, 'other')}" if len(bad) > 1 else ""
        raise UsageError(
            f"{bad[0]}{others}: anomalies by their names, among the healthy recordings; move them into "
            "another folder, and name that with --bad"
        )
    return sorted(found, key=lambda loose: loose.name)


def apart(out: Path, folder: Path) -> Path:
    """The part of a data set's folder `out` that is passed over in a folder of recordings.

    It is all, unless the recordings lie in it: then only what imports made. UsageError where these are it.
    """
    if not folder.resolve().is_relative_to(out.resolve()):
        return out
    made = out / "dev_data"
    if folder.resolve().is_relative_to(made.resolve()):
        raise UsageError(f"{folder}: lies in the data set {out} that it goes to; choose another --out")
    return made


def _calls_itself_bad(path: Path) -> bool:
    try:
        return Clip.parse(path, machine="", part="dev", split="test").label == ANOMALY
    except UsageError:  # a name that says nothing, as most do
        return False


def read_loose(
    found: Sequence[Loose], draft: Path, *, channel: int | None = None, window: float = WINDOW
) -> Iterator[Taken | LeftOut]:
    """What comes of sound files, in their order, as windows in the folder `draft`; shows how far it is.

    Of several channels `channel` is read, counted from 1; None: all are mixed down. `window` in seconds.
    """
    sizes = [_size(loose.path) for loose in found]
    with byte_progress("reading recordings", total=sum(sizes)) as show:
        progress = _Progress(show)
        read = partial(_read, draft=draft, channel=channel, window=window, progress=progress)
        yield from in_order(read, list(zip(found, sizes, strict=True)))


@dataclass
class _Progress:
    """Bytes read by all threads together."""

    show: Callable[[int], None]
    done: float = 0.0
    lock: Lock = field(default_factory=Lock)

    def add(self, size: float) -> None:
        with self.lock:
            self.done += size
            self.show(int(self.done))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # of a link to nowhere, which its reader tells of
        return 0


def _read(
    item: tuple[Loose, int], *, draft: Path, channel: int | None, window: float, progress: _Progress
) -> Taken | LeftOut:
    loose, size = item
    with tempfile.TemporaryFile(dir=draft) as spool:  # a night of sound needn't fit into the memory
        digest, read, told = hashlib.sha256(), 0, 0.0
        try:
            with open_sound(loose.path, channel=channel) as sound:
                for block in sound.blocks():
                    data = block.astype("<i2").tobytes()
                    digest.update(data)
                    with naming(draft):
                        spool.write(data)
                    read += len(block)
                    share = min(1.0, read / SAMPLE_RATE / sound.seconds) if sound.seconds else 0.0
                    progress.add(size * share - told)
                    told = size * share
        except UsageError as error:
            progress.add(size - told)
            return LeftOut(loose.path, str(error).removeprefix(str(loose.path)).lstrip(":, "))
        progress.add(size - told)
        if sound.silent:
            return LeftOut(loose.path, sound.silent)
        if read < LEAST * SAMPLE_RATE:
            return LeftOut(loose.path, f"{read / SAMPLE_RATE:.1f} s long, and {LEAST:g} s are needed")
        spool.flush()
        samples = np.memmap(spool, "<i2", "r")
        name = hashlib.sha256(str(loose.path).encode(errors="surrogateescape")).hexdigest()[:32]
        windows = tuple(_write(samples, draft / name, window))
    return Taken(loose, digest.hexdigest()[:32], read, windows, (*sound.changes, *sound.oddities()))


def _write(samples: NDArray[np.int16], name: Path, window: float) -> Iterator[Path]:
    for i, (begin, end) in enumerate(bounds(len(samples), window)):
        path = name.with_name(f"{name.name}-{i}.flac")
        with naming(path):
            path.write_bytes(to_flac(samples[begin:end]))
        yield path


def bounds(samples: int, window: float = WINDOW) -> list[tuple[int, int]]:
    """Where the windows of a recording begin and end, in samples; `window` in seconds."""
    count = max(1, round(samples / SAMPLE_RATE / window))
    ends = [round(samples * i / count) for i in range(count + 1)]
    return list(pairwise(ends))


def without_twins(
    read: Iterator[Taken | LeftOut], *, labels: Path | None = None
) -> tuple[list[Taken], list[LeftOut]]:
    """The recordings, each sound once, the first of that sound, and what is left out.

    UsageError where one is among the healthy and among the bad, of two folders or by the table `labels`.
    """
    taken: dict[str, Taken] = {}
    left: list[LeftOut] = []
    for item in read:
        if isinstance(item, LeftOut):
            left.append(item)
            continue
        first = taken.setdefault(item.sound, item)
        if first is item:
            continue
        if {first.loose.label, item.loose.label} == {NORMAL, ANOMALY}:
            mend = f"change its label in {labels}" if labels else "take it out of one of the folders"
            raise UsageError(
                f"{item.loose.path}: the same sound as {first.loose.path}, and only one of them is called "
                f"healthy; {mend}"
            )
        for path in item.windows:
            path.unlink()
        left.append(LeftOut(item.loose.path, f"the same sound as {shown(first.loose.name)}"))
    return list(taken.values()), left
