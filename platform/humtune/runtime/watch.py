"""What arrives in a folder and in those below it, each recording when it has been written to its end."""

import os
import time
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from humtune.errors import HumtuneError, UsageError
from humtune.runtime.outcomes import Failed
from humtune.runtime.results import DETAILS, is_detail
from humtune.sounds.compressed import may_be_sound
from humtune.sounds.sound_file import open_sound

EVERY = 0.5  # seconds between two looks, at least
SHARE = 0.25  # of the time that goes into looking, at most
SETTLED = 2.0  # seconds without a change after which a file may be whole
PATIENCE = 30.0  # seconds without a change after which a file that isn't whole is reported, and left


class Marks:
    """Files as they once were, by path, size and time of the last change: eight bytes each."""

    def __init__(self, marks: Iterable[int] = ()) -> None:
        self._marks = array("q", np.sort(np.fromiter(marks, np.int64)).tobytes())

    def __contains__(self, mark: int) -> bool:
        place = bisect_left(self._marks, mark)
        return place < len(self._marks) and self._marks[place] == mark

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, mark: int) -> None:
        """Take in another one."""
        insort(self._marks, mark)


def mark(path: str, size: int, changed: float) -> int:
    """A number for a file as it is: its absolute path, bytes, and seconds since 1970 of the last change.

    It is the same in one process alone.
    """
    return hash((path, size, changed))


def arrivals(
    folder: Path,
    known: Marks | None = None,
    *,
    every: float = EVERY,
    settled: float = SETTLED,
    patience: float = PATIENCE,
) -> Iterator[Path | Failed]:
    """What is in a folder and those below it, and then what arrives, without end.

    A file that is written anew comes again; one that is in `known` as it is doesn't come, and each that has
    come is added. Hidden folders, links to folders, and what is kept of results are passed over.
    A file is whole when it hasn't changed for `settled` seconds and holds what its header promises; one
    that doesn't (less, or more: some write the header last) is waited for until it hasn't changed for
    `patience` seconds.
    The folders are asked again and again, which works on network shares too, where nobody tells of changes.
    UsageError where it is no folder; one that can't be listed (a share that is lost) is reported once and
    waited for.
    """
    if not folder.is_dir():
        why = "a file; name the folder that it lies in" if folder.exists() else "no such folder"
        raise UsageError(f"{folder}: {why}")
    return _watched(folder, Marks() if known is None else known, every, settled, patience)


def _watched(
    folder: Path, known: Marks, every: float, settled: float, patience: float
) -> Iterator[Path | Failed]:
    waiting: dict[str, tuple[int, float]] = {}  # files as they are, and since when
    lost: set[Path] = set()
    while True:
        now = time.monotonic()
        seen: dict[str, tuple[int, float]] = {}
        unlisted = set()
        for found in _look(folder):
            if isinstance(found, Failed):
                unlisted.add(found.path)
                if found.path not in lost:
                    yield found
            elif found[1] not in known:
                path, as_it_is = found
                before, since = waiting.get(path, (None, now))
                seen[path] = as_it_is, since if before == as_it_is else now
        waiting, lost = seen, unlisted
        took = time.monotonic() - now
        for path in sorted(path for path, (_, since) in waiting.items() if now - since >= settled):
            as_it_is, since = waiting[path]
            if now - since >= patience or _is_whole(Path(path)):
                known.add(as_it_is)
                yield Path(path)
        time.sleep(max(every, took / SHARE))


def _look(folder: Path) -> Iterator[tuple[str, int] | Failed]:
    """The recordings in a folder and those below it, with their marks, and folders that can't be listed."""
    folders = [(str(folder), os.path.abspath(folder))]  # noqa: PTH100 - links stay as they are
    while folders:
        place, absolute = folders.pop()
        details = os.path.basename(absolute) == DETAILS  # noqa: PTH119 - as above
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if not entry.name.startswith("."):
                            folders.append((entry.path, f"{absolute}/{entry.name}"))
                    elif may_be_sound(Path(entry.name)) and not (
                        details and is_detail(Path(absolute, entry.name))
                    ):
                        try:
                            status = entry.stat()
                        except FileNotFoundError:  # moved away between the two calls, or a link to nowhere
                            continue
                        if not entry.is_dir():
                            name = f"{absolute}/{entry.name}"
                            yield entry.path, mark(name, status.st_size, status.st_mtime)
        except FileNotFoundError as error:
            if place == str(folder):
                yield _unlisted(place, error)  # one below it was moved away between two calls
        except OSError as error:
            yield _unlisted(place, error)


def _unlisted(place: str, error: OSError) -> Failed:
    return Failed(Path(place), f"can't be listed ({error.strerror or error}); waiting for it")


def _is_whole(path: Path) -> bool:
    """Whether a file holds the samples that its header promises: no less, and no more."""
    try:
        with open_sound(path) as sound:
            for _ in sound.blocks():
                pass
            return not sound.longer
    except HumtuneError:
        return False
