"""Page: one of the paper's results as a search has it, for a file, a program and a screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from humtune.formatting.text import MISSING, escaped, in_percent, to_markdown
from humtune.metrics.omega import Kind
from humtune.report.paper.study import Study
from humtune.results.points import Clips, Point
from humtune.results.reading import Average

CLIPS: dict[Clips, str] = {"both": "dev+eval", "dev": "dev", "eval": "eval"}
THEIRS = ("paper", "difference")
CHOSEN_BY = "Ω paper, dev"
SEED_NOTE = "Mean ± standard deviation (n − 1) over the seeds, in percent; a lone figure is a single seed's."
OMEGA_NOTE = (
    "Ω paper is the paper's eq. (1), with a pAUC per domain; Ω official is the challenge's. dev: the "
    "selecting clips (DCASE 2022: sections 0 to 2); eval: sections 3 to 5, where their truth is known; "
    "dev+eval: all, which is what eq. (1) says. The difference is of Ω paper on dev+eval, or on dev "
    "without that truth: the paper doesn't tell which clips its tables are of."
)
CHOICE_NOTE = (
    "Bold, or called best: the highest on the dev clips. They chose it, as in the paper, so it is too high."
)


@dataclass(frozen=True)
class Line:
    """A line of a result: what was tried, our figures, and the paper's where it printed one."""

    labels: Mapping[str, str]
    ours: Mapping[str, Average]  # by column; the first is set against the paper's
    seeds: int
    machines: int
    printed: float | None = None  # percent
    bold: bool = False


@dataclass(frozen=True)
class Page:
    """A result of the paper, ours and theirs."""

    name: str  # of its files
    title: str
    lead: str
    lines: Sequence[Line]
    grid: str = ""  # a Markdown table in the paper's own layout
    plot: bytes | None = None
    notes: Sequence[str] = ()


def omega_line(
    labels: Mapping[str, str], point: Point, score: str, *, printed: float | None = None, bold: bool = False
) -> Line:
    """The line of a point's score type: both Ω on all clips with labels."""
    ours: dict[str, Average] = {}
    kinds: tuple[Kind, ...] = ("paper", "official")
    for kind in kinds:
        for clips, name in CLIPS.items():
            if average := point.omega(score, kind=kind, clips=clips):
                ours[f"Ω {kind}, {name}"] = average
    return Line(labels, ours, len(point.seeds), point.machines, printed, bold)


def difference(line: Line, study: Study) -> float | None:
    """Ours minus the paper's in points; None where the two can't be compared."""
    ours = next(iter(line.ours.values()), None)
    if line.printed is None or ours is None or study.departures or line.machines != len(study.machines):
        return None
    return 100 * ours.mean - line.printed


def to_page_markdown(page: Page, study: Study) -> str:
    """The result as Markdown, its plot beside it under its own name."""
    lines = [f"# {page.title}", "", page.lead]
    if page.plot:
        lines += ["", f"![{page.name}]({page.name}.png)"]
    if page.grid:
        lines += ["", page.grid]
    labels, columns = _names(page)
    heads = [*labels, *columns, *(THEIRS if _prints(page) else []), "seeds", "machines"]
    rows = [_cells(line, page, study, columns) for line in page.lines]
    rows = [[*map(escaped, row[: len(labels)]), *row[len(labels) :]] for row in rows]
    if rows:
        lines += ["", to_markdown(heads, rows, left=len(labels))]
    else:
        lines += ["", "Nothing to show yet: no trial has ended with what this needs."]
    lines += [
        "",
        *(
            f"- {note}"
            for note in (*page.notes, SEED_NOTE, *map(escaped, why(study)), *map(escaped, study.notes))
        ),
    ]
    return "\n".join(lines) + "\n"


def why(study: Study) -> list[str]:
    """Notes on what is compared: that the paper's figures are single runs, or why there is no difference."""
    if not study.departures:
        return ["The paper prints no spread; a difference within ours says nothing."]
    reasons = "; ".join(study.departures)
    return [f"No difference to the paper is given: {reasons}."]


def csv_lines(page: Page, study: Study) -> list[dict[str, Any]]:
    """The lines for a program, figures in percent."""
    _, columns = _names(page)
    rows = []
    for line in page.lines:
        row: dict[str, Any] = dict(line.labels)
        for name in columns:
            average = line.ours.get(name)
            row[name] = in_percent(average.mean if average else None)
            row[f"{name} sd"] = in_percent(average.spread if average else None)
        gap = difference(line, study)
        row |= {"paper": line.printed, "difference": None if gap is None else round(gap, 4)}
        rows.append(row | {"seeds": line.seeds, "machines": line.machines})
    return rows


def to_screen(page: Page, study: Study) -> Table:
    """The lines for a screen: our figure that is set against the paper's, and the official one."""
    labels, columns = _names(page)
    columns = [c for c in columns if c in (columns[0], columns[0].replace("paper", "official"))]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in labels:
        table.add_column(name, overflow="fold")
    for name in (*columns, *(THEIRS if _prints(page) else []), "seeds"):
        table.add_column(name, justify="right")
    for line in page.lines:
        cells = _cells(line, page, study, columns, plain=True)[:-1]
        table.add_row(*cells, style="bold" if line.bold else None)
    return table


def _prints(page: Page) -> bool:
    """Whether the paper prints any figure of this result."""
    return any(line.printed is not None for line in page.lines)


def _names(page: Page) -> tuple[list[str], list[str]]:
    labels = dict.fromkeys(name for line in page.lines for name in line.labels)
    columns = dict.fromkeys(name for line in page.lines for name in line.ours)
    order = [f"Ω {kind}, {clips}" for kind in ("paper", "official") for clips in CLIPS.values()]
    return list(labels), sorted(columns, key=lambda c: order.index(c) if c in order else len(order))


def _cells(line: Line, page: Page, study: Study, columns: Sequence[str], *, plain: bool = False) -> list[str]:
    labels, _ = _names(page)
    chosen_by = next((c for c in columns if c == CHOSEN_BY), columns[0]) if columns else ""
    ours = [
        (f"**{line.ours[c]}**" if line.bold and c == chosen_by and not plain else str(line.ours[c]))
        if c in line.ours
        else MISSING
        for c in columns
    ]
    gap = difference(line, study)
    theirs = [
        MISSING if line.printed is None else f"{line.printed:.1f}",
        MISSING if gap is None else f"{gap:+.1f}",
    ]
    return [
        *(line.labels.get(name, "") for name in labels),
        *ours,
        *(theirs if _prints(page) else []),
        str(line.seeds),
        str(line.machines),
    ]
