"""The recordings of several machines as one bank, for what is fitted to all of them together."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from humtune.config import SHARED
from humtune.sounds.bank import ClipBank, Samples
from humtune.sounds.table import ClipTable


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
    lengths = np.concatenate([bank.lengths for bank in banks])
    return ClipBank(
        table,
        JoinedSamples(bank.samples for bank in banks),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        hashlib.sha256(" ".join(bank.hash for bank in banks).encode()).hexdigest(),
    )
