"""Fetch the recordings of DCASE Task 2 from Zenodo.

<folder>/zips/<archive>[.part]   while they are transferred
<folder>/dev_data/<machine>      unpacked
<folder>/eval_data/<machine>
"""

import errno
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests
from filelock import FileLock, Timeout
from rich.filesize import decimal

from humtune.errors import HumtuneError, UsageError
from humtune.names import count
from humtune.sounds.clip import is_recording
from humtune.sounds.dcase import split_of
from humtune.sounds.download.transfer import download, part_of
from humtune.sounds.download.unpack import is_unpacked, settle, unpack
from humtune.sounds.download.zenodo import SITE, Archive, Edition, edition, open_session, read_record
from humtune.sounds.folders import readable, subfolders

_ROOM = 2  # bytes on disk for each byte of an archive: the zip, and what is in it
_LOCK = ".fetching.lock"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """What a call of `fetch` brought, and what was there before."""

    new: tuple[Archive, ...]
    there: tuple[Archive, ...]
    truth: str  # how to get the truth about the evaluation clips; empty where none were asked for


def fetch(
    folder: Path,
    *,
    year: int = 2022,
    machines: Sequence[str] | None = None,
    evaluation: bool = True,
    keep_zips: bool = False,
    site: str | None = None,
) -> Fetched:
    """Fetch a year's recordings into a folder: chosen machines (or all), with or without eval_data.

    What is there already is not fetched again, and a broken transfer goes on where it broke off. The site is
    Zenodo, or what HUMTUNE_ZENODO names. UsageError for an unknown year or machine; HumtuneError where the
    disk has too little room, the site does not answer, or an archive is not what its record says.
    """
    wanted = edition(year)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: a file; expected a folder to fetch the recordings into")
    with open_session() as session:
        site = site or os.environ.get("HUMTUNE_ZENODO", SITE)
        archives = _choose(session, wanted, machines, evaluation=evaluation, site=site.rstrip("/"))
        missing = tuple(archive for archive in archives if not _is_there(archive, folder))
        if missing or any(is_unpacked(folder / archive.root, archive.name) for archive in archives):
            with _alone(folder):
                for archive in archives:
                    zipped = folder / "zips" / archive.name
                    settle(folder / archive.root, archive.machine, zipped, keep=keep_zips)
                missing = tuple(archive for archive in missing if not _is_there(archive, folder))
                if missing:
                    _bring(session, missing, folder, keep_zips=keep_zips)
        elif (folder / _LOCK).exists():  # left by a process that was killed, or one fetches other machines
            with suppress(HumtuneError), _alone(folder):
                pass
    there = tuple(archive for archive in archives if archive not in missing)
    return Fetched(missing, there, wanted.truth.format(folder=folder) if evaluation else "")


def _choose(
    session: requests.Session,
    wanted: Edition,
    machines: Sequence[str] | None,
    *,
    evaluation: bool,
    site: str,
) -> list[Archive]:
    """The archives to have, machine by machine; from 2023 on, dev and eval have different machines."""
    records = wanted.records(evaluation=evaluation)
    found = {kind: read_record(session, record, kind, site=site) for kind, record in records.items()}
    known = sorted({machine for archives in found.values() for machine in archives})
    for machine in machines or ():
        if machine not in known:
            parts = "dev_data and eval_data" if evaluation else "dev_data"
            raise UsageError(
                f"no machine {machine!r} in {parts} of DCASE {wanted.year}; there are: {', '.join(known)}"
            )
        for kind, archives in found.items():
            if machine not in archives:
                logger.warning("%s: record %d has no %s archive of it", machine, records[kind], kind)
    chosen = dict.fromkeys(machines or known)
    return [archives[m] for m in chosen for archives in found.values() if m in archives]


def _is_there(archive: Archive, folder: Path) -> bool:
    """Whether recordings of its splits lie where it would be unpacked."""
    place = folder / archive.root / archive.machine
    filled = (path for path in subfolders(place) if any(map(is_recording, readable(path))))
    splits = {split_of(path.name) for path in filled}
    return splits >= ({"train", "test"} if archive.kind == "dev" else {archive.kind})


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time fetches into a folder, HumtuneError for another; an empty zips/ goes at the end.

    The lock lies beside what may go: a folder that is removed while another process opens its lock in it
    would fail that one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / _LOCK
    try:
        with FileLock(lock, timeout=0):
            try:
                yield
            finally:
                with suppress(OSError):  # holds archives, or isn't there
                    (folder / "zips").rmdir()
                lock.unlink(missing_ok=True)
    except Timeout as error:
        raise HumtuneError(f"{folder}: another humtune data fetch is at work there; wait for it") from error


def _bring(session: requests.Session, archives: Sequence[Archive], folder: Path, *, keep_zips: bool) -> None:
    zips = folder / "zips"
    zips.mkdir(exist_ok=True)
    _ask_for_room(archives, zips)
    try:
        for archive in archives:
            path = download(archive, zips, session)
            unpack(path, folder / archive.root, archive.machine, keep=keep_zips)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise HumtuneError(
            f"{folder}: the disk is full; make room, the same command goes on where it was"
        ) from error


def _ask_for_room(archives: Sequence[Archive], zips: Path) -> None:
    """HumtuneError where the archives and what is in them would not fit on the disk."""
    needed = sum(_ROOM * archive.size - _bytes_here(archive, zips) for archive in archives)
    free = shutil.disk_usage(zips).free
    if needed > free:
        raise HumtuneError(
            f"{zips.parent}: fetching {count(len(archives), 'archive')} takes about {decimal(needed)}, "
            f"but {decimal(free)} are free; choose fewer --machines, --no-eval or another folder"
        )


def _bytes_here(archive: Archive, zips: Path) -> int:
    here = (path.stat().st_size for path in (zips / archive.name, part_of(archive, zips)) if path.exists())
    return min(archive.size, sum(here))
