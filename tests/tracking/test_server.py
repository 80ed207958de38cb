"""mlflow/serve.sh over a PostgreSQL of our own: what it refuses, and an outage in the middle of a search."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from loop import search_here
from waiting import PATIENCE, free_port, wait_for

from humtune.ledger import Ledger
from humtune.records import TrialRecord, TrialState
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.storage import Storage
from humtune.tracking import sync

FOLDER = Path(__file__).parents[2] / "mlflow"
SERVE = FOLDER / "serve.sh"
PASSWORD = "a horse, 100 % correct"
OUTAGE = float(os.environ.get("HUMTUNE_OUTAGE", "0"))  # seconds that the server is away at least
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
BIN = Path(sys.executable).parent
TOY = {
    "spectrogram": {"n_fft": 256, "chunk_frames": 32, "n_mels": 32, "db": True},
    "backbone": {"width": 0.125},
    "training": {"epochs": 8, "batch_size": 16, "chunks_per_clip": 2},
}


def serve(folder: Path, **settings: str) -> subprocess.Popen[bytes]:
    """Start the script with these settings alone."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment |= {"PATH": f"{BIN}:{os.environ['PATH']}", "XDG_STATE_HOME": str(folder / "state")} | settings
    environment.pop("PYTEST_CURRENT_TEST", None)
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(
            [SERVE], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "set MLFLOW_ADMIN_PASSWORD to the password"),
        ({"MLFLOW_ADMIN_PASSWORD": ""}, "set MLFLOW_ADMIN_PASSWORD to the password"),
        ({"MLFLOW_ADMIN_PASSWORD": "password1234"}, "the one that old MLflows came with"),
        ({"MLFLOW_ADMIN_PASSWORD": "elevenchars"}, "has 11 characters: MLflow wants 12 or more"),
        (
            {"MLFLOW_ADMIN_PASSWORD": PASSWORD, "MLFLOW_BACKEND_STORE_URI": "sqlite:///mlflow.db"},
            "MLFLOW_BACKEND_STORE_URI is no PostgreSQL: give postgresql://",
        ),
    ],
)
def test_what_is_not_safe_is_refused_in_one_line(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    assert serve(tmp_path, **settings).wait(PATIENCE) == 2
    (line,) = (tmp_path / "server.log").read_text().splitlines()
    assert said in line
    assert [path.name for path in tmp_path.iterdir()] == ["server.log"]


def test_the_compose_file_says_what_the_script_reads() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    script = SERVE.read_text()
    for name, value in services["tracking"]["environment"].items():
        assert name in script
        assert "PASSWORD" not in name or value.startswith("${MLFLOW_ADMIN_PASSWORD:?")
    assert all(port.startswith("127.0.0.1:") for port in services["tracking"]["ports"])
    assert "ports" not in services["database"]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A PostgreSQL in a folder of its own, which only its socket leads to; its URI."""
    if not PROGRAMS:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="hum-pg-", dir="/tmp") as folder:  # a socket's path is short
        if user:
            shutil.chown(folder, user)

        def run(program: str, *words: str) -> None:
            command = [str(PROGRAMS[-1] / program), *words]
            subprocess.run(
                command, check=True, cwd=folder, user=user, stdout=subprocess.DEVNULL, timeout=PATIENCE
            )

        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run("initdb", "--pgdata", "data", "--auth", "trust", "--username", "mlflow", "--no-sync")
        run("pg_ctl", "start", "--wait", "-D", "data", "--log", "log", "--options", options)
        try:
            run("createdb", "--host", folder, "--username", "mlflow", "mlflow")
            yield f"postgresql://mlflow@/mlflow?host={folder.replace('/', '%2F')}"
        finally:
            run("pg_ctl", "stop", "-D", "data", "--mode", "immediate")


class Server:
    """A tracking server that can be stopped and started again."""

    def __init__(self, folder: Path, database: str) -> None:
        self.port = free_port()
        self.folder, self.database = folder, database
        self.address = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        settings = {"MLFLOW_ADMIN_PASSWORD": PASSWORD, "MLFLOW_BACKEND_STORE_URI": self.database}
        settings |= {"MLFLOW_PORT": str(self.port), "MLFLOW_WORKERS": "1", "MLFLOW_ARTIFACTS": "artifacts"}
        process = serve(self.folder, **settings)
        try:
            wait_for(lambda: process.poll() is not None or self.status("/health") == 200)
            assert process.poll() is None, (self.folder / "server.log").read_text()
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            end(process)

    def status(self, path: str, password: str | None = None) -> int:
        """What the server answers, as HTTP has it; 0 where nobody does."""
        request = urllib.request.Request(self.address + path)
        if password is not None:
            request.add_header("Authorization", f"Basic {b64encode(f'admin:{password}'.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_a_search_survives_an_outage_and_mlflow_lacks_nothing(
    database: str,
    tmp_path: Path,
    same: Callable[[str, Ledger], None],
    humtune: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A real server; the search runs in this process and without Ray, of which MLflow is told nothing."""
    search_here(monkeypatch)
    monkeypatch.setattr("humtune.sounds.probes.PER_KIND", 12)  # to score a hundred takes most of a trial
    sizes = Sizes(sections=2, train_source=8, train_target=2, test_per_cell=3, seconds=1.0)
    synthesise(tmp_path / "data", machines=("fan", "valve"), sizes=sizes)
    space = {"trials": 200, "fixed": TOY, "search": {"head.mu": {"low": 1.0, "high": 30.0}}}
    (tmp_path / "outage.yaml").write_text(yaml.safe_dump(space))
    server, ledger = Server(tmp_path, database), Ledger(Storage(tmp_path / "runs"), "outage")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    monkeypatch.setattr("humtune.tracking.mirror._LONGEST_WAIT", 2.0)  # between two looks whether it is back
    listing = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=outage"

    def ended() -> int:
        return sum(record.state != TrialState.RUNNING for record in ledger.records())

    def befalls() -> None:
        """What befalls the search: its server goes and comes back, then it is asked to end."""
        try:
            wait_for(lambda: server.status(listing, PASSWORD) == 200 and ended() >= 2)
            there.close()
            before, gone = ended(), time.monotonic()
            wait_for(lambda: "does not answer" in caplog.text)
            wait_for(lambda: ended() >= before + 2 and time.monotonic() >= gone + OUTAGE)
            back.enter_context(server.running())
            wait_for(lambda: "MLflow is back and up to date" in caplog.text)
        finally:
            ledger.request_stop()

    with ExitStack() as back, ExitStack() as there, ThreadPoolExecutor(1) as beside:
        there.enter_context(server.running())
        private = [path.stat().st_mode & 0o077 for path in (tmp_path / "state").rglob("*.ini")]
        assert private == [0]
        assert server.status(listing) == server.status(listing, "password1234") == 401
        told = beside.submit(befalls)
        words = ("search", "outage.yaml", "--data", "data", "--name", "outage")
        code, out, err = humtune(*words, "--storage", ledger.storage.uri)
        told.result()
        assert code == 0, out + err
        assert "behind" not in caplog.text
        same(server.address, ledger)
        assert list((tmp_path / "artifacts").rglob("roc.png"))


@pytest.mark.integration
def test_a_person_clicks_from_a_search_to_each_machines_best_trial(
    database: str,
    tmp_path: Path,
    ledger: Ledger,
    record: Callable[..., TrialRecord],
    write: Callable[[Ledger, TrialRecord], TrialRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    server = Server(tmp_path, database)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    write(ledger, record("fan", 3))
    command = [sys.executable, str(FOLDER / "photograph.py"), "hums", "--at", server.address]
    with server.running():
        sync(ledger, uri=server.address)
        done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    taken = {path.stem: path.read_bytes()[:4] for path in (tmp_path / "out").iterdir()}
    names = ("search", "machines", "best", "plots", "machine")
    assert taken == {f"mlflow-{name}": b"\x89PNG" for name in names}


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it started, where it has not ended by itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
