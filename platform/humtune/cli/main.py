"""The command `humtune`: every command and its group, and how errors reach a person."""

import atexit
import errno
import gc
import os
import sys
from importlib.util import find_spec

import typer

from humtune import __version__
from humtune.cli import data, dcase, distill, ensemble, export, learn, report, score, search, threshold
from humtune.environment import prepare
from humtune.errors import HumtuneError, in_a_line
from humtune.names import SOURCE, console, shown

app = typer.Typer(
    help="Searches, per machine, for the detector that best tells when it goes wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(data.app, name="data", help="Make, check and look at recordings.")
app.command()(learn.learn)
app.command()(search.search)
app.command()(search.resume)
app.command()(search.stop)
app.command()(report.runs)
app.command()(report.show)
app.command()(report.report)
app.command()(report.track)
app.command()(report.optuna)
app.command()(ensemble.ensemble)
app.command()(distill.distill)
app.command()(export.export)
app.command()(score.score)
app.command()(score.review)
app.command()(threshold.threshold)
app.command()(dcase.evaluate)
app.command()(dcase.submit)


@app.command()
def version() -> None:
    """Print humtune's version."""
    print(__version__)


def main() -> None:
    """Run the command line; errors that a user can mend are one line, not a traceback."""
    atexit.register(gc.freeze)  # else Python looks for cycles in all that it holds as it ends: five seconds
    try:
        prepare()
        app()
    except HumtuneError as error:
        _complain(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "humtune").partition(".")[0] == "humtune":
            raise
        _complain(f"this needs {error.name}, which is not installed here; {_bringing(error)} brings it", 1)
    except OSError as error:  # no permission, a full disk, a file that is gone
        if error.errno == errno.EPIPE:  # who reads has enough
            _leave_quietly()
        if error.filename is None and error.errno is None:
            if "torchaudio" not in str(error):
                raise
            _complain(
                "torchaudio can't be loaded beside the PyTorch that is installed here (one for CUDA, one for "
                "CPUs?); install both anew, together and from one place",
                1,
            )
        _complain(in_a_line(error), 2 if error.errno == errno.ENAMETOOLONG else 1)


def _bringing(missing: ModuleNotFoundError) -> str:
    """What brings a missing package: all of humtune, where that isn't there, else the package itself."""
    if find_spec("ray") is None:
        return f"pip install {SOURCE}, humtune's own folder,"
    return f"pip install {str(missing.name).partition('.')[0]}"


def _leave_quietly() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more as it ends
    sys.exit(1)


def _complain(message: str, code: int) -> None:
    from rich.text import Text

    line = Text.assemble(("humtune:", "bold red"), " ", shown(message))
    console(stderr=True).print(line, soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
