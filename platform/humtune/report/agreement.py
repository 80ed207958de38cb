"""What stands for another figure: pseudo-Ω for Ω, and a look at a rung for a trial's end.

Rank correlations say how far choosing without labels, or stopping trials early, can be trusted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from humtune.formatting.text import MISSING, escaped, percent, to_markdown
from humtune.metrics.cells import Array, Cells, labelled
from humtune.metrics.omega import PseudoCells, omega
from humtune.records import TrialRecord
from humtune.results.candidates import candidates, searched_trials
from humtune.results.measure import Measured
from humtune.sounds.table import Role

LEAST = 3  # candidates: with two, any two orders agree wholly or not at all

LEAST_TRIALS = 4  # trials: three are in the right order by luck once in six times


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
    true, pseudo = omega(scores, Cells.of(clips, Role.SELECT)), cells.omega(scores)
    return Agreement(
        machine=clips.machine,
        candidates=len(scores),
        rank_correlation=rank_correlation(pseudo, true),
        by_kind={str(kind): rank_correlation(omega(scores, cells.kinds[kind]), true) for kind in cells.kinds},
        chosen=float(true[np.argmax(pseudo)]),
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


def rank_correlation(first: Array, second: Array) -> float | None:
    """Spearman's ρ of two figures of the same things; None where either is the same for all."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.2f}"


@dataclass(frozen=True)
class Rung:
    """An epoch at which one machine's trials were measured, and what it says of their end."""

    machine: str
    epoch: int
    epochs: int  # of the whole budget
    trials: int  # that were measured there and ran to their end
    rank_correlation: float  # Spearman's ρ of the figure there with the last epoch's


def rungs(machine: str, records: Iterable[TrialRecord]) -> list[Rung]:
    """The epochs before the last where trials were measured, in order, with enough trials to compare.

    Only trials that ran to their end can be compared. Where others were stopped there, ρ is smaller than it
    would be over all: those that were clearly behind are missing.
    """
    complete = searched_trials(records)
    metrics = {r.id: {e.epoch: e.metrics.get(r.judged_by) for e in r.epochs} for r in complete}
    measured = sorted(
        {e for by_epoch in metrics.values() for e, value in by_epoch.items() if value is not None}
    )
    found = []
    for epoch in measured:
        pairs = [
            (there, r.objective)
            for r in complete
            if epoch < r.epochs[-1].epoch and (there := metrics[r.id].get(epoch)) is not None
        ]
        if len(pairs) >= LEAST_TRIALS and (rho := rank_correlation(*np.array(pairs).T)) is not None:
            found.append(Rung(machine, epoch, complete[0].epochs[-1].epoch, len(pairs), rho))
    return found


def rungs_block(found: Sequence[Rung]) -> list[str]:
    """Lines of Markdown about what the rungs foretold; none where no trial was measured before its end."""
    if not found:
        return []
    rows = [
        [
            escaped(rung.machine),
            f"{rung.epoch} of {rung.epochs}",
            str(rung.trials),
            f"{rung.rank_correlation:+.2f}",
        ]
        for rung in found
    ]
    return [
        "",
        "## What the rungs foretold",
        "",
        "Spearman's ρ of what a trial was judged by at an epoch with what its last epoch gave, over trials "
        "that ran to their end. Where others were stopped at that epoch, those that were clearly behind are "
        "missing, and ρ is smaller than it would be over all.",
        "",
        to_markdown(["machine", "epoch", "trials", "ρ"], rows),
    ]


def rungs_line(found: Sequence[Rung]) -> str | None:
    """One line for a terminal: each epoch's mean ρ over the machines."""
    if not found:
        return None
    epochs = sorted({rung.epoch for rung in found})
    means = {e: np.mean([r.rank_correlation for r in found if r.epoch == e]) for e in epochs}
    parts = ", ".join(f"{means[epoch]:+.2f} after epoch {epoch}" for epoch in epochs)
    return f"rank correlation with the end: {parts} (of {found[0].epochs})"
