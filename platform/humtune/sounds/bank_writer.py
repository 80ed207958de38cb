"""Stream one machine's recordings into the files of a bank."""

import hashlib
import io
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from humtune.drafts import write_through
from humtune.errors import UsageError, naming
from humtune.names import command
from humtune.sounds.audio import Recording, read_recording
from humtune.sounds.clip import Clip
from humtune.sounds.parallel import map_in_order
from humtune.sounds.roles import assign_roles
from humtune.sounds.survey import count, few
from humtune.sounds.table import ClipTable

FILES = ("samples.npy", "offsets.npy", "clips.json")

logger = logging.getLogger(__name__)


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
        told = f"{count(len(silent), 'clip')} silent from end to end: {few(silent)}"
        logger.warning("%s: %s", machine, told)
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
        machine=machine, name=[clip.path.name for clip in clips], role=[""] * len(clips), **columns
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
        f"{len(failures)} of {clips} clips of {machine} can't be used: {few(failures, between='; ')}; "
        f"run {command('data check', data, channel=channel)}"
    )
