"""Models whose graph is made by hand, with scores of any Ω, in a real registry; one is served over HTTP."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import mlflow
import numpy as np
import onnx
import pytest
from hostile import HOSTILE_NAMES
from mlflow import MlflowClient
from mlflow.models import Model
from mlflow.store.artifact.utils.models import _parse_model_uri
from mlflow.utils.validation import _validate_logged_model_name, _validate_model_name
from onnx import TensorProto, helper
from waiting import PATIENCE, free_port, wait_for

from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.metrics.calibration import Threshold
from humtune.plan import Machine
from humtune.runtime.healthy import HEALTHY
from humtune.runtime.info import INFO, MODEL, ModelInfo
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import ClipTable, Role
from humtune.storage import Storage
from humtune.tracking import sync, tracking_uri
from humtune.tracking.models import model_name
from humtune.tracking.place import connect
from humtune.tracking.registry import register, registered_name

pytestmark = pytest.mark.slow

NAME = "hums-fan"


@pytest.fixture
def make_model(tmp_path: Path):
    """Write a model whose score is the recording's root mean square; its folder."""

    def make(trial: str, machine: str = "fan") -> Path:
        info = ModelInfo(
            machine=machine,
            score_type="nll",
            threshold=Threshold(value=0.1, false_alarms=0.1, clips=50),
            sample_rate=16_000,
            least_samples=1_000,
            search="hums",
            trial=trial,
            configuration={},
            metrics={},
            versions={},
        )
        nodes = [
            helper.make_node("Mul", ["waveform", "waveform"], ["square"]),
            helper.make_node("ReduceMean", ["square"], ["mean"], keepdims=0),
            helper.make_node("Sqrt", ["mean"], ["score"]),
        ]
        ends = [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["samples"])]
        ends += [helper.make_tensor_value_info("score", TensorProto.FLOAT, [])]
        graph = helper.make_graph(nodes, "loudness", ends[:1], ends[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        told = ("machine", "search", "trial", "score_type")
        helper.set_model_props(model, {name: getattr(info, name) for name in told})
        folder = tmp_path / "models" / trial
        folder.mkdir(parents=True)
        onnx.save(model, folder / MODEL)
        (folder / INFO).write_text(info.model_dump_json())
        return folder

    return make


def scores(clips: ClipTable, lead: float, *, seed: int = 0) -> np.ndarray:
    """Scores of clips whose anomalies lie so many standard deviations above the normals."""
    return np.random.default_rng(seed).normal(size=len(clips)) + lead * clips.label


@pytest.fixture
def enter(small: Ledger, uri: str, make_model):
    """Register a new model with such scores."""

    def enter(trial: str, lead: float, **changes: int):
        return register(small, make_model(trial), scores(small.clips("fan"), lead, **changes), uri=uri)

    return enter


def champion(uri: str) -> str:
    return str(MlflowClient(uri).get_model_version_by_alias(NAME, "champion").version)


def test_a_folder_without_a_model_is_refused(small, uri, tmp_path):
    with pytest.raises(UsageError, match="not a model folder"):
        register(small, tmp_path, np.zeros(40), uri=uri)


def test_a_registry_that_does_not_answer_is_one_sentence(small, make_model, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(HumtuneError, match=r"MLflow at http://127.0.0.1:9 does not answer"):
        register(small, make_model("fan-00000"), np.zeros(40), uri="http://127.0.0.1:9")


@pytest.fixture
def elsewhere(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch):
    """Another MLflow, with a run that the environment names and that is active besides."""
    shutil.copy(empty_database, tmp_path / "other.db")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    client = connect(other)
    experiment = client.create_experiment("mine")
    run_id = client.create_run(experiment).info.run_id
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
    for name, value in {
        "MLFLOW_TRACKING_URI": other,
        "MLFLOW_RUN_ID": run_id,
        "MLFLOW_EXPERIMENT_ID": experiment,
        "MLFLOW_EXPERIMENT_NAME": "mine",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with mlflow.start_run() as active:
        assert active.info.run_id == run_id
        yield other
        assert mlflow.active_run().info.run_id == run_id


def test_what_the_environment_says_of_other_runs_is_not_for_us(
    enter, small, uri, elsewhere, held, monkeypatch
):
    before, environment, found = held(elsewhere), dict(os.environ), tracking_uri(Storage("/x"))
    enter("fan-00000", 1.0)
    small.write_plan(small.plan.model_copy(update={"machines": {"fan": Machine(data_hash="cd34")}}))
    bank = ClipBank(small.clips("fan"), np.ones(40_000, np.int16), np.arange(41) * 1_000, "cd34")
    monkeypatch.setattr(Ledger, "bank", lambda *_: bank)
    assert enter("fan-00001", 9.0).version == "2"  # after the champion has scored the clips
    sync(small, uri=uri)
    assert held(elsewhere) == before
    assert {k: v for k, v in os.environ.items() if k in environment} == environment
    assert tracking_uri(Storage("/x")) == found
    assert not MlflowClient(elsewhere).search_registered_models()


def test_one_storage_after_another_has_its_own_registry(
    new_ledger, make_model, uri, tmp_path, empty_database
):
    for name in ("a", "b"):
        ledger = new_ledger(tmp_path / name, machines=("fan",))
        shutil.copy(empty_database, ledger.storage.path("mlflow.db"))
        found = register(ledger, make_model(f"fan-{name}"), scores(ledger.clips("fan"), 1.0))
        assert (found.version, found.reason) == ("1", "the first one")


@pytest.mark.parametrize(
    "step", ["log_model_artifacts", "create_model_version", "set_registered_model_alias"]
)
def test_whoever_is_killed_on_the_way_is_mended_by_the_next(small, uri, make_model, monkeypatch, step):
    folder = make_model("fan-00000")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt  # which nobody catches: a SIGKILL leaves the same

    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, step, die)
        with pytest.raises(KeyboardInterrupt):
            register(small, folder, scores(small.clips("fan"), 1.0), uri=uri)
    found = register(small, folder, scores(small.clips("fan"), 1.0), uri=uri)
    assert (found.version, found.is_champion, champion(uri)) == ("1", True, "1")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("hums").experiment_id
    assert [run.info.status for run in client.search_runs([experiment])] == ["FINISHED"]
    assert "humtune.crowned" not in client.get_model_version(NAME, "1").tags


def test_every_search_and_machine_has_a_name_that_mlflow_takes_and_no_other_has():
    pairs = {(search, machine) for search in (*HOSTILE_NAMES, "hums") for machine in (*HOSTILE_NAMES, "fan")}
    names = {registered_name(*pair) for pair in pairs}
    assert len({name.lower() for name in names}) == len(pairs)
    for name in names:
        _validate_model_name(name)
        assert not set(name) & set("\"'`/:?%\\;*<>[]")
        assert len(name) <= 256
        assert _parse_model_uri(f"models:/{name}@champion").name == name
    for _, machine in pairs:
        _validate_logged_model_name(model_name(machine))
    assert registered_name("hums", "fan") == NAME
    assert registered_name("two words", "v1.2_a") == "two words-v1.2_a"


@pytest.mark.parametrize(
    ("search", "machine"), [("o'neill", 'Bob\'s "pump"'), ("100%", "a:b?"), ("ポンプ", "x" * 200)]
)
def test_a_model_of_any_name_is_registered_found_again_and_crowned(
    new_ledger, make_model, uri, tmp_path, monkeypatch, search, machine
):
    ledger = new_ledger(tmp_path / "runs", name=search, machines=(machine,))
    folder, said = make_model("fan-00000", machine), scores(ledger.clips(machine), 1.0)
    first, again = (register(ledger, folder, said, uri=uri) for _ in range(2))
    assert (first.version, first.is_champion) == ("1", True)
    assert (again.version, again.is_champion, again.reason) == ("1", True, "registered before")
    better = register(ledger, make_model("fan-00001", machine), scores(ledger.clips(machine), 9.0), uri=uri)
    assert better.is_champion
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", uri)
    model = mlflow.pyfunc.load_model(f"models:/{first.name}@champion")
    assert model.predict(np.full((1, 8_000), 0.05, np.float32))[0]["score"] == pytest.approx(0.05, rel=1e-4)


def test_a_score_that_is_none_registers_nothing(enter, uri):
    enter("fan-00000", 1.0)
    with pytest.raises(HumtuneError, match="not a finite number"):
        enter("fan-00001", np.nan)
    assert len(MlflowClient(uri).search_model_versions(f"name = '{NAME}'")) == 1


def test_the_crown_goes_to_what_is_better_and_to_nothing_else(enter, uri):
    first = enter("fan-00000", 1.0)
    assert str(first) == "hums-fan version 1, champion: the first one"
    equal = enter("fan-00001", 1.0, seed=1)
    assert not equal.is_champion
    assert re.search(
        r"better than version 1 on the labelled dev clips \(Ω .*, paired p 0\.\d+\)$", equal.reason
    )
    assert champion(uri) == "1"
    better = enter("fan-00002", 9.0)
    assert better.is_champion
    assert re.match(r"better than version 1 .*Ω \+\d.*, \+\d.* to \+\d.* with 90%", better.reason)
    worse = enter("fan-00003", 0.0)
    assert (worse.version, worse.is_champion, champion(uri)) == ("4", False, "3")
    assert worse.reason.startswith("no better than version 3 on the labelled dev clips (Ω -")
    assert MlflowClient(uri).get_model_version(NAME, "4").description == worse.reason


def test_the_same_model_again_is_the_version_that_it_was(small, uri, make_model):
    folder = make_model("fan-00000")
    first, again = (register(small, folder, scores(small.clips("fan"), 1.0), uri=uri) for _ in range(2))
    assert (again.version, again.is_champion, again.reason) == (first.version, True, "registered before")
    assert len(MlflowClient(uri).search_model_versions(f"name = '{NAME}'")) == 1


def test_recordings_stay_in_the_exported_folder(small, uri, make_model, tmp_path):
    folder = make_model("fan-00000")
    (folder / HEALTHY).mkdir()
    (folder / HEALTHY / "monday.flac").write_bytes(b"somebody may be talking")
    register(small, folder, scores(small.clips("fan"), 1.0), uri=uri)
    client = MlflowClient(uri)
    source = client.get_model_version_by_alias(NAME, "champion").source
    there = Path(mlflow.artifacts.download_artifacts(source, dst_path=tmp_path / "there", tracking_uri=uri))
    assert list(there.rglob(MODEL))
    assert not list(there.rglob(HEALTHY))
    assert (folder / HEALTHY / "monday.flac").exists()


def test_without_labels_nothing_takes_the_crown(small, uri, make_model, monkeypatch):
    clips = small.clips("fan").with_columns(label=-1)
    monkeypatch.setattr(Ledger, "clips", lambda *_: clips)
    for trial in ("fan-00000", "fan-00001"):
        found = register(small, make_model(trial), np.arange(40.0), uri=uri)
    assert (found.is_champion, found.reason) == (False, "no labelled clips to hold it against version 1 by")


def test_hidden_clips_decide_where_there_are_some(small, uri, make_model, monkeypatch):
    clips = small.clips("fan")
    hidden = np.arange(40) % 5 < 2  # of the five clips of each cell
    clips = clips.with_columns(role=np.where(hidden, str(Role.HIDDEN), str(Role.SELECT)))
    monkeypatch.setattr(Ledger, "clips", lambda *_: clips)
    register(small, make_model("fan-00000"), scores(clips, 1.0), uri=uri)
    lead = np.where(hidden, 0.0, 9.0)  # splendid on what chose it
    found = register(small, make_model("fan-00001"), scores(clips, lead), uri=uri)
    assert not found.is_champion
    assert "on the hidden clips" in found.reason


def test_a_champion_of_other_recordings_hears_these(small, uri, make_model, monkeypatch):
    clips = small.clips("fan")
    register(small, make_model("fan-00000"), scores(clips, 9.0), uri=uri)
    small.write_plan(small.plan.model_copy(update={"machines": {"fan": Machine(data_hash="cd34")}}))
    loud = np.repeat(np.arange(1, 41) / 50 * 32_768, 1_000).astype(
        np.int16
    )  # what that model scores is loudness
    loud *= np.tile([1, -1], 20_000).astype(np.int16)
    bank = ClipBank(clips, loud, np.arange(41) * 1_000, "cd34")
    monkeypatch.setattr(Ledger, "bank", lambda *_: bank)
    heard = np.arange(1, 41) / 50
    found = register(small, make_model("fan-00001"), heard, uri=uri)
    assert "(Ω +0.0 points, +0.0 to +0.0 with 90%" in found.reason


def test_what_is_registered_says_what_it_takes_and_pickles_nothing(enter, uri, small):
    enter("fan-00000", 1.0)
    version = MlflowClient(uri).get_model_version(NAME, "1")
    place = next(Path(small.storage.uri).glob("mlflow-artifacts/hums/models/*/artifacts"))
    model = Model.load(place)
    assert model.signature.inputs.to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, -1)}
    assert model.signature.outputs.input_names() == ["score", "anomaly"]
    assert json.loads((place / "serving_input_example.json").read_text())["inputs"]
    assert not list(place.glob("**/*.pkl"))
    assert not {"torch", "ray"} & set(re.findall(r"^\w+", (place / "requirements.txt").read_text(), re.M))
    assert version.tags["trial"] == "fan-00000"


@pytest.mark.integration
def test_the_champion_answers_over_http(enter, uri, tmp_path):
    enter("fan-00000", 1.0)
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # mlflow looks for its server there
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    words = f"-m models:/{NAME}@champion --env-manager local --host 127.0.0.1 --port {port}".split()
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", *words],
            env=environment, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        wave = np.tile([0.25, -0.25], 4_000)
        quiet = np.full(8_000, 0.05)
        said = ask(port, {"inputs": [wave.tolist(), quiet.tolist()]}, server, tmp_path / "server.log")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE)
    assert said["predictions"] == [
        {"score": pytest.approx(0.25, rel=1e-4), "anomaly": True},
        {"score": pytest.approx(0.05, rel=1e-4), "anomaly": False},
    ]


def ask(port: int, question: dict, server: subprocess.Popen, log: Path) -> dict:
    """What the server says, as soon as it answers."""
    body = json.dumps(question).encode()
    request = Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    said: list[dict] = []

    def answers() -> bool:
        assert server.poll() is None, log.read_text()
        with suppress(URLError), urlopen(request, timeout=60) as answer:
            said.append(json.load(answer))
        return bool(said)

    wait_for(answers, "an answer of the server")
    return said[0]
