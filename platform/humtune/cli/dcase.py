"""DCASE's score files: evaluate anyone's, and submit a search's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from humtune.cli.options import DEFAULT_STORAGE, SearchName, StorageUri, loading
from humtune.names import count

if TYPE_CHECKING:
    from rich.table import Table

OMEGAS = {
    "Ω\nofficial": "omega_official",
    "Ω\npaper": "omega_paper",
    "AUC\nsource": "auc_source",
    "AUC\ntarget": "auc_target",
    "pAUC": "pauc",
}
DECISIONS = {"precision": "precision", "recall": "recall", "F1": "f1"}
SECTION = {
    "AUC\nsource": "auc_source",
    "AUC\ntarget": "auc_target",
    "AUC\nall": "auc",
    "pAUC": "pauc",
    "pAUC\nsource": "pauc_source",
    "pAUC\ntarget": "pauc_target",
}
LEGEND = (
    "In percent. official: harmonic mean of AUC source, AUC target and pAUC over the sections (DCASE 2022).",
    "paper: with a pAUC per domain, four values a section. AUC: a domain's normals against all anomalies.",
)
DECISIONS_LEGEND = "precision, recall, F1: of a domain's own clips; harmonic means over sections and domains."


def evaluate(
    scores: Annotated[Path, typer.Argument(metavar="SCORES", help="A folder of DCASE score files.")],
    truth: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Holds ground_truth_data, or the data set itself.")
    ] = None,
    machines: Annotated[str | None, typer.Option(help="Only these, with commas between them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Evaluate score files, anyone's: AUC and pAUC per section and domain, official and paper Ω.

    Labels come from the clips' names or from --truth; decision files give precision, recall and F1. JSON is
    in percent. Example: humtune evaluate submission --truth recordings
    """
    with loading():
        from humtune.dcase.evaluate import evaluate_folder
    from humtune.names import console, shown, split_names

    result = evaluate_folder(scores, truth=truth, machines=split_names(machines)).to_percent()
    if as_json:
        import json

        typer.echo(json.dumps(result, indent=1))
        return
    screen = console()
    for table in _tables(result):
        screen.print(table)
    for line in (*LEGEND, DECISIONS_LEGEND) if "f1" in result else LEGEND:
        screen.print(line, style="dim", soft_wrap=True)
    for line in result["notes"]:
        screen.print(shown(line), soft_wrap=True)


def submit(
    name: SearchName,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets the CSV files.")] = Path("submission"),
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Each machine's ensemble in the place of its best trial.")
    ] = False,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Write a search's DCASE submission: scores and decisions of each machine's best trial, dev and eval.

    Example: humtune submit first --out submission
    """
    from humtune.names import command, console, shown

    with loading():
        from humtune.ledger import Ledger
        from humtune.storage import Storage

    ledger = Ledger.open(Storage(storage), name)  # before the slow imports: a misspelt name fails at once
    with loading():
        from humtune.report.submission import write_submission

    written = write_submission(ledger, out, ensembles=ensemble)
    screen, errors = console(), console(stderr=True)
    files = f"{count(len(written.files), 'file')} in {shown(out)}"
    screen.print(f"{', '.join(written.trials)}: {count(written.clips, 'clip')}, {files}", soft_wrap=True)
    for line in written.notes:
        screen.print(shown(line), soft_wrap=True)
    for line in (*written.skipped, *written.failed):
        errors.print(shown(line), soft_wrap=True)
    next_one = command("evaluate", out, truth=ledger.plan.asked.data)
    screen.print(f"{next_one}   holds it against the labels", soft_wrap=True)
    raise typer.Exit(1 if written.failed else 0)


def _tables(result: dict[str, Any]) -> list["Table"]:
    """A table of sections, one of their decisions where there are any, and one of machines."""
    sections = [(machine, s) for machine, mine in result["machines"].items() for s in mine["sections"]]
    tables = [_sections(sections, SECTION)]
    if any("f1" in key for _, section in sections for key in section):
        ends = {"\nsource": "_source", "\ntarget": "_target", "\nall": ""}
        tables.append(
            _sections(sections, {n + end: k + key for n, k in DECISIONS.items() for end, key in ends.items()})
        )
    machines = _table("machine", "part")
    columns = OMEGAS | (DECISIONS if "f1" in result else {})
    for column in columns:
        machines.add_column(column, justify="right")
    rows = [(m, part, row) for m, mine in result["machines"].items() for part, row in mine["parts"].items()]
    rows += [("all", part, row) for part, row in result["parts"].items()]
    if len(result["parts"]) > 1:
        rows.append(("all", "both", result))
    for machine, part, row in rows:
        values = (_percent(row.get(key)) for key in columns.values())
        machines.add_row(machine, part, *values, style="bold" if machine == "all" else None)
    return [*tables, machines]


def _sections(sections: list[tuple[str, dict[str, Any]]], columns: dict[str, str]) -> "Table":
    table = _table("machine", "section")
    present = {name: key for name, key in columns.items() if any(key in section for _, section in sections)}
    for name in present:
        table.add_column(name, justify="right")
    for machine, section in sections:
        values = (_percent(section.get(key)) for key in present.values())
        table.add_row(machine, f"{section['section']:02d}", *values)
    return table


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
