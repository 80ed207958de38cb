"""Pseudo-Ω: how well anomaly scores tell probes from normal clips, where there are no anomalies to tell."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from humtune.evaluation.cells import Array, Cell, Cells
from humtune.evaluation.metrics import evaluate, pool
from humtune.sounds.probes import ProbeKind
from humtune.sounds.table import ANOMALY, NORMAL, UNKNOWN, ClipTable, Role


class PseudoCells:
    """What pseudo-Ω averages over: held-out clips and probes of one machine, by kind and section.

    Domains are not told apart: of a target domain's ten clips a single one is held out.
    """

    def __init__(self, table: ClipTable) -> None:
        """Cells of the probes there are; indices count the whole table's clips."""
        self.kinds = {kind: cells for kind in ProbeKind if (cells := _cells(table, kind)).cells}

    def omega(self, scores: ArrayLike) -> Array:
        """Pseudo-Ω of scores [..., N]: the harmonic mean of AUC and pAUC over kinds and sections."""
        return pool(evaluate(scores, cells) for cells in self.kinds.values()).omega_official


def _cells(table: ClipTable, kind: ProbeKind) -> Cells:
    probes = (table.role == str(Role.PROBE)) & (table.part == str(kind))
    sections = kind == ProbeKind.SECTION  # its normals are told their section as its anomalies are
    normal = probes & (table.label == NORMAL) if sections else table.role == str(Role.HELD_OUT)
    cells = _per_section(table, normal, probes & (table.label == ANOMALY))
    return Cells(table.machine, table.name, tuple(cells))


def _per_section(table: ClipTable, normal: Array, anomaly: Array) -> Iterator[Cell]:
    for section in np.unique(table.section[anomaly]):
        here = table.section == section
        if (here & normal).any():
            yield Cell(int(section), UNKNOWN, np.flatnonzero(here & normal), np.flatnonzero(here & anomaly))
