"""ClipBank: one machine's samples and labels, memory-mapped.

<storage>/banks/<hash>/samples.npy   int16 [all samples], clip after clip
<storage>/banks/<hash>/offsets.npy   int64 [N + 1], where each clip begins
<storage>/banks/<hash>/clips.json    the ClipTable
<storage>/banks/sources/<print>      the hash of the bank that these recordings gave last time
"""

import hashlib
import io
import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.drafts import drafted, write_through
from humtune.errors import HumtuneError, UsageError, naming
from humtune.layout import BANKS
from humtune.names import command, count
from humtune.sounds.clip import Clip
from humtune.sounds.dcase import DataSet, find_dataset
from humtune.sounds.parallel import map_in_order
from humtune.sounds.sound_file import Recording, read_recording
from humtune.sounds.survey import few, survey
from humtune.sounds.table import ClipTable, assign_roles
from humtune.storage import Storage

READER = 2  # counts changes to how files become samples and columns: an older source print is not trusted

logger = logging.getLogger(__name__)

FILES = ("samples.npy", "offsets.npy", "clips.json")


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
    place: Path | None = None  # the folder of this computer that it was opened from

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
        return cls(table, samples, np.asarray(offsets), local.name, local)


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
    what lies beside the data set is named in a warning.
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


def write_bank(
    clips: Sequence[Clip], machine: str, draft: Path, *, data: Path, channel: int | None = None
) -> str:
    """Write samples.npy, offsets.npy and clips.json into a folder; the hash of all they hold.

    Only a few clips are in memory at a time. Roles are those of `assign_roles` with its defaults, and are no
    part of the hash. UsageError where a recording can't be read, or one to train with is silent from end to
    end, which names the folder `data` that the clips are of. Of several channels `channel` is read, counted
    from 1; None: all are mixed down.
    """
    table = clip_table(machine, clips)
    changes: Counter[str] = Counter()
    failures: list[str] = []
    oddities: Counter[str] = Counter()
    silent: list[str] = []  # test clips

    def readable() -> Iterator[NDArray[np.int16]]:
        results = map_in_order(partial(_read, channel=channel), clips, title=f"{machine}: reading")
        for clip, result in zip(clips, results, strict=True):
            if isinstance(result, UsageError):
                failures.append(str(result))
                continue
            if result.silent and clip.split == "train":
                failures.append(f"{clip.path}: {result.silent}")
            if failures:
                continue
            changes.update(result.changes)
            if result.silent:
                silent.append(clip.path.name)
            else:
                oddities.update(result.oddities)
            yield result.samples

    content = write_clips(readable(), table, draft)
    if failures:
        raise _unusable(machine, failures, len(clips), data, channel)
    for change, times in changes.items():
        logger.warning("%s: %s %s", machine, count(times, "clip"), change)
    for oddity, times in oddities.items():
        logger.warning("%s: %s: %s", machine, count(times, "clip"), oddity)
    if silent:
        remark = f"{count(len(silent), 'clip')} silent from end to end: {few(silent)}"
        logger.warning("%s: %s", machine, remark)
    write_through(draft / FILES[2], assign_roles(table).to_json())
    return content


def write_clips(clips: Iterable[NDArray[np.int16]], table: ClipTable, draft: Path) -> str:
    """Write a bank's files, a clip at a time, into a folder; the hash of all they hold."""
    digest = hashlib.sha256(table.to_json())
    lengths: list[int] = []
    with naming(draft / FILES[0]), (draft / FILES[0]).open("wb") as stream:
        _write_header(stream, 0)
        for samples in clips:
            data = samples.astype("<i2", copy=False).tobytes()
            stream.write(data)
            digest.update(data)
            lengths.append(len(samples))
        stream.seek(0)
        _write_header(stream, sum(lengths))
        stream.flush()
        os.fsync(stream.fileno())
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    digest.update(offsets.tobytes())
    packed = io.BytesIO()
    np.save(packed, offsets, allow_pickle=False)
    with naming(draft):
        write_through(draft / FILES[1], packed.getvalue())
        write_through(draft / FILES[2], table.to_json())
    return digest.hexdigest()[:32]


def clip_table(machine: str, clips: Sequence[Clip]) -> ClipTable:
    """The columns of a list of clips, roles left empty."""
    names = ("part", "split", "section", "domain", "label", "attributes")
    columns = {name: [getattr(clip, name) for clip in clips] for name in names}
    return ClipTable.from_columns(
        machine=machine, name=[clip.path.name for clip in clips], role="", **columns
    )


def _read(clip: Clip, *, channel: int | None) -> Recording | UsageError:
    try:
        return read_recording(clip.path, channel=channel)
    except UsageError as error:
        return error


def _write_header(stream: BinaryIO, length: int) -> None:
    """A .npy header; its padding leaves room for any length, so that it can be written again at the end."""
    header = {"descr": "<i2", "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(stream, header)


def _unusable(machine: str, failures: list[str], clips: int, data: Path, channel: int | None) -> UsageError:
    return UsageError(
        f"{len(failures)} of {count(clips, 'clip')} of {machine} can't be used: "
        f"{few(failures, between='; ')}; run {command('data check', data, channel=channel)}"
    )
