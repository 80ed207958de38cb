from pathlib import Path

import pytest

from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.storage import Storage
from humtune.tracking import browse, readable, sync, tracking_uri
from humtune.tracking.place import artifact_place


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_the_default_is_a_database_in_the_storage(tmp_path: Path) -> None:
    assert tracking_uri(Storage(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"


def test_the_variable_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert tracking_uri(Storage(tmp_path)) == "http://localhost:5000"
    assert tracking_uri(Storage("mock://bucket/runs")) == "http://localhost:5000"


def test_a_remote_storage_needs_a_server() -> None:
    with pytest.raises(UsageError, match="set MLFLOW_TRACKING_URI to a tracking server"):
        tracking_uri(Storage("mock://bucket/runs"))


def test_artifacts_lie_beside_the_ledger_unless_a_server_keeps_them(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert artifact_place("sqlite:////x.db", storage, "a?") == f"file://{tmp_path}/mlflow-artifacts/a%3F"
    assert artifact_place("https://host", storage, "hums") is None


def test_a_password_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "postgresql://me:s3cret@host/mlflow"
    assert readable(uri) == "postgresql://me:***@host/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert browse(uri) == 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'
    assert browse("https://me:s3cret@host") == "https://me:***@host"


def test_the_command_that_browses_survives_a_shell() -> None:
    assert (
        browse("sqlite:////my runs/mlflow.db")
        == "mlflow ui --backend-store-uri 'sqlite:////my runs/mlflow.db'"
    )


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:9", "MLflow at http://127.0.0.1:9 does not answer: Connection refused"),
        ("./mlruns", "MLflow at ./mlruns: The filesystem tracking backend"),
        ("postgresql://me:s3cret@127.0.0.1:9/x", r"MLflow at postgresql://me:\*\*\*@127.0.0.1:9/x: "),
    ],
)
def test_an_mlflow_that_can_not_be_used_is_one_sentence(
    ledger: Ledger, uri: str, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(HumtuneError, match=said) as caught:
        sync(ledger, uri=uri)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert capfd.readouterr() == ("", "")
