"""What lies in folders: what is listed, what is passed over, and where links that lead in a circle end."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from humtune.errors import UsageError

_PASSED_OVER = (".", "__MACOSX")  # hidden, or what a Mac leaves in a zip file


@dataclass(frozen=True)
class Listed:
    """A folder and the files in it, sorted; `unreadable` says why it can't be listed, where it can't."""

    path: Path
    files: tuple[Path, ...]
    unreadable: str = ""


def listing(folder: Path) -> Iterator[Path]:
    """What lies in a folder, in no order; UsageError where it may not be read."""
    try:
        yield from folder.iterdir()
    except OSError as error:
        raise UsageError(f"{folder}: can't be listed ({error.strerror or error})") from error


def readable(folder: Path) -> Iterator[Path]:
    """As `listing`; nothing where it may not be read."""
    with suppress(OSError):
        yield from folder.iterdir()


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones; none where it may not be read."""
    return _list(folder)[1]


def walk(top: Path, *, depth: int = 64) -> Iterator[Listed]:
    """The folder and all folders in it, `depth` levels down; each once, however many links lead to it."""
    seen: set[str] = set()
    ahead = [(top, depth)]
    while ahead:
        folder, left = ahead.pop()
        real = os.path.realpath(folder)
        if real not in seen:
            seen.add(real)
            listed, below = _list(folder)
            yield listed
            ahead += [(child, left - 1) for child in reversed(below)] if left else []


def _list(folder: Path) -> tuple[Listed, list[Path]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted((e.name, e.is_dir()) for e in entries if not e.name.startswith(_PASSED_OVER))
    except OSError as error:
        return Listed(folder, (), error.strerror or str(error)), []
    files = tuple(folder / name for name, is_folder in found if not is_folder)
    return Listed(folder, files), [folder / name for name, is_folder in found if is_folder]
