"""Which recordings to score: what is there (files, folders, patterns, lists), and what arrives in a folder.

Each is given as soon as it is found, and what arrives when it has been written to its end.
"""

import glob
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from humtune.errors import HumtuneError, UsageError
from humtune.runtime.outcomes import Failed
from humtune.sounds.clip import is_sound
from humtune.sounds.compressed import is_compressed
from humtune.sounds.sound_file import open_sound

STDIN = "-"
SORTED = 10_000  # recordings of a folder that are put in order; what is more comes as it lies on the disk
_MAGIC = "*?["

EVERY = 0.5  # seconds between two looks
SETTLED = 2.0  # seconds without a change after which a file may be whole
PATIENCE = 30.0  # seconds without a change after which a file that isn't whole is reported, and left


def find_recordings(words: Iterable[str], listed: Iterable[bytes] = ()) -> Iterator[Path | Failed]:
    """The files named, and the sound files of the folders named; each once.

    A word may be a pattern (`day-*/**/*.wav`), or "-" for the names in `listed`, one a line (or with zero
    bytes between them). What can't be listed is reported and passed over; a named file that isn't there,
    when it is scored. Folders are streamed, not held; only the names out of words, patterns and lists are.
    """
    folders: set[Path] = set()
    named: set[Path] = set()
    for path in _named(words, listed):
        if isinstance(path, Failed):
            yield path
        elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where its parent can't be entered
            if path not in folders:
                folders.add(path)
                yield from (found for found in _inside(path) if found not in named)
        elif path not in named and not (path.parent in folders and _is_sound(path)):
            named.add(path)
            yield path


def counted(found: Iterator[Path | Failed]) -> tuple[Iterator[Path | Failed], int | None]:
    """The same, and how many there are; None for more than `SORTED`, which nobody waits for."""
    first = list(islice(found, SORTED + 1))
    return chain(first, found), len(first) if len(first) <= SORTED else None


def _named(words: Iterable[str], listed: Iterable[bytes]) -> Iterator[Path | Failed]:
    for word in words:
        if word == STDIN:
            for line in listed:
                yield from (Path(os.fsdecode(name)) for name in line.strip(b"\r\n").split(b"\0") if name)
        elif any(letter in word for letter in _MAGIC) and not os.path.lexists(word):
            yield from _fitting(word)
        else:
            yield Path(word)


def _fitting(pattern: str) -> Iterator[Path | Failed]:
    found = map(Path, glob.iglob(_with_literal_folders(pattern), recursive=True))  # noqa: PTH207 - Path.glob starts in a folder
    fitting = (path for path in found if _is_sound(path) or os.path.isdir(path))  # noqa: PTH112 - as above
    first = next(fitting, None)
    yield Failed(Path(pattern), "no sound file fits this pattern") if first is None else first
    yield from fitting


def _with_literal_folders(pattern: str) -> str:
    """The pattern, in which its first folders are no patterns where they are called so: night[1]/*.wav."""
    known, rest = "", pattern
    while "/" in rest and os.path.isdir(known + rest.partition("/")[0] + "/"):  # noqa: PTH112 - as above
        part, _, rest = rest.partition("/")
        known += f"{part}/"
    return glob.escape(known) + rest


def _inside(folder: Path) -> Iterator[Path | Failed]:
    try:
        with os.scandir(folder) as entries:
            paths = (Path(entry.path) for entry in entries if not entry.is_dir())
            recordings = filter(_is_sound, paths)
            first = sorted(islice(recordings, SORTED))
            yield from first
            yield from recordings
        if not first:
            yield Failed(folder, f"no sound files in it{_mend(folder)}")
    except OSError as error:
        yield Failed(folder, f"can't be listed ({error.strerror or error})")


def _is_sound(path: Path) -> bool:
    """Whether a name is one of sound, of a kind that is read or that is refused with the reason."""
    return is_sound(path) or (is_compressed(path) and not path.name.startswith("."))


def _mend(folder: Path) -> str:
    with os.scandir(folder) as entries:
        below = sorted(entry.name for entry in entries if entry.is_dir())
    return f"; did you mean one of its folders ({', '.join(below[:3])})?" if below else ""


@dataclass
class _File:
    """How a file looked, and since when."""

    look: tuple[int, int]  # bytes, time of the last change
    since: float
    reported: bool = False


def watch(
    folder: Path, *, every: float = EVERY, settled: float = SETTLED, patience: float = PATIENCE
) -> Iterator[Path | Failed]:
    """What is in a folder, and then what arrives, without end; a file that is written anew comes again.

    A file is whole when it hasn't changed for `settled` seconds and holds what its header promises; one that
    doesn't (less, or more: some write the header last) is waited for until it hasn't changed for `patience`
    seconds. The folder is asked again and again,
    which works on network shares too, where nobody tells of changes. UsageError where it is no folder; one
    that goes away (a share that is lost) is reported once and waited for.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder that can be watched")
    return _watched(folder, every, settled, patience)


def _watched(folder: Path, every: float, settled: float, patience: float) -> Iterator[Path | Failed]:
    known: dict[str, _File] = {}
    gone = False
    while True:
        now = time.monotonic()
        try:
            looks = _look(folder)
        except OSError as error:
            if not gone:
                yield Failed(folder, f"can't be listed ({error.strerror or error}); waiting for it")
            gone = True
            time.sleep(every)
            continue
        gone = False
        known = {name: known[name] for name in known.keys() & looks.keys()}
        for name in sorted(looks):
            file = known.get(name)
            if file is None or file.look != looks[name]:
                known[name] = _File(looks[name], now)
                continue
            quiet = now - file.since
            if not file.reported and quiet >= settled and (quiet >= patience or _is_whole(folder / name)):
                file.reported = True
                yield folder / name
        time.sleep(every)


def _look(folder: Path) -> dict[str, tuple[int, int]]:
    looks = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not _is_sound(Path(entry.name)) or entry.is_dir():
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:  # moved away between the two calls, or a link to nowhere
                continue
            looks[entry.name] = (status.st_size, status.st_mtime_ns)
    return looks


def _is_whole(path: Path) -> bool:
    """Whether a file holds the samples that its header promises: no less, and no more."""
    try:
        with open_sound(path) as sound:
            for _ in sound.blocks():
                pass
            return not sound.longer
    except HumtuneError:
        return False
