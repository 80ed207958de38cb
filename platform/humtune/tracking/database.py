"""The sqlite file of an MLflow without a server: what URI it has, and that it is made whole or not at all."""

import os
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from humtune.errors import HumtuneError, UsageError

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection

_SCHEME = "sqlite:///"
_SIBLINGS = ("-journal", "-wal", "-shm")  # of sqlite's own; beside another database they would spoil it
_SEEDS = {"alembic_version", "workspaces"}  # tables whose rows MLflow's migrations write
_PATIENCE = 20.0  # seconds for another process that writes, as MLflow's own


def sqlite_uri(path: Path) -> str:
    """The URI of a database file, whatever its folders are called."""
    if not any(sign in str(path) for sign in "%?"):
        return f"{_SCHEME}{path}"
    # With a driver named, MLflow doesn't take the quoted path for a folder that it has to make.
    uri = f"sqlite+pysqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"
    if sqlite_file(uri) != path:  # SQLAlchemy before 2.1 leaves paths quoted
        raise UsageError(
            f"MLflow can't keep its database in {path.parent}: it wants a path without % and ?; "
            "choose another storage, or set MLFLOW_TRACKING_URI"
        )
    return uri


def sqlite_file(uri: str) -> Path | None:
    """The database file behind a URI; None where there is none."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        path = make_url(uri).database
    except ArgumentError:  # MLflow says what is wrong with it
        return None
    if not path or path == ":memory:" or path.startswith("file:"):
        return None
    return Path(path)


def make_ready(path: Path) -> None:
    """Make a database that isn't there, or was never finished; one that holds anything stays as it is.

    MLflow makes its tables in hundreds of steps, and can't go on with a database that was left between two
    of them. So they are made in a draft beside it, which takes its place when it is whole. Only one process
    at a time may call it. A HumtuneError names a file that is no database, or one of another MLflow.
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    draft, old = (path.with_name(f".{path.name}.{kind}") for kind in ("draft", "old"))
    for left in (draft, old):  # by a process that was killed
        _remove(left)
    if not _is_unfinished(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _create(draft)
        if path.exists():
            path.rename(old)
        for name in _siblings(path):
            name.unlink(missing_ok=True)
        draft.rename(path)
    finally:
        _remove(draft)
        _remove(old)


def other_version(uri: str, found: str | None) -> str:
    """What to do about a database whose tables are not as this MLflow makes them.

    `uri` as a shell takes it, `found` the revision of its tables.
    """
    import mlflow

    revisions = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if found and not list(revisions.glob(f"{found}_*.py")):
        return f"is of a newer MLflow than {mlflow.__version__}: install that one"
    return f"is of an older MLflow: keep a copy of it, then run: mlflow db upgrade {uri}"


def _is_unfinished(path: Path) -> bool:
    """Whether there is no database, or one of MLflow's that nobody has written anything to."""
    from mlflow.store.db.utils import Base  # with all that MLflow keeps

    if not path.exists():
        return True
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE)) as database:
            names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            tables = {name for (name,) in names}
            said = [t for t in tables - _SEEDS if database.execute(f'SELECT 1 FROM "{t}" LIMIT 1').fetchone()]
            revision = _revision(database) if "alembic_version" in tables else None
    except sqlite3.OperationalError as error:
        raise HumtuneError(f"MLflow's database {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise HumtuneError(
            f"MLflow's database {path} is damaged, or no database ({error}): "
            "move it away, and a new one is made"
        ) from error
    known = Base.metadata.tables.keys()
    ours = {t for t in tables if t in known or t.startswith(("alembic_", "_alembic_", "sqlite_"))}
    if not said:
        return ours == tables  # with tables of somebody else it is left to MLflow
    if {"experiments", "runs"} <= tables and not known <= tables:
        raise HumtuneError(
            f"MLflow's database {path} {other_version(shlex.quote(sqlite_uri(path)), revision)}"
        )
    return False


def _revision(database: sqlite3.Connection) -> str | None:
    row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else None


def _create(path: Path) -> None:
    """A database with MLflow's tables and nothing in them, on the disk as a whole."""
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def hasten(connection: "DBAPIConnection", _: object) -> None:
        """Wait for the disk once, at the end, and not after each of hundreds of steps."""
        files = connection.cursor().execute("PRAGMA database_list").fetchall()
        if any(file == str(path) for _, _, file in files):
            connection.cursor().execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", hasten)
    try:
        SqlAlchemyStore(sqlite_uri(path), DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
    finally:
        event.remove(Engine, "connect", hasten)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _siblings(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in _SIBLINGS]


def _remove(path: Path) -> None:
    for name in (path, *_siblings(path)):
        name.unlink(missing_ok=True)
