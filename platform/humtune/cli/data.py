"""humtune data: import, make, fetch, check and count data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.options import BadFolder, Channel, HealthyFolder, MachineName, loading, read_channel

if TYPE_CHECKING:
    from humtune.sounds.check import CheckReport
    from humtune.sounds.importing import Imported

app = typer.Typer(help="Import, make, fetch and check data sets of machine sounds.", no_args_is_help=True)


@app.command("import")
def import_(
    folder: HealthyFolder,
    out: Annotated[Path, typer.Option(metavar="DATA", help="the data set that the machine becomes part of")],
    bad: BadFolder = None,
    machine: MachineName = None,
    channel: Channel = None,
    window: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="about how long the pieces are that recordings are cut into"),
    ] = 10.0,
) -> None:
    """Make a data set of any folder of recordings: any names, depth, format, rate and length.

    What can't be used is named and left out. Again with more files, those before stay where they were.
    Example: humtune data import pump --out recordings --bad pump-bad
    """
    from humtune.names import command

    with loading():
        from humtune.sounds.importing import import_folder

    imported = import_folder(
        folder, out, machine=machine, bad=bad, channel=read_channel(channel), window=window
    )
    print_imported(imported)
    typer.echo(f"Next: {command('data check', out)}")


def print_imported(imported: "Imported") -> None:
    """What was imported, in a few lines; what was left out to standard error."""
    from humtune.names import console, shown

    screen, errors = console(), console(stderr=True)
    if not imported.is_new:
        screen.print(f"{imported.machine}: the same files as before, which lie there already", soft_wrap=True)
    for line in imported.record.left_out:
        errors.print(f"left out: {shown(line)}", soft_wrap=True)
    for line in (*imported.record.notes, *imported.record.summary()):
        screen.print(f"{imported.machine}: {shown(line)}", soft_wrap=True)


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder for the data set")],
    machines: Annotated[str, typer.Option(help="kinds of machine, with commas between")] = "fan,bearing",
    sections: Annotated[int, typer.Option(help="units of each kind; the first half are dev_data")] = 6,
    clips: Annotated[int, typer.Option(help="training clips a section, source domain")] = 60,
    target_clips: Annotated[int, typer.Option(help="training clips a section, target domain")] = 6,
    test_per_cell: Annotated[int, typer.Option(help="test clips a section, domain and label")] = 10,
    seconds: Annotated[float, typer.Option(help="length of a clip")] = 4.0,
    severity: Annotated[float, typer.Option(help="how bad the faults are: 0.5 is hard, 2 is easy")] = 1.0,
    seed: Annotated[int, typer.Option(help="the same seed gives the same sounds")] = 0,
) -> None:
    """Make a small data set of synthetic machines in the DCASE 2022 layout.

    Example: humtune data synth recordings --machines fan,valve --clips 100
    """
    from humtune.names import command, shown, split_names

    with loading():
        from humtune.sounds.synthetic import Sizes, synthesise

    sizes = Sizes(sections, clips, target_clips, test_per_cell, seconds)
    names = split_names(machines) or []
    synthesise(folder, machines=names, sizes=sizes, severity=severity, seed=seed)
    typer.echo(f"{shown(folder)}: {', '.join(names)}. Next: {command('search', 'quick', data=folder)}")


@app.command()
def fetch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="where dev_data and eval_data go")],
    year: Annotated[int, typer.Option(help="DCASE Task 2 of 2020 to 2025")] = 2022,
    machines: Annotated[str, typer.Option(help="kinds of machine, with commas between; all if empty")] = "",
    evaluation: Annotated[
        bool, typer.Option("--eval/--no-eval", help="with eval_data, or dev_data only")
    ] = True,
    keep_zips: Annotated[bool, typer.Option("--keep-zips", help="keep the archives in DIR/zips")] = False,
) -> None:
    """Download recordings of DCASE Task 2 from Zenodo, check and unpack them.

    A transfer that broke off goes on where it was; what is there already is left alone.
    Example: humtune data fetch recordings --year 2022 --machines fan,valve
    """
    from humtune.names import command, split_names

    with loading():
        from humtune.sounds.download.fetch import fetch as bring

    wanted = split_names(machines)
    result = bring(folder, year=year, machines=wanted, evaluation=evaluation, keep_zips=keep_zips)
    for heading, archives in (("fetched", result.new), ("already there", result.there)):
        if archives:
            typer.echo(f"{heading}: {', '.join(archive.name for archive in archives)}")
    if result.truth:
        typer.echo(f"The truth about the evaluation clips is not in these archives: copy {result.truth}.")
    typer.echo(f"Next: {command('data check', folder)}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a data set, or a folder that holds several")],
    channel: Channel = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
) -> None:
    """Count clips per machine, section, domain and split, name every bad file and folder, and what is odd.

    Exits with 1 where there are any: a search refuses them. Notes tell what a search makes of the rest.
    Example: humtune data check recordings
    """
    import json

    from humtune.names import shown, word

    with loading():
        from humtune.sounds.check import check_dataset
        from humtune.sounds.dcase import find_datasets

    read = read_channel(channel)
    reports = [check_dataset(dataset, channel=read) for dataset in find_datasets(folder)]
    if as_json:
        typer.echo(json.dumps([report.to_dict() for report in reports], indent=1))
    else:
        for report in reports:
            _print(report)
        if len(reports) > 1:
            first = word(reports[0].path)
            typer.echo(f"{shown(folder)}: {len(reports)} data sets; a search takes one, --data {first}")
    raise typer.Exit(1 if any(report.bad for report in reports) else 0)


def _print(report: "CheckReport") -> None:
    from rich.table import Table

    from humtune.names import console, shown

    screen = console()
    table = Table()
    table.add_column("machine", overflow="fold")
    for name in ("part", "section", "split", "domain", "label"):
        table.add_column(name)
    table.add_column("clips", justify="right")
    for cell, clips in sorted(report.counts.items()):
        section = f"{cell.section:02d}"
        table.add_row(cell.machine, cell.part, section, cell.split, cell.domain, cell.label, str(clips))
    screen.print(shown(report.path), style="italic", soft_wrap=True)
    screen.print(table)
    for line in report.summary():
        screen.print(shown(line), soft_wrap=True)
