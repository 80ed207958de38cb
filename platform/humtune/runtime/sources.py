"""Which recordings to score: files, folders, patterns and lists, each given as soon as it is found."""

import glob
import logging
import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from humtune.names import count, shown, word
from humtune.runtime.outcomes import Failed
from humtune.sounds.compressed import may_be_sound

logger = logging.getLogger(__name__)

STDIN = "-"
SORTED = 10_000  # recordings of a folder that are put in order; what is more comes as it lies on the disk
_MAGIC = "*?["


def find_recordings(words: Iterable[str], listed: Iterable[bytes] = ()) -> Iterator[Path | Failed]:
    """The files named, and the sound files of the folders named; each once.

    A word may be a pattern (`day-*/**/*.wav`), or "-" for the names in `listed`, one a line (or with zero
    bytes between them). What can't be listed is reported and passed over; a named file that isn't there,
    when it is scored. Folders are streamed, not held; only the names out of words, patterns and lists are.
    Folders that lie beside a folder's recordings are passed over, and a warning says so in the end.
    """
    below: list[Path] = []
    folders: set[Path] = set()
    named: set[Path] = set()
    for path in _named(words, listed):
        if isinstance(path, Failed):
            yield path
        elif os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where its parent can't be entered
            if path not in folders:
                folders.add(path)
                yield from (found for found in _inside(path, below) if found not in named)
        elif path not in named and not (path.parent in folders and may_be_sound(path)):
            named.add(path)
            yield path
    taken = folders | {path.parent for path in named}
    if passed := [path for path in below if path not in taken]:
        logger.warning(
            "%s beside recordings passed over (the first is %s); %s takes what is in them too",
            count(len(passed), "folder"),
            shown(passed[0]),
            word(f"{passed[0].parent}/**/*.*"),
        )


def counted(found: Iterator[Path | Failed]) -> tuple[Iterator[Path | Failed], int | None]:
    """The same, and how many there are; None for more than `SORTED`, which nobody waits for."""
    first = list(islice(found, SORTED + 1))
    return chain(first, found), len(first) if len(first) <= SORTED else None


def _named(words: Iterable[str], listed: Iterable[bytes]) -> Iterator[Path | Failed]:
    for said in words:
        if said == STDIN:
            for line in listed:
                yield from (Path(os.fsdecode(name)) for name in line.strip(b"\r\n").split(b"\0") if name)
        elif any(letter in said for letter in _MAGIC) and not os.path.lexists(said):
            yield from _fitting(said)
        else:
            yield Path(said)


def _fitting(pattern: str) -> Iterator[Path | Failed]:
    found = map(Path, glob.iglob(_with_literal_folders(pattern), recursive=True))  # noqa: PTH207 - Path.glob starts in a folder
    fitting = (path for path in found if may_be_sound(path) or os.path.isdir(path))  # noqa: PTH112 - as above
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


def _inside(folder: Path, below: list[Path]) -> Iterator[Path | Failed]:
    """The recordings of a folder; `below` gets the folders that lie beside them."""
    folders: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            recordings = filter(may_be_sound, _files(entries, folders))
            first = sorted(islice(recordings, SORTED))
            yield from first
            yield from recordings
        if first:
            below += folders
        else:
            yield Failed(folder, f"no sound files in it{_mend(folder)}")
    except OSError as error:
        yield Failed(folder, f"can't be listed ({error.strerror or error})")


def _files(entries: Iterable[os.DirEntry[str]], folders: list[Path]) -> Iterator[Path]:
    """The files among entries; `folders` gets those folders that aren't hidden."""
    for entry in entries:
        path = Path(entry.path)
        if not entry.is_dir():
            yield path
        elif not path.name.startswith("."):
            folders.append(path)


def _mend(folder: Path) -> str:
    with os.scandir(folder) as entries:
        below = sorted(entry.name for entry in entries if entry.is_dir())
    return f"; did you mean one of its folders ({', '.join(below[:3])})?" if below else ""
