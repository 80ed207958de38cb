"""How well a look at a rung foretells how a trial ends: whether stopping trials early is safe."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from humtune.formatting.tables import escaped, to_markdown
from humtune.records import TrialRecord
from humtune.report.agreement import rank_correlation
from humtune.results.candidates import searched_trials

LEAST = 4  # trials: three are in the right order by luck once in six times


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
    figures = {r.id: {e.epoch: e.metrics.get(r.judged_by) for e in r.epochs} for r in complete}
    measured = sorted(
        {e for by_epoch in figures.values() for e, value in by_epoch.items() if value is not None}
    )
    found = []
    for epoch in measured:
        pairs = [
            (there, r.objective)
            for r in complete
            if epoch < r.epochs[-1].epoch and (there := figures[r.id].get(epoch)) is not None
        ]
        if len(pairs) >= LEAST and (rho := rank_correlation(*np.array(pairs).T)) is not None:
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
