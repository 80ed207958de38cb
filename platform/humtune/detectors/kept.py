"""Rows that are costly to make of clips, kept beside their bank for all trials of a computer."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from humtune.drafts import write_whole
from humtune.sounds.bank import ClipBank

Rows = NDArray[np.float32]


def kept_rows(
    bank: ClipBank, name: str, clips: NDArray[np.intp], make: Callable[[NDArray[np.intp]], Rows]
) -> Rows:
    """What `make` gives of the clips [n], a row each: float32 [n, …].

    The rows of all clips of an opened bank are made by the first trial that wants any, while others wait, and
    read by them. `name` stands for all that they depend on but the clips. A file that is damaged is made
    again, one that can't be written done without.
    """
    if bank.place is None:
        return make(clips)
    path = bank.place / f"{name}.npy"
    if (found := _read(path, len(bank.table))) is None:
        with _alone(path):
            if (found := _read(path, len(bank.table))) is None:
                found = make(np.arange(len(bank.table)))
                packed = io.BytesIO()
                np.save(packed, found, allow_pickle=False)
                with suppress(OSError):
                    write_whole(path, packed.getvalue())
    return np.array(found[clips])


def is_kept(bank: ClipBank, name: str) -> bool:
    """Whether the rows of a name lie beside the bank."""
    return bank.place is not None and _read(bank.place / f"{name}.npy", len(bank.table)) is not None


def _read(path: Path, clips: int) -> Rows | None:
    """The rows of a file, mapped into memory; None where there is none, or not of so many clips."""
    with suppress(OSError, ValueError, EOFError):
        found: Rows = np.load(path, mmap_mode="r", allow_pickle=False)
        if found.ndim and len(found) == clips:
            return found
    return None


def _alone(path: Path) -> AbstractContextManager[Any]:
    """What keeps others from making the same file; nothing where the folder can't be written."""
    try:
        return FileLock(f"{path}.lock").acquire()
    except (OSError, NotImplementedError):  # the latter: a file system without locks
        return nullcontext()
