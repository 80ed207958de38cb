"""ClipBank: one machine's samples and labels, memory-mapped.

<storage>/banks/<hash>/samples.npy   int16 [all samples], clip after clip
<storage>/banks/<hash>/offsets.npy   int64 [N + 1], where each clip begins
<storage>/banks/<hash>/clips.json    the ClipTable
<storage>/banks/sources/<print>      the hash of the bank that these recordings gave last time
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.drafts import drafted
from humtune.errors import HumtuneError
from humtune.layout import BANKS
from humtune.sounds.bank_writer import FILES, write_bank, write_clips
from humtune.sounds.clip import Clip
from humtune.sounds.dcase import DataSet, find_dataset
from humtune.sounds.survey import survey
from humtune.sounds.table import ClipTable
from humtune.storage import Storage

READER = 2  # counts changes to how files become samples and columns: an older source print is not trusted

logger = logging.getLogger(__name__)


class Samples(Protocol):
    """The samples of all clips, one clip after the other: an array, or what looks like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, clip: slice, /) -> NDArray[np.int16]: ...


@dataclass(frozen=True, eq=False)
class ClipBank:
    """The clips of one machine, or of several joined: the samples of them all, and what is known of each."""

    table: ClipTable  # N clips
    samples: Samples  # int16 [all samples], memory-mapped
    offsets: NDArray[np.int64]  # [N + 1]
    hash: str  # of samples, offsets and table

    @property
    def folder(self) -> str:
        """Where it lies, relative to the storage."""
        return bank_folder(self.hash)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Samples in each clip, int64 [N]."""
        return np.diff(self.offsets)

    def clip(self, i: int) -> NDArray[np.int16]:
        """The samples of clip i, int16 [samples]: a view, not a copy."""
        return self.samples[self.offsets[i] : self.offsets[i + 1]]

    @classmethod
    def open(cls, storage: Storage, folder: str, *, cache: Path | None = None) -> Self:
        """Map a bank into memory; from a distant storage it is fetched once per computer, into `cache`."""
        local = storage.path(folder) if storage.is_local else _fetched(storage, folder, cache or bank_cache())
        try:
            samples, offsets = (
                np.load(local / name, mmap_mode="r", allow_pickle=False) for name in FILES[:2]
            )
            table = ClipTable.from_json((local / FILES[2]).read_bytes())
        except (OSError, ValueError) as error:
            raise HumtuneError(f"{local}: can't open this bank of clips ({error}); delete it") from error
        if len(table) + 1 != len(offsets) or offsets[-1] != len(samples):
            raise HumtuneError(f"{local}: this bank of clips is torn; delete it")
        return cls(table, samples, np.asarray(offsets), local.name)


def load_banks(
    data: Path,
    storage: Storage,
    machines: Sequence[str] | None = None,
    *,
    channel: int | None = None,
    cache: Path | None = None,
) -> dict[str, ClipBank]:
    """The bank of every machine (or of those asked for) in a data set's folder.

    Recordings are read once; as long as their names, sizes and times stay the same, the bank in the storage
    is opened without a look at them. Of several channels `channel` is read, counted from 1; None: all are
    mixed down. UsageError for an unknown machine, or a recording that can't be read or would be left out;
    what lies beside the data set is told in a warning.
    """
    dataset = find_dataset(data)
    found = survey(dataset, machines)
    found.refuse(tuple(found.clips) if machines else None)
    for note in found.notes:
        if not machines or note.machine is None or note.machine in found.clips:
            logger.warning("%s", note)
    return {
        machine: _load(dataset, machine, clips, storage, channel, cache)
        for machine, clips in found.clips.items()
    }


def keep_bank(
    clips: Iterable[NDArray[np.int16]], table: ClipTable, storage: Storage, *, cache: Path | None = None
) -> ClipBank:
    """Bring clips that are no files (samples int16, in the table's order) into a bank of the storage."""
    content = _store(storage, cache or bank_cache(), partial(write_clips, clips, table))
    return ClipBank.open(storage, bank_folder(content), cache=cache)


def bank_folder(content_hash: str) -> str:
    """A bank's folder, relative to the storage."""
    return f"{BANKS}/{content_hash}"


def bank_cache() -> Path:
    """Where this computer keeps banks that it fetched from a distant storage, a folder per user."""
    return Path(tempfile.gettempdir()) / f"humtune-{os.getuid()}" / "banks"


def _fetched(storage: Storage, folder: str, cache: Path) -> Path:
    """The local copy of a distant bank; of many processes one fetches it and the others wait."""
    target = cache / Path(folder).name
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            storage.fetch_folder(folder, target)
    return target


def _load(
    dataset: DataSet,
    machine: str,
    clips: Sequence[Clip],
    storage: Storage,
    channel: int | None,
    cache: Path | None,
) -> ClipBank:
    source = f"{BANKS}/sources/{_source_print(dataset, machine, channel)}"
    content = storage.read(source).decode() if storage.exists(source) else ""
    if not content or not storage.exists(bank_folder(content)):
        write = partial(write_bank, clips, machine, data=dataset.path, channel=channel)
        content = _store(storage, cache or bank_cache(), write)
        storage.write(source, content.encode())
    return ClipBank.open(storage, bank_folder(content), cache=cache)


def _store(storage: Storage, cache: Path, write: Callable[[Path], str]) -> str:
    """Bring a bank that `write` makes in a draft folder into the storage; its content hash."""
    place = storage.path(BANKS) if storage.is_local else cache
    with drafted(place / "bank") as draft:
        content = write(draft)
        storage.put_folder(bank_folder(content), draft)
        if not storage.is_local and not (cache / content).exists():
            draft.rename(cache / content)
    return content


def _source_print(dataset: DataSet, machine: str, channel: int | None) -> str:
    """Stands for a machine's files as they lie there and are read: paths, sizes, times of change, channel."""
    files = [path for folder in dataset.folders if folder.machine == machine for path in folder.recordings]
    looks = [_look(path) for path in files + dataset.tables(machine)]
    listing = [READER, SAMPLE_RATE, channel, machine, looks]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:32]


def _look(path: Path) -> tuple[str, int, int]:
    """A file's name, size and time of change; of a link to nowhere, which its reader tells of, no size."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return str(path), -1, -1
    return str(path.resolve()), status.st_size, status.st_mtime_ns
