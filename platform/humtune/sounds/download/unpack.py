"""Unpack an archive of one machine: whole or not at all, and nowhere else.

It is unpacked into `<root>/.unpacking-<archive>`, which is renamed to `.unpacked-<archive>` when it is
complete, and from there moved to `<root>/<machine>`. Whatever breaks off, the same call goes on with it.
"""

import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from rich.filesize import decimal

from humtune.errors import HumtuneError, naming
from humtune.sounds.dcase import SUPPLEMENTAL, split_of
from humtune.sounds.parallel import byte_progress

_PIECE = 1 << 20  # bytes
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError)


def unpack(archive: Path, root: Path, machine: str, *, keep: bool = True) -> None:
    """Bring a machine's recordings and attribute tables out of a zip file to `<root>/<machine>`.

    The zip holds `<machine>/train/…`, `<machine>/test/…`, `<machine>/attributes_SS.csv`, under any folders on
    top, and goes afterwards unless it is kept. Files that are there already stay as they are. HumtuneError
    for a damaged zip, for one without the machine, and for one with a member that leads elsewhere (.., an
    absolute path, a link): then nothing of it is unpacked.
    """
    ready = _ready(root, archive.stem)
    if not ready.exists():
        draft = root / f".unpacking-{archive.stem}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            with zipfile.ZipFile(archive) as content:
                _extract(content, draft, machine)
        except _BROKEN as error:
            shutil.rmtree(draft)
            raise HumtuneError(
                f"{archive}: can't be unpacked ({error}); delete it and fetch it again"
            ) from error
        except BaseException:
            shutil.rmtree(draft)
            raise
        os.sync()  # where it lies is all that tells later that it is whole
        draft.rename(ready)
    settle(root, machine, archive, keep=keep)


def is_unpacked(root: Path, archive: str) -> bool:
    """Whether what an archive of that name held waits there for `settle`."""
    return _ready(root, Path(archive).stem).exists()


def settle(root: Path, machine: str, archive: Path, *, keep: bool = True) -> None:
    """Move what was unpacked from an archive to its place, if it isn't there; the zip goes unless kept."""
    ready = _ready(root, archive.stem)
    if ready.exists():
        if not keep:  # first, as nobody asks for it once all is in its place
            archive.unlink(missing_ok=True)
        _merge(ready, root / machine)
        shutil.rmtree(ready, ignore_errors=True)


def _ready(root: Path, stem: str) -> Path:
    return root / f".unpacked-{stem}"


def _merge(source: Path, target: Path) -> None:
    if not target.exists():
        source.rename(target)
        return
    for child in sorted(source.iterdir()):
        place = target / child.name
        if child.is_dir() and place.is_dir():
            _merge(child, place)
        elif not place.exists():
            child.rename(place)


def _extract(content: zipfile.ZipFile, draft: Path, machine: str) -> None:
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for place, info in _members(content, machine):
        if members.setdefault(place, info) is not info:
            raise HumtuneError(f"{content.filename}: refused, it holds {machine}/{place} twice")
    if not any(split_of(place.parts[0]) for place in members):
        raise HumtuneError(
            f"{content.filename}: holds no recordings as {machine}/train/… or {machine}/test/…"
        )
    total = sum(info.file_size for info in members.values())
    if total > (free := shutil.disk_usage(draft).free):
        raise HumtuneError(
            f"{content.filename}: unpacked it takes {decimal(total)}, "
            f"but {decimal(free)} are free in {draft.parent}"
        )
    done = 0
    with byte_progress(f"{Path(content.filename or '').name}: unpacking", total=total) as show:
        for place, info in members.items():
            path = draft / place
            path.parent.mkdir(parents=True, exist_ok=True)
            with naming(path), content.open(info) as stream, path.open("xb") as file:
                shutil.copyfileobj(stream, file, _PIECE)
            show(done := done + info.file_size)


def _members(content: zipfile.ZipFile, machine: str) -> Iterator[tuple[PurePosixPath, zipfile.ZipInfo]]:
    """Place below the machine's folder and member; every member is examined, wanted or not."""
    members = [(_parts(content, info), info) for info in content.infolist()]
    for parts, info in members:
        if machine in parts[:-1] and not info.is_dir():
            place = parts[parts.index(machine) + 1 :]
            hidden = "__MACOSX" in parts or place[-1].startswith(".")
            table = len(place) == 1 and place[0].startswith("attributes_")
            folder = split_of(place[0]) or place[0].lower() == SUPPLEMENTAL
            if not hidden and (table or (folder and len(place) > 1)):
                yield PurePosixPath(*place), info


def _parts(content: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[str, ...]:
    """The folders and the name of a member; HumtuneError where it leads out of its place."""
    path = PurePosixPath(info.filename.replace("\\", "/"))
    kind = stat.S_IFMT(info.external_attr >> 16)
    link = kind not in (0, stat.S_IFREG, stat.S_IFDIR)
    if link or path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", info.filename):
        reason = "is a link" if link else "leads out of its folder"
        raise HumtuneError(f"{content.filename}: refused, its member {info.filename!r} {reason}")
    return path.parts
