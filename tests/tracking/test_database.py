"""MLflow's database file: whole or not at all, wherever it lies and whenever its maker is killed."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hostile import HOSTILE_NAMES
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event
from sqlalchemy.engine import Engine

from humtune.errors import HumtuneError
from humtune.ledger import Ledger
from humtune.tracking import sync, tracking_uri
from humtune.tracking.database import make_ready, sqlite_file, sqlite_uri
from humtune.tracking.place import connect, exclusive

KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from humtune.tracking.place import connect

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "rename":
    Path.rename = die
else:
    left = int(sys.argv[2])
    def count(*_):
        global left
        left -= 1
        if not left:
            die()
    event.listen(Engine, "after_cursor_execute", count)
connect(sys.argv[1])
"""


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"mlflow.db.lock"}


@pytest.fixture
def unfinished(tmp_path: Path):
    """Make a database as MLflow leaves it where its migration is broken off after so many statements."""

    def make(path: Path, statements: int) -> None:
        def count(*_: object) -> None:
            nonlocal statements
            statements -= 1
            if not statements:
                raise KeyboardInterrupt

        event.listen(Engine, "after_cursor_execute", count)
        try:
            SqlAlchemyStore(sqlite_uri(path), str(tmp_path))
        except KeyboardInterrupt:
            SqlAlchemyStore._engine_map.pop(sqlite_uri(path)).dispose()
        finally:
            event.remove(Engine, "after_cursor_execute", count)

    return make


@pytest.mark.integration
@pytest.mark.parametrize("moment", ["8", "700", "rename"])
def test_a_kill_while_it_is_made_leaves_none_and_the_next_call_makes_it(tmp_path: Path, moment: str) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    killed = subprocess.run([sys.executable, "-c", KILLED, uri, moment], cwd=tmp_path, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert "mlflow.db" not in files(tmp_path)
    assert ".mlflow.db.draft" in files(tmp_path)
    assert connect(uri).get_experiment_by_name("Default")
    assert files(tmp_path) == {"mlflow.db"}


@pytest.mark.slow
@pytest.mark.parametrize("statements", [2, 60, 1200])
def test_one_that_was_left_half_made_is_made_anew(ledger: Ledger, same, unfinished, statements: int) -> None:
    path = ledger.storage.path("mlflow.db")
    unfinished(path, statements)
    uri = f"sqlite:///{path}"
    assert sync(ledger, uri=uri).created == 8
    same(uri, ledger)


@pytest.mark.slow
def test_an_empty_file_is_no_database_yet_and_a_link_stays_one(tmp_path: Path) -> None:
    real = tmp_path / "real.db"
    real.touch()
    (tmp_path / "mlflow.db").symlink_to(real)
    make_ready(tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").is_symlink()
    assert "runs" in tables(real)


def test_what_sqlite_left_of_a_database_that_is_gone_does_not_spoil_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA journal_mode = WAL")
        old.execute("CREATE TABLE foreign_one (x)")
        old.commit()
        shutil.copy(f"{path}-wal", tmp_path / "kept")
    path.unlink()
    (tmp_path / "kept").rename(f"{path}-wal")
    Path(f"{path}-journal").write_bytes(b"left")
    make_ready(path)
    assert "foreign_one" not in tables(path)
    assert files(tmp_path) == {"mlflow.db"}


def test_one_that_holds_anything_is_never_touched(ledger: Ledger, uri: str) -> None:
    sync(ledger, uri=uri)
    path = sqlite_file(uri)
    before = path.read_bytes()
    make_ready(path)
    assert path.read_bytes() == before


def test_tables_of_somebody_else_stay(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE studies (name)")
    make_ready(path)
    assert tables(path) == {"studies"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "DROP TABLE scorers",
            "is of an older MLflow: keep a copy of it, then run: mlflow db upgrade '?sqlite:",
        ),
        ("UPDATE alembic_version SET version_num = '451aebb31d03'", "an older MLflow: .* mlflow db upgrade"),
        ("UPDATE alembic_version SET version_num = 'ffffffffffff'", r"a newer MLflow than 3\.\d+.*: install"),
    ],
)
def test_one_of_another_mlflow_is_one_sentence_and_stays_as_it_is(
    ledger: Ledger, uri: str, change: str, said: str
) -> None:
    path = sqlite_file(uri)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(change)
        database.commit()
    before = path.read_bytes()
    with pytest.raises(HumtuneError, match=said) as caught:
        sync(ledger, uri=uri)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_one_sentence(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("no database, but longer than the header of one: " * 100)
    with pytest.raises(HumtuneError, match=rf"{path} is damaged, or no database .*: move it away"):
        sync(ledger, uri=f"sqlite:///{path}")


@pytest.mark.integration
def test_two_processes_at_once_make_one(tmp_path: Path) -> None:
    code = (
        "import sys; from humtune.tracking.place import connect, exclusive\n"
        "with exclusive(sys.argv[1]): print(connect(sys.argv[1]).create_experiment(sys.argv[2]))"
    )
    uri = f"sqlite:///{tmp_path}/new folder/mlflow.db"
    started = [
        subprocess.Popen([sys.executable, "-c", code, uri, str(i)], stderr=subprocess.PIPE) for i in range(2)
    ]
    for process in started:
        _, error = process.communicate(timeout=200)
        assert process.returncode == 0, error.decode()
    with exclusive(uri):
        assert {e.name for e in connect(uri).search_experiments()} == {"Default", "0", "1"}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_path_s_uri_leads_to_that_path(name: str) -> None:
    path = Path("/x") / name / "mlflow.db"
    assert sqlite_file(sqlite_uri(path)) == path


def test_what_uris_name_no_file() -> None:
    for uri in ("sqlite://", "sqlite:///:memory:", "postgresql://host/x", "http://host", "sqlite:nonsense"):
        assert sqlite_file(uri) is None
    assert sqlite_file("sqlite:///runs/mlflow.db?timeout=5") == Path("runs/mlflow.db")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["100% #1", "%41%2e", "what?", "a?b=c"])
def test_a_storage_of_any_name_holds_its_own_mlflow(
    new_ledger, record, write, same, empty_database: Path, tmp_path: Path, name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    ledger = new_ledger(tmp_path / name, name=name.replace("/", ""), machines=("fan",))
    write(ledger, record("fan", 0))
    uri = tracking_uri(ledger.storage)
    with exclusive(uri):
        connect(uri)  # made in that very place
    assert sync(ledger).created == 1
    same(uri, ledger)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [p.name for p in (tmp_path / name / "mlflow-artifacts" / name).rglob("scores.png")] != []
    client = connect(uri)
    [run] = client.search_runs(
        [client.get_experiment_by_name(name).experiment_id], "tags.`humtune.best` = 'true'"
    )
    assert Path(client.download_artifacts(run.info.run_id, "config.json")).is_file()
