"""Precision, recall and F1 of decisions, as the challenge's evaluator counts them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from humtune.evaluation.cells import Cells
from humtune.evaluation.metrics import EPSILON, harmonic_mean


@dataclass(frozen=True)
class DecisionFigures:
    """How well decisions find anomalies, fractions 0…1."""

    precision: float  # of the clips called anomalous, the share that is
    recall: float  # of the anomalies, the share called so
    f1: float

    @classmethod
    def count(cls, normal: ArrayLike, anomaly: ArrayLike) -> Self:
        """Figures of decisions (1: anomalous) on normal clips [N] and on anomalies [P]; 0 where 0 / 0."""
        false, true, clips = np.sum(normal), np.sum(anomaly), np.size(anomaly)
        precision = float(true / max(true + false, EPSILON))
        recall = float(true / max(clips, EPSILON))
        return cls(precision, recall, 2 * precision * recall / max(precision + recall, EPSILON))

    @classmethod
    def mean(cls, figures: Iterable[Self]) -> Self:
        """Harmonic means of each, zeros floored, as Ω averages."""
        columns = zip(*((f.precision, f.recall, f.f1) for f in figures), strict=True)
        return cls(*(float(harmonic_mean(column)) for column in columns))


@dataclass(frozen=True)
class CellDecisions:
    """The figures of one section and domain: a domain's normals against its own anomalies, unlike an AUC."""

    machine: str
    section: int
    domain: int
    figures: DecisionFigures


def evaluate_decisions(decisions: ArrayLike, cells: Cells) -> tuple[CellDecisions, ...]:
    """Figures of each cell with decisions [N], 0 or 1; cells of sections without any (NaN) are left out.

    DCASE 2022 Task 2: precision, recall and F1 are counted per section and domain.
    """
    decisions = np.asarray(decisions, np.float64)
    found = []
    for cell in cells.cells:
        normal, anomaly = decisions[cell.normal], decisions[cell.anomaly]
        if not np.isnan([*normal, *anomaly]).any():
            figures = DecisionFigures.count(normal, anomaly)
            found.append(CellDecisions(cells.machine, cell.section, cell.domain, figures))
    return tuple(found)
