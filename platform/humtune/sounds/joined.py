"""The recordings of several machines as one bank, for what is fitted to more than one machine's."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from humtune.config import SHARED
from humtune.sounds.bank import ClipBank, Samples
from humtune.sounds.table import ClipTable, Role


@dataclass(frozen=True, eq=False)
class JoinedTable(ClipTable):
    """Label columns of several machines' clips; a section is one of its machine."""

    machines: NDArray[np.str_]  # of each clip


class JoinedSamples:
    """The samples of several banks, one bank after the other: looked up where they lie, never copied."""

    def __init__(self, parts: Iterable[Samples]) -> None:
        self.parts = tuple(parts)
        self.ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, clip: slice) -> NDArray[np.int16]:
        """The samples of a clip, which lies in one bank as a whole: a view."""
        part = int(np.searchsorted(self.ends, clip.start, side="right"))
        before = int(self.ends[part - 1]) if part else 0
        return self.parts[part][clip.start - before : clip.stop - before]


def join_banks(banks: Iterable[ClipBank]) -> ClipBank:
    """One bank of several machines' clips with their roles, whatever the order in which they are given."""
    banks = sorted(banks, key=lambda bank: bank.table.machine)
    tables = [bank.table for bank in banks]
    columns = [f.name for f in fields(ClipTable) if f.name != "machine"]
    table = JoinedTable(
        machine=SHARED,
        machines=np.repeat([t.machine for t in tables], [len(t) for t in tables]),
        **{name: np.concatenate([getattr(t, name) for t in tables]) for name in columns},
    )
    return _joined(table, banks, [bank.hash for bank in banks])


def expose(bank: ClipBank, others: Iterable[ClipBank], *, without: Collection[str] = ()) -> ClipBank:
    """A machine's bank and, behind its clips, those of other machines, whose training clips are NEGATIVE.

    The others' other clips have no role: they are there only as their samples are. Nor have those named in
    `without`, as <machine>/<file>: a detector may be judged by what it makes of them.
    """
    others = sorted(others, key=lambda other: other.table.machine)
    tables = [bank.table, *(_negatives(other.table, without) for other in others)]
    hashes = [bank.hash, "against", *(other.hash for other in others)]
    return _joined(ClipTable.concatenate(tables), [bank, *others], hashes)


def append_bank(bank: ClipBank, more: ClipBank) -> ClipBank:
    """A machine's bank and, behind its clips, more of that machine's, all with their roles."""
    table = ClipTable.concatenate([bank.table, more.table])
    return _joined(table, [bank, more], [bank.hash, "and", more.hash])


def _negatives(table: ClipTable, without: Collection[str]) -> ClipTable:
    kept = [f"{table.machine}/{name}" not in without for name in table.name]
    negative = (table.role == str(Role.TRAIN)) & np.asarray(kept, dtype=bool)
    return replace(table, role=np.where(negative, str(Role.NEGATIVE), ""))


def _joined(table: ClipTable, banks: Sequence[ClipBank], hashes: Iterable[str]) -> ClipBank:
    lengths = np.concatenate([bank.lengths for bank in banks])
    return ClipBank(
        table,
        JoinedSamples(bank.samples for bank in banks),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        hashlib.sha256(" ".join(hashes).encode()).hexdigest(),
    )
