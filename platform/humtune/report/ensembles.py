"""What ensembles are worth: the ways of choosing side by side, and Ω against the number of members.

As a page, for a screen and for a program.
"""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from humtune.formatting.columns import WORDS
from humtune.formatting.text import MISSING, escaped, in_percent, percent, to_csv, to_markdown
from humtune.ledger import Ledger
from humtune.metrics.cells import Array
from humtune.names import count
from humtune.report.ways import ALL, BASELINES, draw_front, front, spread, ways
from humtune.results.ensembles.record import EnsembleRecord, find_ensemble
from humtune.results.ensembles.worth import EVERY, TOP

NAMES = {"greedy": "greedy, one weighting"}  # where the key says too little
TRANSDUCTIVE = (
    "Transductive: scores are ranked within the section of the test set, as imported systems have no scores "
    "of training clips. A clip's score depends on the clips beside it, so this ensemble can't score new "
    "recordings and can't be exported."
)
LEGEND = (
    "Ω: official, in percent, of labelled dev clips that chose nothing: chosen on half of each section, "
    "domain and label, read on the other half; mean ± standard deviation over the splits. The splits "
    "share their clips, so the deviation is no interval for new ones.",
    "more: the paired difference to the best single, split by split.",
    "ensemble: greedy selection with weights per section. The gain of these weights is knowledge of sections "
    "with labels: clips of any other section, and new recordings, have the machine's weights (greedy, one "
    "weighting), and on sections without labels no weighting was better than a good single detector.",
    f"top-{TOP} mean: of calibrated scores. {EVERY}: all trials, which count as far as they agree with the "
    "others; no label is looked at.",
    "oracle single: the candidate that is best on all clips, which nobody can know beforehand.",
    "networks: distinct trials or systems that a clip goes through, of a weighting per section the most "
    "that any section wants. Score types of one trial share its forward pass, so the time for a clip grows "
    "with the networks, not with the members.",
)
LABEL_FREE = "Made without labels: none chose a member or its weight. Ω is of all labelled dev clips."

SHORT_LEGEND = (
    "Ω in percent on clips that did not choose, mean ± standard deviation over the splits; more: than the",
    "best single, paired. Weights per section help only in sections with labels; other clips and new",
    "recordings have the machine's weights (greedy, one weighting). networks: distinct trials that a clip",
    "goes through: the time for a clip grows with them.",
)


def all_ensembles(ledger: Ledger) -> list[EnsembleRecord]:
    """The ensembles of a search, in the order of its machines."""
    return [found for machine in ledger.plan.machines if (found := find_ensemble(ledger, machine))]


def write_ensembles(ledger: Ledger) -> tuple[str, ...]:
    """Write ensembles.md, ensembles.csv and front.png to the search's report; their names in the storage.

    They tell of every machine that has an ensemble, whenever it was made.
    """
    place = ledger.layout.report
    data = render(ledger.name, all_ensembles(ledger))
    for name, content in data.items():
        ledger.storage.write(f"{place}/{name}", content)
    return tuple(f"{place}/{name}" for name in data)


def render(title: str, records: Sequence[EnsembleRecord]) -> dict[str, bytes]:
    """The files by name: tables as Markdown and CSV, and the figure where there is a front."""
    found = {"ensembles.md": to_page(title, records).encode(), "ensembles.csv": to_csv(csv_rows(records))}
    if any(r.front for r in records):
        found["front.png"] = draw_front(records, title=title)
    return found


def to_page(title: str, records: Sequence[EnsembleRecord]) -> str:
    """The page about a search's ensembles."""
    text = [f"# {escaped(title)}: ensembles", "", *map(escaped, notes(records))]
    text += [to_markdown(["machine", "chosen", "Ω", "more"], _plain(way_cells(records)), left=2), ""]
    if points := front_cells(records):
        text += ["## What each member brings", "", "![Ω against the number of members](front.png)", ""]
        columns = ["machine", "chosen", "members at most", "Ω", "networks"]
        text += [to_markdown(columns, _plain(points), left=2), ""]
    text += [f"- {line}" for line in (*LEGEND, WORDS)]
    for record in records:
        columns, members = member_cells(record)
        text += ["", f"## {escaped(record.id)}", "", to_markdown(columns, _plain(members), left=1)]
        text += ["", figures_line(record)]
    return "\n".join(text) + "\n"


def notes(records: Sequence[EnsembleRecord]) -> list[str]:
    """Lines about how the ensembles came to be, each with an empty one behind it."""
    lines = [TRANSDUCTIVE] if any(r.transductive for r in records) else []
    lines += [LABEL_FREE] if any(not r.settings.by_labels for r in records) else []
    lines += [f"{note}." for r in records for note in r.notes]
    return [line for text in lines for line in (text, "")]


def way_cells(records: Sequence[EnsembleRecord]) -> list[list[str]]:
    """Machine, way, Ω and the difference to the best single."""
    return [[way.machine, NAMES.get(way.name, way.name), *way.cells] for way in ways(records)]


def front_cells(records: Sequence[EnsembleRecord]) -> list[list[str]]:
    """Machine, way, members, Ω and networks."""
    return [
        [p.machine, NAMES.get(p.way, p.way), str(p.members), spread(p.splits), f"{p.networks:.3g}"]
        for p in front(records)
    ]


def member_cells(record: EnsembleRecord) -> tuple[list[str], list[list[str]]]:
    """Columns and a row a member: what it is, its scale, its share in the machine's and sections' weights."""
    columns = ["member", "calibration", "machine", *(f"section {s:02d}" for s in record.sections)]
    weightings = [record.weights, *record.sections.values()]
    rows = [
        [
            member.name,
            record.settings.calibration,
            *(f"{w[i]:.2f}" if w[i] else MISSING for w in weightings),
        ]
        for i, member in enumerate(record.members)
    ]
    return columns, rows


def figures_line(record: EnsembleRecord) -> str:
    """Official Ω on each kind of labelled clips in a sentence."""
    chose = " (these chose: too high)" if record.settings.by_labels else ""
    kinds = {
        "omega_select": f"selecting clips{chose}",
        "omega_hidden": "hidden clips",
        "omega_report": "eval clips",
    }
    found = [f"{percent(record.metrics[k])} on {text}" for k, text in kinds.items() if k in record.metrics]
    return f"Ω {', '.join(found)}." if found else "No labelled clips to read Ω on."


def csv_rows(records: Sequence[EnsembleRecord]) -> list[dict[str, object]]:
    """A row a machine and way, and one a point of the front; Ω in percent."""
    found: list[dict[str, object]] = [
        {
            "machine": way.machine,
            "way": way.name,
            "members": None,
            "networks": None,
            **_columns("omega", way.splits),
            **_columns("more", way.more),
        }
        for way in ways(records)
    ]
    for p in front(records):
        row = {"machine": p.machine, "way": p.way, "members": p.members, "networks": round(p.networks, 2)}
        found.append({**row, **_columns("omega", p.splits)})
    transductive = any(r.transductive for r in records)
    return [{**row, "transductive": transductive} for row in found]


def ensembles_block(ledger: Ledger) -> list[str]:
    """Lines of Markdown for the search's report; none where no ensemble was made."""
    records = all_ensembles(ledger)
    if not records:
        return []
    rows = []
    for record in records:
        compared = {way.name: way.cells for way in ways([record])}
        omega, more = compared.get("ensemble", (MISSING, MISSING))
        single = next((compared[name][0] for name in BASELINES if name in compared), MISSING)
        others = (percent(record.metrics.get(k)) for k in ("omega_hidden", "omega_report"))
        members = f"{len(record.members)} of {record.settings.candidates}"
        rows.append([escaped(record.id), members, str(record.networks), omega, single, more, *others])
    columns = ["ensemble", "members", "networks", "Ω", "best single", "more", "Ω hidden", "Ω eval"]
    page = "[ensembles.md](ensembles.md)"
    return [
        "",
        "## Ensembles",
        "",
        *map(escaped, notes(records)),
        to_markdown(columns, rows),
        "",
        f"All of it: {page}.",
    ]


def _plain(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Cells that hold names, as Markdown shows them."""
    return [list(map(escaped, row)) for row in rows]


def _columns(name: str, values: Array | None) -> dict[str, float | None]:
    if values is None:
        return {name: None, f"{name}_sd": None}
    return {
        name: in_percent(float(values.mean())),
        f"{name}_sd": in_percent(float(values.std())) if len(values) > 1 else None,
    }


def to_terminal(records: Sequence[EnsembleRecord]) -> list[RenderableType]:
    """A table a machine and one over all, with Ω by the number of members of the last one."""
    parts: list[RenderableType] = [Text(line, style="bold") for line in notes(records) if line]
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
        among = count(record.settings.candidates, "candidate")
        lines.append(f"{record.id}: {len(record.members)} of {among}{figure}{how}")
    return lines


def show_ensemble(ledger: Ledger, record: EnsembleRecord) -> list[RenderableType]:
    """One ensemble for a screen: members and weights, figures, files."""
    settings = record.settings
    head = (
        f"{record.id}: {len(record.members)} of {count(settings.candidates, 'candidate')}, "
        f"{count(record.networks, 'network')}, calibrated by {settings.calibration}"
    )
    parts: list[RenderableType] = [Text(head, style="bold")]
    parts += [Text(line) for line in notes([record]) if line]
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
