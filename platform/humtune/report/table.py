"""The generated table of a search: for the terminal and as Markdown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.table import Table

from humtune.report import sheet
from humtune.report.columns import FIELDS, HEADLINE, LEGEND
from humtune.report.points import Point
from humtune.report.published import published_block
from humtune.report.rows import Row

_COLUMN = 8  # characters that a machine's figures take on a screen


@dataclass(frozen=True)
class Report:
    """A search's table and the files that hold it, by their names in the storage."""

    search: str
    rows: tuple[Row, ...]  # a machine each; with two or more a last one over all
    files: tuple[str, ...]
    points: tuple[Point, ...] = ()  # where the search tries points, not what a sampler draws


def to_markdown(
    search: str,
    rows: Sequence[Row],
    pictures: Mapping[tuple[str, str], str],
    *,
    points: str = "",
    blocks: Sequence[str] = (),
) -> str:
    """The rows as a Markdown table in percent, with the legend, the notes, published results and pictures.

    Pictures are files by (machine, name); `points` is the file of the points' table, where there is one;
    `blocks` are lines of what else there is to tell.
    """
    cells = []
    for row in rows:
        values = [show(row) for show in FIELDS.values()]
        values[HEADLINE] = f"**{values[HEADLINE]}**"
        cells.append([row.machine, *values])
    lines = [f"# {search}", "", "Ω, AUC, pAUC and false alarms in percent.", ""]
    lines.append(sheet.to_markdown(["machine", *FIELDS], cells))
    lines += ["", *(f"- {line}" for line in LEGEND)]
    if notes := [row.note for row in rows if row.note]:
        lines += ["", "Notes", "", *(f"- {note}" for note in notes)]
    if points:
        lines += ["", f"Every point of the search, over its seeds: [{points}]({points})."]
    lines += blocks
    lines += published_block([row.machine for row in rows])
    for machine, files in groupby(pictures.items(), key=lambda picture: picture[0][0]):
        lines += ["", f"## {machine}", "", *(f"![{name}]({file})" for (_, name), file in files)]
    return "\n".join(lines) + "\n"


def to_terminal(report: Report, *, width: int) -> list[Table]:
    """The table for a screen of that width: machines as columns, in several tables where they are many."""
    first = max(map(len, FIELDS)) + 1
    room = max(1, (width - first) // (_COLUMN + 1))
    blocks = math.ceil(len(report.rows) / room)
    size = math.ceil(len(report.rows) / blocks)
    return [_block(report.search, report.rows[i : i + size]) for i in range(0, len(report.rows), size)]


def _block(search: str, rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    table.add_column(search, no_wrap=True)
    for row in rows:
        table.add_column(row.machine, justify="right", min_width=_COLUMN, overflow="fold")
    for i, (field, show) in enumerate(FIELDS.items()):
        table.add_row(field, *map(show, rows), style="bold" if i == HEADLINE else None)
    return table
