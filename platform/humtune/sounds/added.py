"""Recordings that come to a machine's bank later: new healthy ones, and those that a person listened to.

What is there stays as it is, and is for what it was for, unless it is called otherwise now. Whether a
recording is there tell its samples, whatever it is called and wherever it lies.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.drafts import drafted
from humtune.errors import UsageError
from humtune.layout import BANKS
from humtune.sounds.bank import ClipBank, keep_bank
from humtune.sounds.groups import RECORDING, recording_names, split_units
from humtune.sounds.importing import BAD, FOLDER, RECORD, read_record
from humtune.sounds.loose import WINDOW, LeftOut, Loose, Taken, bounds, read_loose, without_twins
from humtune.sounds.pieces import Piece, attribute_value, cut_pieces
from humtune.sounds.sound_file import read_recording
from humtune.sounds.table import ANOMALY, NORMAL, ClipTable, Role, assign_roles
from humtune.storage import Storage

_ADDED, _REVIEWED = "added_", "reviewed_"  # begin the names of clips


class Given(StrEnum):
    """What is known of recordings that come later."""

    UNSURE = "unsure"  # a person can't tell: they are neither healthy nor bad
    NEW = "new"  # healthy, a sample of what there is
    HEALTHY = "healthy"  # a person said so, mostly of those that a model called strange
    BAD = "bad"  # a person said so


@dataclass(frozen=True, eq=False)
class Grown:
    """A bank with further recordings, and what became of each of these."""

    bank: ClipBank  # with the roles of its clips; as it was where nothing is new
    added: Mapping[Given, tuple[Taken, ...]]  # of one that was there in part, the windows that weren't
    known: tuple[str, ...]  # were there already
    relabelled: tuple[str, ...]  # were there with another label: taken out, and added anew unless unsure
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether anything is."""
        return any(self.added.values()) or bool(self.relabelled)

    def recordings(self, given: Given) -> int:
        """How many were added of what is so known."""
        return len(self.added.get(given, ()))

    def seconds(self, given: Given) -> float:
        """How long they are."""
        return sum(taken.seconds for taken in self.added.get(given, ()))


def reviewed(table: ClipTable) -> NDArray[np.bool_]:
    """Which clips [N] came because a person called them healthy.

    They are those that a model called strange, and no sample of what is healthy: no promise is by them.
    """
    return np.char.startswith(table.name, _REVIEWED)


def import_window(data: Path, machine: str) -> float:
    """Seconds of the windows that a machine's recordings in a data set were cut into.

    UsageError where no import made it, or one that didn't keep how.
    """
    place = data / "dev_data" / machine
    if not (place / RECORD).is_file():
        raise UsageError(
            f"{place / RECORD}: isn't there, so nothing says how new recordings are cut; bring it back, or "
            "add them to the data set, and search that"
        )
    record = read_record(place)
    if record.window is not None:
        return record.window
    cut = dict[str, tuple[int, float]]()
    for piece in record.pieces:
        windows, seconds = cut.get(piece.sound, (0, 0.0))
        cut[piece.sound] = windows + piece.windows, seconds + piece.seconds
    if any(len(bounds(round(seconds * SAMPLE_RATE))) != windows for windows, seconds in cut.values()):
        raise UsageError(
            f"{place / RECORD}: doesn't say how long its windows are; delete {place}, and import it again "
            "with the same --window"
        )
    return WINDOW


def grow(
    bank: ClipBank,
    found: Mapping[Given, Sequence[Loose]],
    storage: Storage,
    *,
    held_out: float,
    window: float,
    channel: int | None = None,
    labels: Path | None = None,
) -> Grown:
    """Add recordings to a bank whose clips have roles, cut into windows of so many seconds as it was.

    Of those that are NEW the share `held_out` is held out, whole recordings. Those that are called HEALTHY
    train, and set no limit (`reviewed`); BAD ones choose; UNSURE ones are taken out. What is new of one that
    is there in part is for what that is for. Where there was no healthy clip to hold bad ones against, about
    as many held-out ones become such. UsageError where the bank tells sections or domains apart, which new
    recordings don't tell, nothing healthy can be held against bad, or one sound is called both; what a person
    said stands in the table `labels`.
    """
    cell = _only_cell(bank.table)
    ordered = [(given, loose) for given in Given for loose in found.get(given, ())]
    given_as = {loose.path: given for given, loose in reversed(ordered)}
    clip_of = {_fingerprint(bank.clip(i)): i for i in range(len(bank.table))}
    added: dict[Given, list[Taken]] = {given: [] for given in found}
    known, relabelled, gone = [], [], set[int]()
    longer: list[tuple[int, Taken]] = []  # recordings that were there in part, each with a clip of it
    with drafted(storage.path(BANKS) / "added") as draft:
        read = read_loose([loose for _, loose in ordered], draft, channel=channel, window=window)
        taken, left = without_twins(read, labels=labels)
        for one in taken:
            given = given_as[one.loose.path]
            clips = {piece: clip_of.get(_fingerprint(_samples(piece)), -1) for piece in one.windows}
            there = [clip for clip in clips.values() if clip >= 0]
            if there and (bank.table.label[there] != one.loose.label).any():
                gone.update(there)
                relabelled.append(one.loose.name)
            elif len(there) == len(clips):
                known.append(one.loose.name)
                continue
            elif there:
                one = _part(one, [piece for piece, clip in clips.items() if clip < 0])
                longer.append((there[-1], one))
            if given != Given.UNSURE:
                added[given].append(one)
        grown = Grown(
            bank, {g: tuple(some) for g, some in added.items()}, tuple(known), tuple(relabelled), tuple(left)
        )
        if not grown.is_new:
            return grown
        kept = np.setdiff1d(np.arange(len(bank.table)), list(gone))
        there_already = {one.loose.path for _, one in longer}
        whole = {g: [t for t in some if t.loose.path not in there_already] for g, some in added.items()}
        table, windows = _new_clips(bank.table.take(kept), whole, cell, held_out)
        tables = [bank.table.take(kept), table, *(_more_of(bank.table, clip, one) for clip, one in longer)]
        windows += [piece for _, one in longer for piece in one.windows]
        samples = chain((bank.clip(int(i)) for i in kept), map(_samples, windows))
        bank = keep_bank(samples, _with_tested(ClipTable.concatenate(tables)), storage)
        remarks = dict.fromkeys(remark for one in taken for remark in one.remarks)
        return replace(grown, bank=bank, notes=tuple(remarks))


def _only_cell(table: ClipTable) -> tuple[int, int]:
    """The section and domain that all clips are of."""
    cells = set(zip(table.section.tolist(), table.domain.tolist(), strict=True))
    if len(cells) > 1:
        raise UsageError(
            f"{table.machine}: its recordings tell sections or domains apart, and new ones don't say theirs; "
            "add them to the data set, and search that"
        )
    return next(iter(cells))


def _fingerprint(samples: NDArray[np.int16]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(samples, "<i2").tobytes()).digest()


def _samples(window: Path) -> NDArray[np.int16]:
    return read_recording(window).samples


def _part(one: Taken, windows: Sequence[Path]) -> Taken:
    """A recording as some of its windows."""
    return replace(one, samples=one.samples * len(windows) // len(one.windows), windows=tuple(windows))


def _more_of(table: ClipTable, clip: int, one: Taken) -> ClipTable:
    """Further clips of the recording that a clip of the table is of, for what that is for."""
    before = _REVIEWED if reviewed(table)[clip] else _ADDED
    return table.take(np.repeat(clip, len(one.windows))).with_columns(
        name=list(_names(before, one, one.windows))
    )


def _names(before: str, one: Taken, windows: Sequence[Path]) -> Iterator[str]:
    """What windows of a recording are called as clips, all differently."""
    first = one.windows.index(windows[0])
    for i in range(len(windows)):
        yield f"{before}{one.sound[:16]}_{first + i:03d}.flac"


def _new_clips(
    there: ClipTable, added: Mapping[Given, Sequence[Taken]], cell: tuple[int, int], held_out: float
) -> tuple[ClipTable, list[Path]]:
    """The new clips beside those there, with their roles, and the windows that they are."""
    section, domain = cell
    names = {name.removeprefix(f"{RECORDING}=") for name in recording_names(there.attributes).tolist()}
    folders = any(f"{FOLDER}=" in text for text in there.attributes.tolist())
    columns: dict[str, list[str]] = {name: [] for name in ("name", "attributes", "role")}
    windows: list[Path] = []
    pieces = [(given, piece) for given, some in added.items() for piece in _pieces(given, some)]
    for given, piece in pieces:
        attributes = [f"{RECORDING}={attribute_value(piece.group, names)}"]
        if folders and given != Given.BAD:
            attributes.append(f"{FOLDER}={attribute_value(piece.taken.loose.folder or there.machine, set())}")
        before = _REVIEWED if given == Given.HEALTHY else _ADDED
        columns["name"] += _names(before, piece.taken, piece.windows)
        columns["attributes"] += [",".join(attributes)] * len(piece.windows)
        columns["role"] += [str(Role.SELECT if given == Given.BAD else Role.TRAIN)] * len(piece.windows)
        windows += piece.windows
    bad = np.asarray(columns["role"]) == str(Role.SELECT)
    table = ClipTable.from_columns(
        machine=there.machine,
        part="dev",
        split=np.where(bad, "test", "train").tolist(),
        section=section,
        domain=domain,
        label=np.where(bad, ANOMALY, NORMAL).tolist(),
        **columns,
    )
    drawn = np.flatnonzero(~bad & ~reviewed(table))
    role = table.role.astype(object)
    role[drawn] = assign_roles(table.take(drawn), held_out=held_out).role
    return table.with_columns(role=role.tolist()), windows


def _pieces(given: Given, some: Sequence[Taken]) -> Sequence[Piece]:
    """What is kept together: of many recordings to learn from, as an import does; else each recording."""
    if given == Given.NEW and some:
        return cut_pieces(some, {})
    before = BAD if given == Given.BAD else ""
    return [Piece(one, before + one.loose.name, one.windows) for one in some]


def _with_tested(table: ClipTable) -> ClipTable:
    """The table with healthy clips to hold its bad ones against, where it has none: held-out recordings.

    They are about as many as the bad ones, and half of the held-out ones at most.
    """
    labels = table.label[table.having(Role.SELECT)]
    wanted = int((labels == ANOMALY).sum())
    if not wanted or (labels == NORMAL).any():
        return table
    held_out = table.having(Role.HELD_OUT)
    unit = split_units(recording_names(table.attributes[held_out]))
    sizes = np.bincount(unit)
    if len(sizes) < 2:
        raise UsageError(
            f"{table.machine}: too little healthy sound that trained nothing, to hold bad recordings against "
            "and to set the limit by; give more healthy recordings"
        )
    order = np.random.default_rng(len(unit)).permutation(len(sizes))
    needed = int((np.cumsum(sizes[order]) - sizes[order] < wanted).sum())
    tested = held_out[np.isin(unit, order[: min(needed, len(sizes) // 2)])]
    role, split = table.role.astype(object), table.split.astype(object)
    role[tested], split[tested] = str(Role.SELECT), "test"
    return table.with_columns(role=role.tolist(), split=split.tolist())
