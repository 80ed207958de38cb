"""The leaderboard of a search: a line a machine and kind of detector, for a screen, a page and a program."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.table import Table

from humtune.formatting.text import MISSING, escaped, in_percent, percent, span, to_markdown
from humtune.ledger import Ledger
from humtune.records import TrialRecord
from humtune.results.archive import Stamps, trial_stamps
from humtune.results.candidates import searched_trials
from humtune.results.contributions import kind_of_trial
from humtune.results.leaderboard import FRACTIONS, Standing, standings

COLUMNS = ("machine", "kind", "best", "Ω cross-fitted", "Ω of the best", "fit", "trials", "it brings")

LEGEND = (
    "Ω cross-fitted: trial and score type of a kind chosen on half of the clips and read on the other half. "
    "Ω of the best: with its 90 % interval, on the clips that chose it, so too high. It brings: points of "
    "cross-fitted Ω that the ensemble of the best three candidates of each kind loses without it."
)


def leaderboard(
    ledger: Ledger,
    records: Iterable[TrialRecord],
    *,
    stamps: Stamps | None = None,
    measure: bool = True,
) -> list[Standing]:
    """Every machine's kinds, the best first; empty where the search's trials are of one kind alone.

    Without `measure`, what takes long is told only where it was measured before. `stamps` as for
    `read_archive`.
    """
    if len({kind_of_trial(record) for record in searched_trials(records)}) < 2:
        return []
    stamps = trial_stamps(ledger) if stamps is None else stamps
    return [
        line for m in ledger.plan.machines for line in standings(ledger, m, stamps=stamps, measure=measure)
    ]


def cells(line: Standing) -> tuple[str, ...]:
    """A line as text; without labels pseudo-Ω stands for Ω, and nothing is cross-fitted."""
    fitted, omega, trial = line.cross_fitted, line.omega, line.best.trial
    known = f"{percent(omega.value)} ({percent(omega.low)} – {percent(omega.high)})"
    judged = known if omega.value is not None else f"{trial.symbol} {percent(line.best.metric)}"
    return (
        line.machine,
        line.kind,
        line.best.name,
        f"{percent(fitted.value)}±{percent(fitted.spread)}" if fitted.value is not None else MISSING,
        judged,
        span(line.seconds),
        str(line.trials),
        f"{100 * line.brings:+.1f}" if line.brings is not None else MISSING if omega.value else "not judged",
    )


def to_terminal(lines: Sequence[Standing]) -> Table:
    """The lines for a screen."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for i, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if i < 3 else "right", overflow="fold")
    for line in lines:
        table.add_row(*cells(line))
    return table


def to_rows(lines: Sequence[Standing]) -> list[dict[str, Any]]:
    """The lines for a program, fractions in percent."""
    return [
        {name: in_percent(value) if name in FRACTIONS else value for name, value in line.to_dict().items()}
        for line in lines
    ]


def leaderboard_block(lines: Sequence[Standing]) -> list[str]:
    """Lines of Markdown for the search's report; none where there is one kind alone."""
    if not lines:
        return []
    rows = [list(map(escaped, cells(line))) for line in lines]
    return ["", "## Kinds of detectors", "", LEGEND, "", to_markdown(list(COLUMNS), rows, left=3)]
