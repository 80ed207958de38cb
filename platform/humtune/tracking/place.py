"""Where MLflow keeps its runs, and how to reach it: the URI, the client, the lock around both."""

import hashlib
import logging
import os
import re
import shlex
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from filelock import FileLock

from humtune.errors import HumtuneError, UsageError
from humtune.layout import ARTIFACTS, DATABASE
from humtune.storage import Storage
from humtune.tracking.database import make_ready, other_version, sqlite_file, sqlite_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

VARIABLE = "MLFLOW_TRACKING_URI"
DATABASE_RETRIES = 3  # of a database that doesn't answer: a second in all, and the whole call is tried again

_ENVIRONMENT = {  # what a user has set wins
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the whole call is tried again: no need to wait for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a request and two lines for every trial that ends
}
_LOGGERS = ("mlflow", "alembic", "urllib3.connectionpool")  # what goes wrong comes as an exception too


def tracking_uri(storage: Storage) -> str:
    """The MLflow that mirrors a storage: MLFLOW_TRACKING_URI, or else `mlflow.db` in the storage itself."""
    if uri := os.environ.get(VARIABLE):
        return uri
    if not storage.is_local:
        raise UsageError(
            f"MLflow can't keep its database in {storage.uri}: set {VARIABLE} to a tracking server, "
            "for example http://localhost:5000"
        )
    return sqlite_uri(storage.path(DATABASE))


def is_server(uri: str) -> bool:
    """Whether a server stands behind the URI, and not a database that we write ourselves."""
    return uri.startswith(("http://", "https://", "databricks", "uc:"))


def artifact_place(uri: str, storage: Storage, search: str) -> str | None:
    """Where a search's artifacts go: beside the ledger, or where the server (None) puts them."""
    if is_server(uri):
        return None
    if storage.is_local:  # quoted: MLflow takes a plain path for a quoted one
        return storage.path(f"{ARTIFACTS}/{search}").as_uri()
    return f"{storage.uri}/{ARTIFACTS}/{quote(search)}"


def readable(uri: str) -> str:
    """The URI without its password."""
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":***@") if password else uri


def browse(uri: str) -> str:
    """What to open or to run to see the runs: the server's address, or the command that starts one."""
    if is_server(uri):
        return readable(uri)
    return f"mlflow ui --backend-store-uri {in_shell(uri)}"


def in_shell(uri: str) -> str:
    """The URI in a command, without its password."""
    return f'"${VARIABLE}"' if os.environ.get(VARIABLE) == uri else shlex.quote(readable(uri))


def connect(uri: str) -> "MlflowClient":
    """A client of that MLflow; a missing sqlite database is made. Call it inside `exclusive`."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for logger in _LOGGERS:  # after the import, which sets their levels
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    if not is_server(uri):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = DATABASE_RETRIES  # no setting, and minutes without a word
    if database := sqlite_file(uri):
        make_ready(database)
    return MlflowClient(tracking_uri=uri)


def complaint(uri: str, error: Exception) -> HumtuneError | None:
    """What MLflow, its database or a missing driver of it says, in one line; None where they said nothing."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if not isinstance(error, MlflowException | SQLAlchemyError | ImportError):
        return None
    root: BaseException = error
    while inner := root.__cause__ or root.__context__:
        root = inner
    if isinstance(root, ConnectionError | TimeoutError | socket.gaierror):
        return HumtuneError(f"MLflow at {readable(uri)} does not answer: {root.strerror or root}")
    said = " ".join(str(error).split())
    if "out-of-date database schema" in said:
        found = re.search(r"found version (\w+)", said)
        return HumtuneError(
            f"MLflow's database {readable(uri)} {other_version(in_shell(uri), found and found[1])}"
        )
    return HumtuneError(f"MLflow at {readable(uri)}: {said[:300]}")


@contextmanager
def exclusive(uri: str) -> Iterator[None]:
    """Let one process at a time write to an MLflow.

    Two that make the tables of a fresh sqlite database break it, and two that look up a trial's run
    before they create it create it twice.
    """
    if database := sqlite_file(uri):
        lock = database.with_name(f"{database.name}.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
    else:
        mark = hashlib.sha256(f"{os.getuid()} {uri}".encode()).hexdigest()[:16]
        lock = Path(tempfile.gettempdir()) / f"humtune-mlflow-{mark}.lock"
    with FileLock(lock):
        yield
