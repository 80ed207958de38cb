"""submit: a search's results as a DCASE submission."""

from pathlib import Path
from typing import Annotated

import typer

from humtune.cli.options import DEFAULT_STORAGE, SearchName, StorageUri


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
    from humtune.ledger import Ledger
    from humtune.names import command, console, shown
    from humtune.storage import Storage

    ledger = Ledger.open(Storage(storage), name)  # before the slow imports: a misspelt name is told at once
    from humtune.report.submission import write_submission

    written = write_submission(ledger, out, ensembles=ensemble)
    screen, errors = console(), console(stderr=True)
    files = f"{len(written.files)} files in {shown(out)}"
    screen.print(f"{', '.join(written.trials)}: {written.clips} clips, {files}", soft_wrap=True)
    for line in written.notes:
        screen.print(shown(line), soft_wrap=True)
    for line in (*written.skipped, *written.failed):
        errors.print(shown(line), soft_wrap=True)
    next_one = command("evaluate", out, truth=ledger.plan.data)
    screen.print(f"{next_one}   holds it against the labels", soft_wrap=True)
    raise typer.Exit(1 if written.failed else 0)
