"""What a process lacks in its environment: defaults for libraries, a home, streams that take any text.

docs/environment.md lists the variables.
"""

import codecs
import io
import os
import pwd
import sys
import tempfile
from pathlib import Path

from humtune.errors import UsageError

DEFAULTS = {  # what a user has set wins
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # or Ray rebuilds the environment of `uv run` for each worker
    "RAY_USAGE_STATS_ENABLED": "0",
    "ORT_DISABLE_TELEMETRY": "1",  # or onnxruntime keeps a number of this computer, and warns where it can't
    "RAY_AIR_NEW_OUTPUT": "0",  # with it, Tune prints a table of its own, asked or not
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # nobody reads Tune's own csv and json files
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a trial's record says why it failed
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # nor Tune's snapshots, which grow with every trial
}
NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # where Python looks for the user's name
PLAIN = {
    "Ω": "Omega",
    "σ": "sigma",
    "μ": "mu",
    "β": "beta",
    "α": "alpha",
    "²": "2",
    "±": "+-",
    "×": "x",
    "–": "-",
    "—": "-",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "·": "*",
    "−": "-",
    "√": "sqrt",
    "→": "->",
}


def prepare() -> None:
    """Give the libraries what they need and the user has not set; a UsageError where nothing could work."""
    set_defaults()
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError("the folder that you are in is gone; cd to another one") from error
    _name_the_user()
    _reach_servers_here()
    _take_any_text()


def set_defaults() -> None:
    """Settings of Ray and Tune, where the user has set none."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def _name_the_user() -> None:
    """A name and home for a user whom the computer doesn't know, and for matplotlib a folder to write to.

    As in a container that is run under any number; PyTorch, MLflow and Ray ask for both.
    """
    known = True
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        known = False
        if not any(os.environ.get(name) for name in NAMES):
            os.environ["USER"] = f"uid{os.getuid()}"
    if not (known or os.environ.get("HOME")):
        os.environ["HOME"] = _own_folder()
    home = Path(os.environ.get("HOME") or Path.home())
    caches = (os.environ.get("XDG_CONFIG_HOME") or home / ".config", os.environ.get("XDG_CACHE_HOME") or home)
    if "MPLCONFIGDIR" not in os.environ and not all(_is_writable(Path(folder)) for folder in caches):
        os.environ["MPLCONFIGDIR"] = _own_folder()


def _is_writable(folder: Path) -> bool:
    """Whether something can be put into a folder, which need not be there yet."""
    there = next((f for f in (folder, *folder.parents) if f.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _own_folder() -> str:
    """A folder among the temporary ones that nobody else may write to."""
    folder = Path(tempfile.gettempdir()) / f"humtune-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        return tempfile.mkdtemp(prefix="humtune-")
    return str(folder)


def _reach_servers_here() -> None:
    """Ask a proxy for nothing that runs on this computer, such as MLflow at localhost."""
    proxies = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    said = any(name in os.environ for name in ("no_proxy", "NO_PROXY"))
    if any(os.environ.get(name) for name in proxies) and not said:
        os.environ["no_proxy"] = "localhost,127.0.0.1,::1"


def _take_any_text() -> None:
    """Write what a terminal or pipe has no letter for in plain ones, instead of stopping there."""
    codecs.register_error("humtune.plain", plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="humtune.plain")


def plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """What stands for a letter that an encoding lacks: Omega for Ω, else its number after a backslash."""
    if isinstance(error, UnicodeEncodeError):
        letter = error.object[error.start]
        if letter in PLAIN:
            return PLAIN[letter], error.start + 1
        error.end = error.start + 1
    return codecs.backslashreplace_errors(error)
