"""Recordings of a folder as they arrive, each when it has been written to its end."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from humtune.errors import HumtuneError, UsageError
from humtune.runtime.outcomes import Failed
from humtune.sounds.clip import is_recording
from humtune.sounds.sound_file import open_sound

EVERY = 0.5  # seconds between two looks
SETTLED = 2.0  # seconds without a change after which a file may be whole
PATIENCE = 30.0  # seconds without a change after which a file that isn't whole is told, and left


@dataclass
class _File:
    """How a file looked, and since when."""

    look: tuple[int, int]  # bytes, time of the last change
    since: float
    told: bool = False


def watch(
    folder: Path, *, every: float = EVERY, settled: float = SETTLED, patience: float = PATIENCE
) -> Iterator[Path | Failed]:
    """What is in a folder, and then what arrives, without end; a file that is written anew comes again.

    A file is whole when it hasn't changed for `settled` seconds and holds what its header promises; one that
    doesn't (less, or more: some write the header last) is waited for until it hasn't changed for `patience`
    seconds. The folder is asked again and again,
    which works on network shares too, where nobody tells of changes. UsageError where it is no folder; one
    that goes away (a share that is lost) is told once and waited for.
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
            if not file.told and quiet >= settled and (quiet >= patience or _is_whole(folder / name)):
                file.told = True
                yield folder / name
        time.sleep(every)


def _look(folder: Path) -> dict[str, tuple[int, int]]:
    looks = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_recording(Path(entry.name)) or entry.is_dir():
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
