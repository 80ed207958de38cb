"""Students beside their teachers and the best single detectors: for a screen, and in a search's report."""

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from humtune.formatting.text import MISSING, escaped, percent, to_markdown
from humtune.ledger import Ledger
from humtune.report.ways import spread
from humtune.results.students import STUDENT, Comparison, Side, comparisons

LEGEND = (
    "Ω in percent. selecting: on the labelled dev clips; where labels chose the ensemble, its Ω and the best",
    "single's are too high, and the student's may be. cross-fitted: all chosen on half of them, read on the",
    "other, mean ± standard deviation over the splits, the same for all three. more: the student's over this",
    "one, paired; with 90 % of other clips. pseudo-Ω: students have learnt of the probes' kinds of fault, so",
    "theirs proves little. ms: a clip on one core, all three in one run; ×: in the student's.",
)
HEAD = (
    "machine", "", "selecting", "more", "cross-fitted", "more", "hidden", "more", "eval", "pseudo-Ω",
    "ms", "×", "MB", "×",
)  # fmt: skip


def cells(found: Sequence[Comparison]) -> list[list[str]]:
    """A row for each detector of each machine, by the columns of HEAD."""
    return [_row(one, side) for one in found for side in one.sides]


def _row(one: Comparison, side: Side) -> list[str]:
    student = one.side(STUDENT)
    more = np.subtract(student.splits, side.splits) if side.splits and side is not student else None

    def lead(kind: str) -> str:
        if not (over := side.lead.get(kind)):
            return ""
        return f"{100 * over.estimate:+.1f} ({100 * over.low:+.1f} – {100 * over.high:+.1f})"

    return [
        one.machine,
        f"{side.way}, {side.name}",
        percent(side.omega.get("select")),
        lead("select"),
        spread(np.array(side.splits)) if side.splits else MISSING,
        spread(more, signed=True) if more is not None else "",
        percent(side.omega.get("hidden")),
        lead("hidden"),
        percent(side.omega.get("report")),
        percent(side.pseudo),
        f"{1e3 * side.seconds:.1f}",
        f"{side.seconds / student.seconds:.1f}",
        f"{side.size / 1e6:.2f}",
        f"{side.size / student.size:.1f}",
    ]


def _shown(rows: Sequence[Sequence[str]]) -> list[int]:
    """The columns in which something stands."""
    return [i for i in range(len(HEAD)) if any(row[i] not in ("", MISSING) for row in rows)]


def to_table(found: Sequence[Comparison]) -> Table:
    """For a screen."""
    rows, table = cells(found), Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for i in (shown := _shown(rows)):
        table.add_column(HEAD[i], justify="left" if i < 2 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[i]) for i in shown))
    return table


def students_block(ledger: Ledger) -> list[str]:
    """Lines of Markdown for the search's report; none where no ensemble was taught."""
    if not (found := comparisons(ledger)):
        return []
    rows = cells(found)
    shown = _shown(rows)
    notes = [f"{one.machine}: not cross-fitted: {one.note}." for one in found if one.note]
    agree = ", ".join(f"{escaped(one.machine)} {one.agreement:.2f}" for one in found)
    return [
        "",
        "## Distilled",
        "",
        to_markdown([HEAD[i] for i in shown], [[escaped(row[i]) for i in shown] for row in rows], left=2),
        "",
        " ".join(LEGEND),
        "",
        f"Rank correlation of student and ensemble over the scored recordings: {agree}.",
        *map(escaped, notes),
    ]
