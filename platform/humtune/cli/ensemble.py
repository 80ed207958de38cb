"""ensemble: several trials of a machine as one detector."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.options import DEFAULT_STORAGE, StorageUri, loading

if TYPE_CHECKING:
    from humtune.results.ensembles.record import EnsembleRecord

SHOWN = 3  # files on the screen: the page, the table, the figure


def ensemble(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A search; without one, imports alone.")
    ] = None,
    machines: Annotated[str | None, typer.Option(help="Only these, with commas between them.")] = None,
    members: Annotated[
        int | None,
        typer.Option(min=1, help="A clip is scored with so many at most: 8; without labels, 16 trials."),
    ] = None,
    imports: Annotated[
        list[Path] | None,
        typer.Option(
            "--import", metavar="DIR", help="Score files of another system, or a folder of such folders."
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Labels of imports alone, where names tell none.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Files of imports alone.")] = None,
    exportable: Annotated[
        bool, typer.Option("--exportable", help="Only members that can leave as a model.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--every", help="Chosen and weighted without labels, though there are some.")
    ] = False,
    calibration: Annotated[
        str | None,
        typer.Option(help="Scale: gamma (unsaid, with labels), compressed (unsaid, without) or standard."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Choose each machine's ensemble out of its finished trials, and tell what it is worth.

    Without labels up to 16 trials score together, and count as far as all agree. It is kept beside the
    search: `show NAME fan-ensemble`, `report` and `submit --ensemble` know it. With --import, other systems'
    score files are members too, and the ensemble is transductive.
    Example: humtune ensemble first --members 4
    """
    with loading():
        from humtune.ledger import Ledger
        from humtune.names import command, split_names
        from humtune.results.ensembles.make import check_words, join_systems, make_ensembles
        from humtune.storage import Storage

    wanted = split_names(machines)
    kind = check_words(name, calibration, imports or [], truth=truth, out=out, exportable=exportable)
    if name is None:
        joined = join_systems(imports or [], truth=truth, machines=wanted, members=members, every=every)
        from humtune.report.submission import write_joined

        paths = [str(path) for path in write_joined(joined, out)] if out else []
        _print([record for record, *_ in joined.values()], paths, as_json=as_json)
        return
    ledger = Ledger.open(Storage(storage), name)
    made = make_ensembles(
        ledger,
        machines=wanted,
        members=members,
        imports=imports or [],
        exportable=exportable,
        calibration=kind,
        every=every,
    )
    from humtune.report.ensembles import write_ensembles

    files = [f"{ledger.storage.uri}/{file}" for file in write_ensembles(ledger)]
    _print(made.records, files, skipped=made.skipped, as_json=as_json)
    if not as_json:
        first = command("show", name, made.records[0].id, storage=ledger.storage.option)
        typer.echo(f"{first}   its members and weights")


def _print(
    records: "tuple[EnsembleRecord, ...] | list[EnsembleRecord]",
    files: list[str],
    *,
    skipped: tuple[str, ...] = (),
    as_json: bool,
) -> None:
    from humtune.names import console, shown
    from humtune.report.ensembles import SHORT_LEGEND, csv_rows, to_terminal

    if as_json:
        result = {
            "ensembles": {r.id: [m.name for m in r.members] for r in records},
            "transductive": any(r.transductive for r in records),
            "lines": csv_rows(records),
            "skipped": skipped,
            "files": files,
        }
        typer.echo(json.dumps(result, indent=1))
        return
    screen = console()
    for part in to_terminal(records):
        screen.print(part)
    screen.print()
    for line in SHORT_LEGEND:
        screen.print(line, style="dim")
    for line in skipped:
        screen.print(line, soft_wrap=True)
    for file in files[:SHOWN]:
        screen.print(f"written: {shown(file)}", soft_wrap=True)
    if len(files) > SHOWN:
        screen.print(f"written: {len(files) - SHOWN} more beside them")
