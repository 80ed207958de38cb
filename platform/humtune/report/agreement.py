"""How far pseudo-Ω and Ω agree: what choosing without labels would have been worth where there are some."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from humtune.evaluation.cells import Array, Cells, labelled
from humtune.evaluation.metrics import PseudoCells, omega
from humtune.formatting.tables import MISSING, escaped, percent, to_markdown
from humtune.results.candidates import candidates
from humtune.results.measure import Measured
from humtune.sounds.table import Role

LEAST = 3  # candidates: with two, any two orders agree wholly or not at all


@dataclass(frozen=True)
class Agreement:
    """One machine's candidates (trial × score type) in the eyes of both figures; Ω official, 0…1."""

    machine: str
    candidates: int
    rank_correlation: float | None  # Spearman's ρ of pseudo-Ω and Ω; None where either is the same for all
    by_kind: dict[str, float | None]  # ρ of each kind of probe by itself
    chosen: float  # Ω of the candidate with the highest pseudo-Ω
    mean: float  # Ω of a candidate drawn at random
    best: float  # the highest Ω there is


def agreement(measured: Measured) -> Agreement | None:
    """The agreement over a machine's complete trials; None without labels, probes or enough candidates."""
    clips, chosen_from = measured.clips, candidates(measured.records)
    cells = PseudoCells(clips)
    if len(chosen_from) < LEAST or not measured.archive or not labelled(clips) or not cells.kinds:
        return None
    scores = measured.archive.of(chosen_from)
    true, told = omega(scores, Cells.of(clips, Role.SELECT)), cells.omega(scores)
    return Agreement(
        machine=clips.machine,
        candidates=len(scores),
        rank_correlation=rank_correlation(told, true),
        by_kind={str(kind): rank_correlation(omega(scores, cells.kinds[kind]), true) for kind in cells.kinds},
        chosen=float(true[np.argmax(told)]),
        mean=float(true.mean()),
        best=float(true.max()),
    )


def agreement_block(found: Iterable[Agreement]) -> list[str]:
    """Lines of Markdown about what choosing without labels would have been worth; none where nobody knows."""
    found = list(found)
    if not found:
        return []
    kinds = list(dict.fromkeys(kind for a in found for kind in a.by_kind))
    columns = ["machine", "candidates", "ρ", *(f"ρ, {kind}" for kind in kinds)]
    columns += ["Ω of its choice", "Ω of a mean one", "Ω of the best"]
    rows = [
        [
            escaped(a.machine),
            str(a.candidates),
            _signed(a.rank_correlation),
            *(_signed(a.by_kind.get(kind)) for kind in kinds),
            *map(percent, (a.chosen, a.mean, a.best)),
        ]
        for a in found
    ]
    return [
        "",
        "## Choosing without labels",
        "",
        "Spearman's ρ of pseudo-Ω (held-out clips against probes) and Ω over trial × score type: all kinds "
        "of probes together, and each by itself (– where it tells no candidates apart). Beside it the Ω "
        "(official, selecting clips) of what pseudo-Ω would have chosen.",
        "",
        to_markdown(columns, rows),
    ]


def rank_correlation(told: Array, true: Array) -> float | None:
    """Spearman's ρ of two figures of the same things; None where either is the same for all."""
    if np.ptp(told) == 0 or np.ptp(true) == 0:
        return None
    return float(spearmanr(told, true).statistic)


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.2f}"
