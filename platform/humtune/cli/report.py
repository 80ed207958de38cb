"""runs, show, report, track and optuna: look at what a search has found, here, in MLflow or by Optuna."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.options import DEFAULT_STORAGE, SearchName, StorageUri, loading
from humtune.names import console, count, shown, word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from humtune.ledger import Ledger

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Paper = Annotated[
    bool, typer.Option("--paper", help="The paper's table or figure that the search's space stands for.")
]
Published = Annotated[
    bool, typer.Option("--published", help="The published systems of the search, beside what was published.")
]


def report(
    name: SearchName,
    paper: Paper = False,
    published: Published = False,
    as_json: AsJson = False,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Print and write the table of a search's best configurations, with plots beside it.

    With --paper, the result of the paper that its space reproduces, ours beside theirs; with --published,
    the systems of `systems` that it ran. JSON has Ω, AUC and pAUC in percent. Example: humtune report fans
    """
    with loading():
        from humtune.formatting.columns import SHORT_LEGEND
        from humtune.ledger import Ledger
        from humtune.report import point_table
        from humtune.report.published import pointer
        from humtune.report.table import to_terminal
        from humtune.report.write import write_report
        from humtune.results.rows import searched_settings
        from humtune.storage import Storage

    ledger = Ledger.open(Storage(storage), name)
    if paper:
        _report_paper(ledger, as_json=as_json)
        return
    if published:
        _report_published(ledger, as_json=as_json)
        return
    written = write_report(ledger)
    files = [f"{ledger.storage.uri}/{file}" for file in written.files]
    if as_json:
        settings = searched_settings(written.rows)
        rows = [row.to_percent(settings) for row in (*written.rows, *written.others)]
        typer.echo(json.dumps({"search": name, "rows": rows, "files": files}, indent=1))
        return
    screen = console()
    for table in to_terminal(written, width=screen.width):
        screen.print(table, "")
    if any(point.score_types for point in written.points):
        screen.print(point_table.to_terminal(written.points), "")
    for line in (*SHORT_LEGEND, *pointer([row.machine for row in written.rows])):
        screen.print(line, style="dim")
    for note in (*(row.note for row in written.rows if row.note), *written.notes):
        screen.print(note)
    for file in files[:4]:
        screen.print(f"written: {shown(file)}", soft_wrap=True)


def _report_paper(ledger: "Ledger", *, as_json: bool) -> None:
    from humtune.report.paper.page import csv_lines, to_screen, why
    from humtune.report.paper.write import write_paper

    written = write_paper(ledger)
    page, study = written.page, written.study
    files = [f"{ledger.storage.uri}/{file}" for file in written.files]
    if as_json:
        result = {"search": ledger.name, "result": page.name, "lines": csv_lines(page, study), "files": files}
        typer.echo(json.dumps(result, indent=1))
        return
    screen = console()
    screen.print(page.title, style="bold")
    if page.lines:
        screen.print(to_screen(page, study), "")
    for note in why(study):
        screen.print(note, style="dim")
    for file in files:
        screen.print(f"written: {shown(file)}", soft_wrap=True)


def _report_published(ledger: "Ledger", *, as_json: bool) -> None:
    from humtune.report.systems import to_dict, to_terminal, write_systems
    from humtune.search.space import carried_systems

    written = write_systems(ledger, carried_systems())
    files = [f"{ledger.storage.uri}/{file}" for file in written.files]
    if as_json:
        lines = [to_dict(line) for line in written.lines]
        typer.echo(json.dumps({"search": ledger.name, "lines": lines, "files": files}, indent=1))
        return
    screen = console()
    screen.print(to_terminal(written.lines), "")
    for note in written.notes:
        screen.print(note, style="dim")
    for file in files:
        screen.print(f"written: {shown(file)}", soft_wrap=True)


def runs(as_json: AsJson = False, storage: StorageUri = DEFAULT_STORAGE) -> None:
    """List the searches there are: machines, trials by state, best Ω (official, selecting clips).

    Example: humtune runs --storage s3://bucket/humtune
    """
    with loading():
        from humtune.report.searches import summarise, to_terminal
        from humtune.storage import Storage

    place = Storage(storage)
    found = summarise(place)
    if as_json:
        typer.echo(json.dumps([summary.to_dict() for summary in found], indent=1))
    elif found:
        console().print(to_terminal(found))
    else:
        console().print(f"no searches in {shown(place.uri)}", soft_wrap=True)


def show(
    name: SearchName,
    trial: Annotated[
        str | None, typer.Argument(metavar="TRIAL", help="A trial or an ensemble: fan-00012, fan-ensemble.")
    ] = None,
    as_json: AsJson = False,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Show one trial: figures per score type, configuration, curves, files. Without TRIAL, list them all.

    JSON is the search's own record, with fractions. Example: humtune show fans fan-00012
    """
    with loading():
        from humtune.ledger import Ledger
        from humtune.names import command
        from humtune.report import leaderboard, trials
        from humtune.report.ensembles import ensemble_lines
        from humtune.report.searches import lineage
        from humtune.storage import Storage

    ledger = Ledger.open(Storage(storage), name)
    screen = console()
    if trial and trial.endswith("-ensemble"):
        _show_ensemble(ledger, trial, as_json=as_json)
        return
    if trial:
        record = ledger.read(trial)
        if as_json:
            typer.echo(json.dumps(trials.trial_dict(ledger, record), indent=1))
        else:
            _print(trials.show_trial(ledger, record))
        return
    records = list(ledger.records())
    if as_json:
        typer.echo(json.dumps(trials.search_dict(ledger, records), indent=1))
    else:
        screen.print(trials.list_best(records), "", trials.list_trials(records), sep="\n")
        if lines := leaderboard.leaderboard(ledger, records, measure=False):
            screen.print("", leaderboard.to_terminal(lines), sep="\n")
            if not any(line.cross_fitted.value for line in lines) and any(line.omega.value for line in lines):
                again = command("report", name, storage=ledger.storage.option)
                screen.print(f"{again}   what is cross-fitted, and what each kind brings", soft_wrap=True)
        for line in (*lineage(ledger), *ensemble_lines(ledger)):
            screen.print(line, soft_wrap=True)


def _show_ensemble(ledger: "Ledger", name: str, *, as_json: bool) -> None:
    from humtune.report.ensembles import ensemble_dict, show_ensemble
    from humtune.results.ensembles.record import SUFFIX, read_ensemble

    record = read_ensemble(ledger, name.removesuffix(SUFFIX))
    if as_json:
        typer.echo(json.dumps(ensemble_dict(ledger, record), indent=1))
    else:
        _print(show_ensemble(ledger, record))


def _print(parts: "Iterable[RenderableType]") -> None:
    """Tables as wide as the screen, and lines as they are: a path or a name is to be copied whole."""
    from rich.table import Table

    screen = console()
    for part in parts:
        screen.print(part, soft_wrap=not isinstance(part, Table))


def track(name: SearchName, storage: StorageUri = DEFAULT_STORAGE) -> None:
    """Bring MLflow up to date with the search's own record.

    Safe to repeat: what is there already stays as it is. MLFLOW_TRACKING_URI says where MLflow is;
    without it, in the storage. Example: humtune track fans
    """
    with loading():
        from humtune.ledger import Ledger
        from humtune.names import console
        from humtune.sounds.parallel import tracked
        from humtune.storage import Storage
        from humtune.tracking import browse, readable, sync, tracking_uri

    ledger = Ledger.open(Storage(storage), name)
    uri = tracking_uri(ledger.storage)
    screen = console()
    screen.print(f"MLflow at {readable(uri)}", soft_wrap=True)
    synced = sync(ledger, uri=uri, progress=lambda trials: tracked(trials, total=len(trials), title=name))
    done = f"{count(synced.created, 'run')} created, {synced.updated} updated, {synced.unchanged} unchanged"
    screen.print(f"{name}: {done}", soft_wrap=True)
    screen.print(f"to browse: {browse(uri)}", soft_wrap=True)


def optuna(
    name: SearchName,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The journal; NAME.optuna.log unless said.")
    ] = None,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Write a search's trials for Optuna's tools: a journal file with a study of each machine.

    Of a search that runs too: again, it adds the trials that have ended since. Example: humtune optuna fans
    """
    with loading():
        from humtune.ledger import Ledger
        from humtune.search.journal import write_journal
        from humtune.search.rebuilding import study_name
        from humtune.storage import Storage

    ledger = Ledger.open(Storage(storage), name)
    path = out or Path(f"{name}.optuna.log")
    screen = console()
    for machine, added in write_journal(ledger, path):
        screen.print(f"{study_name(ledger, machine)}: {count(added, 'trial')} added", soft_wrap=True)
    screen.print(f"written: {shown(path)}", soft_wrap=True)
    screen.print(f"optuna-dashboard {word(path)}   in a browser, once it is installed", soft_wrap=True)
