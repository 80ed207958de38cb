import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from waiting import free_port, wait_for

from humtune.errors import HumtuneError
from humtune.ledger import Ledger
from humtune.records import TrialRecord, TrialState
from humtune.sounds import parallel
from humtune.tracking import Mirror, Tracker, sync

pytestmark = pytest.mark.usefixtures("sketches")

Make = Callable[..., TrialRecord]
Write = Callable[[Ledger, TrialRecord], TrialRecord]
Same = Callable[[str, Ledger], None]


class Outage:
    """An MLflow that can be switched off: the tracker's sync raises, or hangs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = None
        self.calls = self.over = 0
        self.hang: threading.Event | None = None
        real = Tracker.sync

        def call(tracker: Tracker, **how: Any) -> Any:
            self.calls += 1
            if self.hang:
                self.hang.wait()
            if self.error:
                raise self.error
            found = real(tracker, **how)
            self.over += 1
            return found

        monkeypatch.setattr(Tracker, "sync", call)


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    return Outage(monkeypatch)


@pytest.mark.integration
def test_what_is_written_while_the_mirror_is_open_is_in_mlflow_when_it_is_closed(
    small: Ledger, uri: str, record: Make, write: Write, same: Same, outage: Outage
) -> None:
    said: list[str] = []
    with Mirror(small, uri=uri, interval=0.05, warn=said.append) as mirror:
        for epochs in (1, 2):
            write(small, record("fan", 0, state=TrialState.RUNNING, epochs=epochs))
            before = outage.over
            wait_for(lambda so_far=before: outage.over > so_far)
        write(small, record("fan", 0))
    assert mirror.close() == 0
    same(uri, small)
    assert said == []


@pytest.mark.integration
def test_mlflow_away_is_said_once_and_its_return_once(
    ledger: Ledger, uri: str, same: Same, outage: Outage
) -> None:
    said: list[str] = []
    outage.error = HumtuneError("MLflow at http://host does not answer: Connection refused")
    with Mirror(ledger, uri=uri, interval=0.01, warn=said.append):
        wait_for(lambda: outage.calls >= 4)
        assert said == [f"{outage.error}; the search goes on, its record is kept"]
        outage.error = None
        wait_for(lambda: len(said) == 2)
    assert said[1:] == ["MLflow is back and up to date"]
    same(uri, ledger)


def test_mlflow_that_stays_away_leaves_a_word_about_what_is_left(
    ledger: Ledger, tmp_path: Path, outage: Outage
) -> None:
    said: list[str] = []
    outage.error = HumtuneError("MLflow is away")
    mirror = Mirror(ledger, uri=f"sqlite:///{tmp_path}/never.db", interval=0.01, warn=said.append)
    with mirror:
        wait_for(lambda: outage.calls >= 2)
    assert said[-1] == "MLflow is behind by 8 trials: humtune track hums"
    assert len(said) == 2


@pytest.mark.integration
def test_only_what_is_left_is_counted(
    ledger: Ledger, uri: str, outage: Outage, write: Write, record: Make
) -> None:
    said: list[str] = []
    with Mirror(ledger, uri=uri, interval=0.01, warn=said.append) as mirror:
        wait_for(lambda: outage.calls >= 2)
        outage.error = HumtuneError("MLflow is away")
        tries = outage.calls + 2
        wait_for(lambda: outage.calls >= tries)
        write(ledger, record("fan", 3))
    assert said[-1] == "MLflow is behind by 1 trial: humtune track hums"
    write(ledger, record("fan", 4))
    assert mirror.close() == 2


def test_mlflow_that_hangs_is_seen_and_holds_nobody_up(
    ledger: Ledger,
    tmp_path: Path,
    outage: Outage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(parallel, "_console", lambda: Console(stderr=True))
    monkeypatch.setattr(parallel, "_QUIET", 0.01)
    said: list[str] = []
    outage.hang = threading.Event()
    mirror = Mirror(
        ledger, uri=f"sqlite:///{tmp_path}/never.db", interval=0.01, patience=0.2, warn=said.append
    )
    with mirror:
        wait_for(lambda: outage.calls == 1)
    assert mirror._thread.is_alive()  # it hangs still
    assert capsys.readouterr().err == "bringing MLflow up to date: 0 s so far\n"
    assert said == ["MLflow is behind by 8 trials: humtune track hums"]
    outage.error = HumtuneError("over")
    outage.hang.set()
    mirror._thread.join()


def test_no_place_for_mlflow_does_not_stop_a_search(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(ledger.storage, "is_local", False)
    said: list[str] = []
    with Mirror(ledger, interval=0.01, warn=said.append) as mirror:
        wait_for(lambda: bool(said))
    assert "set MLFLOW_TRACKING_URI to a tracking server" in said[0]
    assert mirror.close() == 8


@contextmanager
def server(folder: Path, port: int) -> Iterator[None]:
    """A real tracking server over a database that exists, ended with all its processes."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # five processes more
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(lambda: _answers(port))
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.integration
def test_a_tracking_server_that_comes_late_gets_everything(
    ledger: Ledger,
    tmp_path: Path,
    uri: str,
    record: Make,
    write: Write,
    same: Same,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, said = free_port(), list[str]()
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("humtune.tracking.mirror._LONGEST_WAIT", 1.0)  # till it looks again
    with Mirror(ledger, interval=0.2, warn=said.append) as mirror:
        wait_for(lambda: bool(said))
        assert "does not answer" in said[0]
        with server(tmp_path, port):
            wait_for(lambda: "MLflow is back and up to date" in said)
            write(ledger, record("fan", 3, epochs=4))
            assert mirror.close() == 0
            same(address, ledger)
            before = sync(ledger)
            assert (before.created, before.updated) == (0, 0)
    assert len(said) == 2
    assert list((tmp_path / "artifacts").rglob("roc.png"))
