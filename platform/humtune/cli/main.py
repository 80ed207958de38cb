"""The command `humtune`: every command and its group, and how errors reach a person."""

import errno
import sys

import typer
from rich.console import Console
from rich.markup import escape

from humtune import __version__
from humtune.cli import data, ensemble, evaluate, export, report, score, search, submit, threshold, track
from humtune.errors import HumtuneError

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)

app = typer.Typer(
    help="Searches, per machine, for the detector that best hears it go wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(data.app, name="data", help="Make, check and look at recordings.")
app.command()(search.search)
app.command()(search.resume)
app.command()(search.stop)
app.command()(report.runs)
app.command()(report.show)
app.command()(report.report)
app.command()(track.track)
app.command()(ensemble.ensemble)
app.command()(export.export)
app.command()(score.score)
app.command()(threshold.threshold)
app.command()(evaluate.evaluate)
app.command()(submit.submit)


@app.command()
def version() -> None:
    """Print humtune's version."""
    print(__version__)


def main() -> None:
    """Run the command line; errors that a user can mend are one line, not a traceback."""
    try:
        app()
    except HumtuneError as error:
        _complain(str(error), error.exit_code)
    except OSError as error:  # no permission, a full disk, a file that is gone
        if error.filename is None and error.errno not in _OF_THE_DISK:
            raise
        _complain(": ".join(str(part) for part in (error.filename, error.strerror) if part), 1)


def _complain(message: str, code: int) -> None:
    Console(stderr=True).print(f"[bold red]humtune:[/] {escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
