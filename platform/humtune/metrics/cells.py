"""Cells: a machine's labelled clips by section, domain and label, the structure that Ω averages over."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.errors import HumtuneError, UsageError
from humtune.sounds.groups import recording_names
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN, ClipTable, Role

Array = NDArray[np.float64]

_DOMAINS = {SOURCE: "source", TARGET: "target"}


@dataclass(frozen=True, eq=False)
class Cell:
    """The labelled clips of one section and domain, as indices into a score vector."""

    section: int
    domain: int  # SOURCE, TARGET, or UNKNOWN where the data set names no domains
    normal: NDArray[np.intp]
    anomaly: NDArray[np.intp]

    @property
    def name(self) -> str:
        """What a message calls it: "section 01 target"."""
        return f"section {self.section:02d} {_DOMAINS.get(self.domain, '')}".rstrip()


@dataclass(frozen=True, eq=False)
class Cells:
    """What Ω averages over: one machine's labelled clips, section by section and domain by domain."""

    machine: str
    names: NDArray[np.str_]  # of the N clips that score vectors are aligned to
    recordings: NDArray[np.str_]  # that they were cut from; empty where their attributes don't say
    cells: tuple[Cell, ...]  # in the order of section and domain

    @classmethod
    def of(cls, table: ClipTable, *roles: Role) -> "Cells":
        """Cells of the table's labelled clips (of those with one of the roles, where roles are given).

        Indices count the whole table's clips, so a ledger's score vectors fit as they are. Every section must
        have normals and anomalies in each of the machine's domains; a UsageError names the cell that has not.
        """
        used = table.label != UNKNOWN
        if roles:
            used &= np.isin(table.role, [str(r) for r in roles])
        if not used.any():
            raise UsageError(f"{table.machine} has no labelled test clips; Ω needs normals and anomalies")
        cells = []
        domains = np.unique(table.domain[used])
        for section in np.unique(table.section[used]):
            here = used & (table.section == section)
            for domain in domains:
                normal, anomaly = (
                    np.flatnonzero(here & (table.domain == domain) & (table.label == label))
                    for label in (NORMAL, ANOMALY)
                )
                cells.append(Cell(int(section), int(domain), normal, anomaly))
        found = cls(table.machine, table.name, recording_names(table.attributes), tuple(cells))
        found._check()
        return found

    def _check(self) -> None:
        if len({c.domain for c in self.cells}) > 1:
            for cell in self.cells:
                if cell.domain == UNKNOWN and len(cell.normal) + len(cell.anomaly):
                    clip = self.names[np.concatenate([cell.normal, cell.anomaly])[0]]
                    raise UsageError(f"{self.machine}: {clip} names no domain, while other clips do")
        for cell in self.cells:
            for kind, clips in (("normal", cell.normal), ("anomalous", cell.anomaly)):
                if len(clips) == 0:
                    raise UsageError(f"{self.machine} {cell.name} has no {kind} clips; Ω needs both")

    def sections(self) -> Iterator[tuple[int, list[Cell]]]:
        """Every section's number and cells, in order."""
        for section, cells in groupby(self.cells, key=lambda c: c.section):
            yield section, list(cells)

    def check_scores(self, scores: ArrayLike) -> Array:
        """Scores as float64 [..., N]; a HumtuneError names the first labelled clip without a finite one."""
        scores = np.asarray(scores, np.float64)
        if scores.shape[-1] != len(self.names):
            raise HumtuneError(f"{self.machine}: {scores.shape[-1]} scores for {len(self.names)} clips")
        clips = np.sort(np.concatenate([i for c in self.cells for i in (c.normal, c.anomaly)]))
        bad = ~np.isfinite(scores[..., clips])
        if bad.any():
            where = np.argwhere(bad)[0]
            clip = clips[where[-1]]
            value = scores[(*where[:-1], clip)]
            raise HumtuneError(
                f"{self.machine}: the score of {self.names[clip]} is {value}, not a finite number"
            )
        return scores


def labelled(table: ClipTable, role: Role = Role.SELECT) -> bool:
    """Whether any clip of a role has its label; without a role, whether there are clips to select by."""
    return bool(np.any(table.label[table.having(role)] != UNKNOWN))
