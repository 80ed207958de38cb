import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from humtune.cli.export import export
from humtune.errors import UsageError
from humtune.results.candidates import choose
from humtune.results.ensembles.make import make_ensembles
from humtune.runtime.info import MODEL
from humtune.tracking.registry import Registered

pytestmark = pytest.mark.slow


@pytest.fixture
def run(ledger):
    app = typer.Typer()
    app.command()(export)

    def run(*words, code=0):
        storage = ["--storage", ledger.storage.uri]
        result = CliRunner().invoke(app, ["--no-register", *map(str, words), *storage])
        assert result.exit_code == code, result.output
        return result

    return run


def test_an_unknown_search_lists_the_known(run, tmp_path):
    error = run("big", "--out", tmp_path / "models", code=1).exception
    assert isinstance(error, UsageError)
    assert "no search named 'big'" in str(error)
    assert "small" in str(error)


def test_prints_each_model_and_what_to_try_next(run, ledger, tmp_path):
    result = run("small", "--out", tmp_path / "models", "--false-alarms", "0.1%", "--single")
    best = choose(ledger.records("fan")).trial
    line = next(line for line in result.stdout.splitlines() if line.split()[:1] == ["fan"])
    assert line.split()[1:5] == [best.id, best.best_score, "fp32", f"{100 * best.objective:.1f}"]
    assert f"humtune score {tmp_path / 'models' / 'fan'} some.wav" in result.stdout
    assert "not of 0.1%" in result.stdout
    assert "valve: no trial has run its whole budget yet" in result.stderr


def test_a_machine_that_failed_is_told_and_the_exit_code_says_so(run, ledger, tmp_path):
    best = choose(ledger.records("fan")).trial
    done = best.model_copy(update={"id": "valve-00000", "machine": "valve", "number": 0})
    ledger.write(done)
    ledger.write_scores(done.id, {name: np.zeros(len(ledger.clips("valve"))) for name in done.omega})
    result = run("small", "--out", tmp_path / "models", "--single", code=1)
    assert "valve-00000/detector.pt is missing" in result.stderr
    assert (tmp_path / "models" / "fan").is_dir()


def test_an_ensemble_that_the_search_made_is_exported_by_its_name(run, ledger, tmp_path):
    make_ensembles(ledger, machines=["fan"], members=2, exportable=True)
    result = run("small", "--out", tmp_path / "models", "--ensemble")
    line = next(line for line in result.stdout.splitlines() if line.split()[:1] == ["fan"])
    assert line.split()[1:3] == ["fan-ensemble", "ensemble"]
    assert "\nfan: an ensemble of " in result.stdout
    assert (tmp_path / "models" / "fan" / MODEL).stat().st_size > 0


def test_what_was_chosen_is_told_with_what_it_was_held_against(run, tmp_path):
    result = run("small", "--out", tmp_path / "models", "--machines", "fan")
    line = next(line for line in result.stdout.splitlines() if line.startswith("fan: "))
    assert "cross-fitted Ω" in line
    assert " best single" in line
    assert line.endswith(" ms a clip")


@pytest.mark.parametrize("words", [("--single", "--ensemble"), ("--ensemble", "--distilled")])
def test_two_wishes_are_one_too_many(run, tmp_path, words):
    error = run("small", "--out", tmp_path / "models", *words, code=1).exception
    assert isinstance(error, UsageError)
    assert str(error) == f"{' and '.join(words)}: a model is the one or the other; leave one out"


def test_what_became_of_a_model_in_the_registry_is_printed(run, ledger, tmp_path, monkeypatch):
    asked = []

    def register(ledger, folder, scores):
        asked.append((ledger.name, folder, scores.shape))
        return Registered("small-fan", "7", True, "the first one")

    monkeypatch.setattr("humtune.tracking.registry.register", register)
    out = tmp_path / "models"
    assert (
        "small-fan version 7, champion: the first one"
        in run("small", "--out", out, "--single", "--register").stdout
    )
    assert asked == [("small", out / "fan", (len(ledger.clips("fan")),))]


def test_without_mlflow_the_models_are_there_and_the_exit_code_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = run("small", "--out", tmp_path / "models", "--single", "--register", code=1)
    assert "fan: not registered: MLflow at http://127.0.0.1:9 does not answer" in result.stderr
    assert (tmp_path / "models" / "fan" / MODEL).is_file()
