"""The generated table of a search: for the terminal, as Markdown and as LaTeX (booktabs)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich import box
from rich.table import Table

from humtune.formatting.columns import fields, headline, legend, lines, others_block
from humtune.formatting.text import escaped
from humtune.formatting.text import to_markdown as to_table
from humtune.report.published import published_block
from humtune.results.points import Point
from humtune.results.rows import Row, searched_settings

if TYPE_CHECKING:
    from pandas import DataFrame

_COLUMN = 9  # characters that a machine's figures take on a screen

_SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "^": r"\textasciicircum{}",
    "Ω": r"$\Omega$",
    "±": r"$\pm$",
    "–": "--",
}


@dataclass(frozen=True)
class Report:
    """A search's table and the files that hold it, by their names in the storage."""

    search: str
    rows: tuple[Row, ...]  # a machine each; with two or more a last one over all
    files: tuple[str, ...]
    others: tuple[Row, ...] = ()  # what other ways to choose would have given
    notes: tuple[str, ...] = ()  # on those, and on the search
    points: tuple[Point, ...] = ()  # where the search tries points, not what a sampler draws

    def to_frame(self) -> "DataFrame":
        """The rows and other ways to choose as a table of pandas; fractions 0…1, the columns of table.csv."""
        from pandas import DataFrame

        settings = searched_settings(self.rows)
        return DataFrame([row.to_dict(settings) for row in (*self.rows, *self.others)])

    def _repr_html_(self) -> str:
        return str(self.to_frame().dropna(axis="columns", how="all").to_html(index=False))


def to_markdown(
    search: str,
    rows: Sequence[Row],
    plots: Mapping[tuple[str, str], str],
    *,
    others: Sequence[Row] = (),
    points: str = "",
    blocks: Sequence[str] = (),
) -> str:
    """The rows as a Markdown table in percent, with the legend, the notes, published results and plots.

    Plots are files by (machine, name); `points` is the file of the points' table, where there is one;
    `blocks` are lines of what else there is to tell.
    """
    columns, bold = fields(rows), headline(rows)
    cells = []
    for row in rows:
        values = {name: show(row) for name, show in columns.items()}
        values |= {name: f"**{values[name]}**" for name in bold}
        cells.append([escaped(row.machine), *values.values()])
    text = [f"# {escaped(search)}", "", "Ω, AUC, pAUC and false alarms in percent.", ""]
    text.append(to_table(["machine", *columns], cells))
    text += ["", *(f"- {line}" for line in legend(rows, others))]
    if notes := [row.note for row in rows if row.note]:
        text += ["", "Notes", "", *(f"- {escaped(note)}" for note in notes)]
    if points:
        text += ["", f"Every point of the search, over its seeds: [{points}]({points})."]
    text += others_block(rows, others)
    text += blocks
    text += published_block([row.machine for row in rows])
    for machine, files in groupby(plots.items(), key=lambda plot: plot[0][0]):
        text += [
            "",
            f"## {escaped(machine)}",
            "",
            *(f"![{name}]({quote(file)})" for (_, name), file in files),
        ]
    return "\n".join(text) + "\n"


def to_terminal(report: Report, *, width: int) -> list[Table]:
    """The table for a screen of that width: machines as columns, in several tables where they are many."""
    first = max(len(name) for name, _, _ in lines(report.rows, report.others)) + 1
    room = max(1, (width - first) // (_COLUMN + 1))
    blocks = math.ceil(len(report.rows) / room)
    size = math.ceil(len(report.rows) / blocks)
    blocks_of = range(0, len(report.rows), size)
    return [_block(report, report.rows[i : i + size]) for i in blocks_of]


def _block(report: Report, rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, pad_edge=False)
    names = [name for name, _, _ in lines(report.rows, report.others)]
    table.add_column(report.search, min_width=max(map(len, names)), overflow="fold")
    here = [report.rows.index(row) for row in rows]
    for row in rows:
        table.add_column(row.machine, justify="right", min_width=_COLUMN, overflow="fold")
    for name, cells, bold in lines(report.rows, report.others):
        table.add_row(name, *(cells[i] for i in here), style="bold" if bold else None)
    return table


def to_tex(search: str, rows: Sequence[Row], others: Sequence[Row] = ()) -> str:
    r"""The rows as a tabular to be included; figures in percent. Needs \usepackage{booktabs}."""
    tex = [
        "% needs \\usepackage{booktabs}",
        f"% search {search}; figures in percent",
        rf"\begin{{tabular}}{{l{'r' * len(rows)}}}",
        r"\toprule",
        _line(["", *(row.machine for row in rows)]),
        r"\midrule",
    ]
    for name, values, bold in lines(rows, others):
        cells = [escape(cell) for cell in (name, *values)]
        if bold:
            cells = [rf"\textbf{{{cell}}}" for cell in cells]
        tex.append(" & ".join(cells) + r" \\")
    return "\n".join([*tex, r"\bottomrule", r"\end{tabular}"]) + "\n"


def escape(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(_SIGNS.get(sign, sign) for sign in text)


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escape, cells)) + r" \\"
