"""AUC, pAUC and Ω: how well anomaly scores tell anomalies from normal clips, or probes from them (pseudo-Ω).

Every function works on the last axis and keeps the axes before it, so that thousands of candidates are
measured at once. Figures are fractions, 0…1. Decisions have precision, recall and F1, as the challenge's
evaluator counts them.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.metrics.cells import Array, Cell
from humtune.metrics.cells import Cells as Cells
from humtune.sounds.groups import recording_names
from humtune.sounds.probes import ProbeKind
from humtune.sounds.table import ANOMALY, NORMAL, TARGET, UNKNOWN, ClipTable, Role

Kind = Literal["official", "paper"]

MAX_FPR = 0.1  # the p of pAUC in every DCASE Task 2 challenge
EPSILON = float(np.finfo(np.float64).eps)  # what the official evaluator puts in the place of a zero


def auc(positive: ArrayLike, negative: ArrayLike) -> Array:
    """Area under the ROC curve: how often a positive outscores a negative, a tie counting half.

    Scores [..., P] and [..., N] with equal leading axes and P, N ≥ 1; returns [...].
    """
    from scipy.stats import rankdata  # here: most of a second to import, which a search itself does without

    positive, negative = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    p, n = positive.shape[-1], negative.shape[-1]
    ranks = rankdata(np.concatenate([positive, negative], axis=-1), axis=-1)[..., :p]
    return np.asarray((ranks.sum(axis=-1) - p * (p + 1) / 2) / (p * n))


def pauc(positive: ArrayLike, negative: ArrayLike, *, max_fpr: float = MAX_FPR) -> Array:
    """Area under the ROC curve up to a false positive rate, McClish-standardised: chance 0.5, perfect 1.

    Scores [..., P] and [..., N]; returns [...], equal to scikit-learn's `roc_auc_score(max_fpr=…)`. Only the
    negatives left of the cut matter; where the cut falls into a group of ties, the curve is a straight line
    through the group and its area there is a trapezium's.
    """
    positive, negative = np.asarray(positive, np.float64), np.sort(np.asarray(negative, np.float64), axis=-1)
    p, n = positive.shape[-1], negative.shape[-1]
    cut = max_fpr * n  # negatives left of the cut, as a real number
    top = math.ceil(cut)
    edge = negative[..., n - top, None]  # the negative that the cut goes through
    area = np.zeros(positive.shape[:-1])  # in pairs of clips
    for i in range(n - top + 1, n):
        value = negative[..., i, None]
        won = np.sum(positive > value, axis=-1) + np.sum(positive == value, axis=-1) / 2
        area += won * (value > edge)[..., 0]
    inside = cut - np.sum(negative > edge, axis=-1)
    slope = np.sum(positive == edge, axis=-1) / np.sum(negative == edge, axis=-1)
    area += inside * (np.sum(positive > edge, axis=-1) + inside * slope / 2)
    least, most = max_fpr**2 / 2, max_fpr
    return np.asarray((1 + (area / (p * n) - least) / (most - least)) / 2)


def harmonic_mean(values: ArrayLike, axis: int = -1) -> Array:
    """Harmonic mean along an axis, with zeros floored at machine epsilon as the official evaluator does."""
    return np.asarray(1 / np.mean(1 / np.maximum(values, EPSILON), axis=axis))


@dataclass(frozen=True, eq=False)
class SectionMetrics:
    """One section's figures, each [...]."""

    machine: str
    section: int
    auc: Mapping[int, Array]  # domain -> its normals against the anomalies of all domains
    pauc: Array  # all clips of the section
    domain_pauc: Mapping[int, Array]  # the paper's: as `auc`

    def values(self, kind: Kind) -> list[Array]:
        """The values that Ω averages: official AUC per domain and one pAUC; the paper's a pAUC per domain."""
        return [*self.auc.values(), *([self.pauc] if kind == "official" else self.domain_pauc.values())]


@dataclass(frozen=True, eq=False)
class Metrics:
    """Harmonic means over sections, each [...]; NaN where no clip is of that domain."""

    omega_official: Array  # {AUC source, AUC target, pAUC} × sections
    omega_paper: Array  # eq. (1): a pAUC per domain
    auc_source: Array  # of all normals, where the data set names no domains
    auc_target: Array
    pauc: Array
    sections: tuple[SectionMetrics, ...]

    @classmethod
    def of(cls, sections: Iterable[SectionMetrics]) -> "Metrics":
        """Figures over any sections: one machine's, or all machines' as in the challenge's ranking."""
        sections = tuple(sections)

        def mean(values: Iterable[Array]) -> Array:
            values = list(values)
            return harmonic_mean(values, axis=0) if values else np.full_like(sections[0].pauc, np.nan)

        return cls(
            omega_official=mean(v for s in sections for v in s.values("official")),
            omega_paper=mean(v for s in sections for v in s.values("paper")),
            auc_source=mean(v for s in sections for d, v in s.auc.items() if d != TARGET),
            auc_target=mean(v for s in sections for d, v in s.auc.items() if d == TARGET),
            pauc=mean(s.pauc for s in sections),
            sections=sections,
        )


def evaluate(scores: ArrayLike, cells: Cells) -> Metrics:
    """All figures of one machine's scores [..., N], higher meaning more anomalous.

    An AUC sets the normals of a domain against the anomalies of both (DCASE 2022 Task 2, evaluation metrics).
    """
    scores = cells.check_scores(scores)
    return Metrics.of(_section(scores, cells.machine, *section) for section in cells.sections())


def omega(scores: ArrayLike, cells: Cells, *, kind: Kind = "official") -> Array:
    """Ω of one machine's scores [..., N]: the challenge's, or the paper's with a pAUC per domain (eq. 1)."""
    metrics = evaluate(scores, cells)
    return metrics.omega_official if kind == "official" else metrics.omega_paper


def pool(metrics: Iterable[Metrics]) -> Metrics:
    """Figures over all sections of several machines: the harmonic mean of all their values."""
    return Metrics.of(s for f in metrics for s in f.sections)


def _section(scores: Array, machine: str, section: int, cells: list[Cell]) -> SectionMetrics:
    def pick(clips: list[NDArray[np.intp]]) -> Array:
        return scores[..., np.concatenate(clips)]

    anomalies = pick([c.anomaly for c in cells])
    normals = {c.domain: pick([c.normal]) for c in cells}
    return SectionMetrics(
        machine=machine,
        section=section,
        auc={domain: auc(anomalies, normal) for domain, normal in normals.items()},
        pauc=pauc(anomalies, pick([c.normal for c in cells])),
        domain_pauc={domain: pauc(anomalies, normal) for domain, normal in normals.items()},
    )


class PseudoCells:
    """What pseudo-Ω averages over: held-out clips and probes of one machine, by kind and section.

    Domains are not told apart: of a target domain's ten clips a single one is held out.
    """

    def __init__(self, table: ClipTable) -> None:
        """Cells of the probes there are; indices count the whole table's clips."""
        self.kinds = {kind: cells for kind in ProbeKind if (cells := _cells(table, kind)).cells}

    def omega(self, scores: ArrayLike) -> Array:
        """Pseudo-Ω of scores [..., N]: the harmonic mean of AUC and pAUC over kinds and sections."""
        return self.evaluate(scores).omega_official

    def evaluate(self, scores: ArrayLike) -> Metrics:
        """The figures of scores [..., N] on each kind of probe, in one."""
        return pool(evaluate(scores, cells) for cells in self.kinds.values())


def _cells(table: ClipTable, kind: ProbeKind) -> Cells:
    probes = (table.role == str(Role.PROBE)) & (table.part == str(kind))
    sections = kind == ProbeKind.SECTION  # its normals are scored as of their section, as its anomalies are
    normal = probes & (table.label == NORMAL) if sections else table.role == str(Role.HELD_OUT)
    cells = _per_section(table, normal, probes & (table.label == ANOMALY))
    return Cells(table.machine, table.name, recording_names(table.attributes), tuple(cells))


def _per_section(table: ClipTable, normal: Array, anomaly: Array) -> Iterator[Cell]:
    for section in np.unique(table.section[anomaly]):
        here = table.section == section
        if (here & normal).any():
            yield Cell(int(section), UNKNOWN, np.flatnonzero(here & normal), np.flatnonzero(here & anomaly))


@dataclass(frozen=True)
class DecisionMetrics:
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
    def mean(cls, metrics: Iterable[Self]) -> Self:
        """Harmonic means of each, zeros floored, as Ω averages."""
        columns = zip(*((f.precision, f.recall, f.f1) for f in metrics), strict=True)
        return cls(*(float(harmonic_mean(column)) for column in columns))


@dataclass(frozen=True)
class CellDecisions:
    """The figures of one section and domain: a domain's normals against its own anomalies, unlike an AUC."""

    machine: str
    section: int
    domain: int
    metrics: DecisionMetrics


def evaluate_decisions(decisions: ArrayLike, cells: Cells) -> tuple[CellDecisions, ...]:
    """Figures of each cell with decisions [N], 0 or 1; cells of sections without any (NaN) are left out.

    DCASE 2022 Task 2: precision, recall and F1 are counted per section and domain.
    """
    decisions = np.asarray(decisions, np.float64)
    found = []
    for cell in cells.cells:
        normal, anomaly = decisions[cell.normal], decisions[cell.anomaly]
        if not np.isnan([*normal, *anomaly]).any():
            metrics = DecisionMetrics.count(normal, anomaly)
            found.append(CellDecisions(cells.machine, cell.section, cell.domain, metrics))
    return tuple(found)
