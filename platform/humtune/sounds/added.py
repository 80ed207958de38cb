"""Recordings that come to a machine's bank later: new healthy ones, and those that a person listened to.

What is there stays as it is, and is for what it was for. Whether a recording is there tell its samples,
whatever it is called and wherever it lies.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humtune.drafts import drafted
from humtune.errors import UsageError
from humtune.layout import BANKS
from humtune.sounds.bank import ClipBank, keep_bank
from humtune.sounds.groups import RECORDING, recording_names, split_units
from humtune.sounds.importing import BAD, FOLDER
from humtune.sounds.loose import LeftOut, Loose, Taken, read_loose, without_twins
from humtune.sounds.pieces import Piece, attribute_value, cut_pieces
from humtune.sounds.sound_file import read_recording
from humtune.sounds.table import ANOMALY, NORMAL, ClipTable, Role, assign_roles
from humtune.storage import Storage


@dataclass(frozen=True, eq=False)
class Grown:
    """A bank with further recordings, and what became of each of these."""

    bank: ClipBank  # with the roles of its clips; as it was where nothing is new
    added: Mapping[Role, tuple[Taken, ...]]  # by what they were given for
    known: tuple[str, ...]  # were there already
    relabelled: tuple[str, ...]  # were there with another label: taken out, and added anew
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether anything is."""
        return any(self.added.values())

    def recordings(self, *roles: Role) -> int:
        """How many were added for some purposes."""
        return sum(len(self.added.get(role, ())) for role in roles)

    def seconds(self, *roles: Role) -> float:
        """How long they are."""
        return sum(taken.seconds for role in roles for taken in self.added.get(role, ()))


def grow(
    bank: ClipBank,
    found: Mapping[Role, Sequence[Loose]],
    storage: Storage,
    *,
    held_out: float,
    channel: int | None = None,
) -> Grown:
    """Add recordings to a bank whose clips have roles, cut into windows as an import does.

    Those given for TRAIN are healthy: the share `held_out` of them is held out, whole recordings. Those for
    HELD_OUT are healthy, and all held out; those for SELECT are bad, and choose. Where there was no healthy
    clip to hold bad ones against, about as many held-out ones become such. UsageError where the bank tells
    sections or domains apart, which new recordings don't tell, or nothing healthy can be held against bad.
    """
    _only_cell(bank.table)
    roles = {loose.path: role for role, some in found.items() for loose in some}
    clip_of = {_print(bank.clip(i)): i for i in range(len(bank.table))}
    added: dict[Role, list[Taken]] = {role: [] for role in found}
    known, relabelled, gone = [], [], set[int]()
    with drafted(storage.path(BANKS) / "added") as draft:
        everything = list(chain.from_iterable(found.values()))
        taken, left = without_twins(read_loose(everything, draft, channel=channel))
        for one in taken:
            clips = [clip_of.get(_print(_samples(window)), -1) for window in one.windows]
            if min(clips) < 0:
                added[roles[one.loose.path]].append(one)
            elif (bank.table.label[clips] == one.loose.label).all():
                known.append(one.loose.name)
            else:
                gone.update(clips)
                relabelled.append(one.loose.name)
                added[roles[one.loose.path]].append(one)
        grown = Grown(
            bank, {r: tuple(some) for r, some in added.items()}, tuple(known), tuple(relabelled), tuple(left)
        )
        if not grown.is_new:
            return grown
        kept = np.setdiff1d(np.arange(len(bank.table)), list(gone))
        there = bank.table.take(kept)
        table, windows = _new_clips(there, added, held_out)
        samples = chain((bank.clip(int(i)) for i in kept), map(_samples, windows))
        bank = keep_bank(samples, _with_tested(ClipTable.concatenate([there, table])), storage)
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


def _print(samples: NDArray[np.int16]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(samples, "<i2").tobytes()).digest()


def _samples(window: Path) -> NDArray[np.int16]:
    return read_recording(window).samples


def _new_clips(
    there: ClipTable, added: Mapping[Role, Sequence[Taken]], held_out: float
) -> tuple[ClipTable, list[Path]]:
    """The new clips beside those there, with their roles, and the windows that they are."""
    section, domain = _only_cell(there)
    names = {name.removeprefix(f"{RECORDING}=") for name in recording_names(there.attributes).tolist()}
    folders = any(f"{FOLDER}=" in text for text in there.attributes.tolist())
    columns: dict[str, list[str]] = {name: [] for name in ("name", "attributes", "role")}
    windows: list[Path] = []
    pieces = [(role, piece) for role, some in added.items() for piece in _pieces(role, some)]
    for role, piece in pieces:
        attributes = [f"{RECORDING}={attribute_value(piece.group, names)}"]
        if folders and role != Role.SELECT:
            attributes.append(f"{FOLDER}={attribute_value(piece.taken.loose.folder or there.machine, set())}")
        first = piece.taken.windows.index(piece.windows[0])
        columns["name"] += [
            f"added_{piece.taken.sound[:16]}_{first + i:03d}.flac" for i in range(len(piece.windows))
        ]
        columns["attributes"] += [",".join(attributes)] * len(piece.windows)
        columns["role"] += [str(role)] * len(piece.windows)
        windows += piece.windows
    bad = np.asarray(columns["role"]) == str(Role.SELECT)
    table = ClipTable.from_columns(
        machine=there.machine,
        part=["dev"] * len(windows),
        split=np.where(bad, "test", "train").tolist(),
        section=[section] * len(windows),
        domain=[domain] * len(windows),
        label=np.where(bad, ANOMALY, NORMAL).tolist(),
        **columns,
    )
    drawn = iter(assign_roles(table.take(table.having(Role.TRAIN)), held_out=held_out).role.tolist())
    return table.with_columns(role=[next(drawn) if r == Role.TRAIN else r for r in columns["role"]]), windows


def _pieces(role: Role, some: Sequence[Taken]) -> Sequence[Piece]:
    """What is kept together: of many recordings to learn from, as an import does; else each recording."""
    if role == Role.TRAIN and some:
        return cut_pieces(some, {})
    before = BAD if role == Role.SELECT else ""
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
