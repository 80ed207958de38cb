"""Drafts: what is written under another name first, and has its own when it is whole.

A draft's name tells which process of which computer makes it. Who writes to the same folder next removes
those of processes that were killed, and no other.
"""

import ctypes
import errno
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from humtune.errors import UsageError

PREFIX = ".draft-"
ABANDONED = 7 * 86_400.0  # seconds after which a draft of another computer is nobody's

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)
_IN_THE_WAY = (errno.ENOTEMPTY, errno.EEXIST)


def draft_of(target: Path) -> Path:
    """A new name, beside its place, for what is to become a file or folder."""
    return target.with_name(f"{PREFIX}{_computer()}-{os.getpid()}-{uuid.uuid4().hex}")


def sweep(folder: Path) -> None:
    """Remove the drafts right below a folder that processes left there when they were killed."""
    with suppress(OSError), os.scandir(folder) as entries:
        for left in [Path(e.path) for e in entries if e.name.startswith(PREFIX) and _is_abandoned(e)]:
            discard(left)


def discard(draft: Path) -> None:
    """Remove a draft, file or folder, where it is; a disk that refuses doesn't hide why it was given up."""
    if os.path.isdir(draft):  # noqa: PTH112 - Path.is_dir raises where its parent can't be entered
        shutil.rmtree(draft, ignore_errors=True)
    else:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, making its folder; an OSError names the file, not its draft."""
    draft = draft_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        write_through(draft, data)
        draft.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        discard(draft)


def write_output(path: Path, data: bytes) -> Path:
    """`write_whole` what the user asked for, and return its path; UsageError where it can't be written."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror or error})") from error
    return path


def write_through(path: Path, data: bytes) -> None:
    """Write a file of a draft, all the way to the disk."""
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def drafted(folder: Path) -> Iterator[Path]:
    """A new draft of a folder, gone at the end where it was not brought to its place."""
    sweep(folder.parent)
    draft = draft_of(folder)
    draft.mkdir(parents=True)
    try:
        yield draft
    finally:
        discard(draft)


def replace_folder(draft: Path, folder: Path) -> None:
    """Bring a draft to its place, whatever lies there and whoever else does the same.

    What was there is exchanged with it in one step; where a file system can't, the place is empty a moment.
    """
    for _ in range(100):  # others that fill it in that moment
        try:
            draft.rename(folder)
            return
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                raise
        if _exchange(draft, folder):
            return
        old = draft_of(folder)
        with suppress(FileNotFoundError):
            folder.rename(old)
        discard(old)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(folder))


def _exchange(one: Path, other: Path) -> bool:
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except AttributeError:  # no Linux
        return False
    return bool(renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)


def _computer() -> str:
    """Where process ids mean the same: a computer, or a container, which may share its name with others."""
    with suppress(OSError):  # no Linux
        return re.sub(r"\W", "_", f"{socket.gethostname()}_{Path('/proc/self/ns/pid').stat().st_ino}")
    return re.sub(r"\W", "_", socket.gethostname())


def _is_abandoned(entry: os.DirEntry[str]) -> bool:
    """Whether a draft's process is dead; of another computer's, whether it was left long ago."""
    computer, _, rest = entry.name.removeprefix(PREFIX).partition("-")
    pid = rest.partition("-")[0]
    if computer == _computer() and pid.isdecimal():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except OSError:  # somebody else's
            return False
        return False
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED
