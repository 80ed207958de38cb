"""Ensembles on a screen: what the ways of choosing are worth, and one ensemble in full."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from humtune.ledger import Ledger
from humtune.report.ensembles import all_ensembles, figures_line, front_cells, member_cells, told, way_cells
from humtune.report.ways import ALL, ways
from humtune.results.ensembles.record import EnsembleRecord

SHORT_LEGEND = (
    "Ω in percent on clips that did not choose, mean ± standard deviation over the splits; more: than the",
    "best single, paired. Weights per section help only in sections with labels; other clips and new",
    "recordings have the machine's weights (greedy, one weighting). networks: distinct trials that a clip",
    "goes through: the time for a clip grows with them.",
)


def to_terminal(records: Sequence[EnsembleRecord]) -> list[RenderableType]:
    """A table a machine and one over all, with Ω by the number of members of the last one."""
    parts: list[RenderableType] = [Text(line, style="bold") for line in told(records) if line]
    machines = [r.machine for r in records] + ([ALL] if len(records) > 1 else [])
    cells = way_cells(records)
    for machine in machines:
        if mine := [row[1:] for row in cells if row[0] == machine]:
            parts += ["", _table([machine, "Ω", "more"], mine)]
    if points := [row[1:] for row in front_cells(records) if row[0] == machines[-1]]:
        columns = [f"{machines[-1]}, members at most", "", "Ω", "networks"]
        parts += ["", _table(columns, points)]
    return parts


def ensemble_lines(ledger: Ledger) -> list[str]:
    """A line for each ensemble of a search: what a list of its trials ends with."""
    lines = []
    for record in all_ensembles(ledger):
        omega = [way.cells[0] for way in ways([record]) if way.name == "ensemble"]
        figure = f", Ω {omega[0]} on clips that did not choose" if omega else ""
        how = ", transductive" if record.transductive else ""
        lines.append(
            f"{record.id}: {len(record.members)} of {record.settings.candidates} candidates{figure}{how}"
        )
    return lines


def show_ensemble(ledger: Ledger, record: EnsembleRecord) -> list[RenderableType]:
    """One ensemble for a screen: members and weights, figures, files."""
    settings = record.settings
    head = (
        f"{record.id}: {len(record.members)} of {settings.candidates} candidates, "
        f"{record.networks} networks, calibrated by {settings.calibration}"
    )
    parts: list[RenderableType] = [Text(head, style="bold")]
    parts += [Text(line) for line in told([record]) if line]
    parts += ["", _table(*member_cells(record)), "", Text(figures_line(record))]
    if cells := way_cells([record]):
        parts += ["", _table(["chosen", "Ω", "more"], [row[1:] for row in cells])]
    if points := front_cells([record]):
        parts += ["", _table(["members at most", "", "Ω", "networks"], [row[1:] for row in points])]
    folder, machine = ledger.layout.ensembles, record.machine
    names = (ledger.layout.ensemble(machine), ledger.layout.ensemble_scores(machine))
    files = [f"  {name.removeprefix(f'{folder}/')}" for name in names]
    return [*parts, "", *map(Text, (f"{ledger.storage.uri}/{folder}", *files))]


def ensemble_dict(ledger: Ledger, record: EnsembleRecord) -> dict[str, Any]:
    """One ensemble for a program: its record (fractions), and where its scores are."""
    place = f"{ledger.storage.uri}/{ledger.layout.ensemble_scores(record.machine)}"
    return record.model_dump(mode="json") | {"transductive": record.transductive, "scores": place}


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left", no_wrap=i > 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
