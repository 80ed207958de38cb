"""Searches with shared trials by the commands: searched, shown, reported, ensembled, exported, in MLflow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml
from loop import search_here

from humtune.ledger import Ledger
from humtune.records import TrialState
from humtune.results.archive import read_archive
from humtune.runtime.scorer import Scorer
from humtune.sounds.sound_file import to_waveform
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.sounds.table import SCORED
from humtune.storage import Storage

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

Run = Callable[..., tuple[int, str, str]]

MACHINES = ("fan", "valve")
FIXED = {
    "spectrogram": {"n_fft": 256, "chunk_frames": 32, "n_mels": 32, "db": True},
    "backbone": {"width": 0.125},
    "training": {"epochs": 2, "batch_size": 16, "chunks_per_clip": 1},
    "scores": ["cosine", "knn"],
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "data"
    sizes = Sizes(sections=3, train_source=16, train_target=4, test_per_cell=4, seconds=1.0)
    synthesise(folder, machines=MACHINES, sizes=sizes)
    return folder


def write_space(folder: Path, **changes: Any) -> Path:
    space = {"shared_trials": 2, "trials": 1, "fixed": FIXED, "search": {"head.mu": [5, 10]}}
    path = folder / "joint.yaml"
    path.write_text(yaml.safe_dump(space | changes))
    return path


def first_json(said: str) -> dict[str, Any]:
    """The JSON that a command printed; progress stands beside it."""
    told, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
    return dict(told)


def check_models(folder: Path, ledger: Ledger) -> None:
    """Exported models score recordings as the search did."""
    for machine in MACHINES:
        scorer = Scorer.open(folder / machine)
        bank = ledger.bank(machine)
        clips = bank.table.having(*SCORED)[:6]
        archive = read_archive(ledger, machine)
        wanted = archive.rows([(scorer.info.trial, scorer.info.score_type)])[0][:6]
        found = [float(scorer.score(to_waveform(bank.clip(int(i))))) for i in clips]
        np.testing.assert_allclose(found, wanted, atol=1e-3 * max(1.0, float(np.abs(wanted).max())))


def test_shared_trials_alone_give_each_machine_its_model(
    recordings: Path, tmp_path: Path, done: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search_here(monkeypatch)
    space = write_space(tmp_path)
    words = ("search", space, "--data", recordings, "--trials", "0", "--shared-trials", "2")
    told = done(*words, "--dry-run")
    assert "shared" in told
    assert "fan" not in told.split("in all")[-1]
    said = done(*words, "--name", "only")
    assert "no trial" not in said
    ledger = Ledger(Storage(tmp_path), "only")
    assert [(r.id, r.state) for r in ledger.records()] == [
        (f"shared-0000{i}", TrialState.COMPLETE) for i in range(2)
    ]

    rows = first_json(done("report", "only", "--json"))["rows"]
    by_machine = {row["machine"]: row for row in rows if row["choice"] == "best"}
    for machine in MACHINES:
        assert by_machine[machine]["trial"].startswith("shared-")
        assert by_machine[machine]["candidates"] == 4
    assert by_machine["all"]["complete"] == 2
    together = [row for row in rows if row["choice"] == "one for all" and row["machine"] != "all"]
    assert len({row["trial"] for row in together}) == 1

    shown = done("show", "only")
    assert "shared-00001" in shown
    one = done("show", "only", "shared-00000")
    assert "machines/valve/scores/knn.npy" in one
    assert first_json(done("show", "only", "--json"))["best"].keys() == set(MACHINES)
    assert "2+0+0 of 2" in done("runs")

    done("export", "only", "--single", "--out", tmp_path / "models")
    check_models(tmp_path / "models", ledger)
    done("ensemble", "only")
    done("export", "only", "--out", tmp_path / "joined", "--ensemble", "--machines", "valve")
    assert (tmp_path / "joined" / "valve" / "model.onnx").exists()
    done("submit", "only", "--out", tmp_path / "submission")

    done("track", "only")
    assert "unchanged" in done("track", "only")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("only")
    found = client.search_runs([experiment.experiment_id])
    tags = [run.data.tags for run in found]
    trials = {t["humtune.trial"]: t for t in tags if "humtune.trial" in t}
    assert set(trials) == {"shared-00000", "shared-00001"}
    bests = {row["trial"] for row in by_machine.values() if row["trial"]}
    overall = max(ledger.records(), key=lambda r: r.objective).id
    assert {name for name, t in trials.items() if t.get("humtune.best")} == bests | {overall}
    parents = {t["humtune.machine"]: t for t in tags if "humtune.trial" not in t}
    assert set(parents) == {"fan", "shared", "valve"}
    for machine in MACHINES:
        assert parents[machine]["best"] == by_machine[machine]["trial"]
    assert {run.info.status for run in found} == {"FINISHED"}
    assert "valve" in parents["shared"]["mlflow.note.content"]


def test_own_and_shared_trials_are_one_field_of_candidates(
    recordings: Path, tmp_path: Path, done: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search_here(monkeypatch)
    done("search", write_space(tmp_path), "--data", recordings, "--name", "both")
    ledger = Ledger(Storage(tmp_path), "both")
    assert len(list(ledger.records())) == 4
    said = done("resume", "both", "--shared-trials", "3", "--confirm", "1", "--seeds", "2")
    assert "shared-00002" in said
    found = list(ledger.records())
    assert sum(r.origin == "confirm" for r in found) == 2 * 3
    assert {r.state for r in found} == {TrialState.COMPLETE}
    rows = first_json(done("report", "both", "--json"))["rows"]
    for row in rows[:2]:
        assert row["candidates"] == 2 * (1 + 3)


def test_machines_trials_start_from_shared_ones_on_ray(
    recordings: Path, tmp_path: Path, done: Callable[..., str], ray_here: None
) -> None:
    """Two at a time: those of the machines wait until shared ones are complete, and Tune with them."""
    presets = {"training": {"presets": {"tuned": {"start": "shared"}}}, "head.mu": [5, 10]}
    space = write_space(tmp_path, search=presets)
    done("search", space, "--data", recordings, "--name", "tuned", "--no-compile", "--slots", "2")
    ledger = Ledger(Storage(tmp_path), "tuned")
    found = {r.id: r for r in ledger.records()}
    assert {r.state for r in found.values()} == {TrialState.COMPLETE}
    assert found.keys() == {"fan-00000", "valve-00000", "shared-00000", "shared-00001"}
    for machine in MACHINES:
        tuned = found[f"{machine}-00000"]
        assert tuned.started_from
        assert (found[tuned.started_from].ended or 0) <= tuned.started
        assert f"started from {tuned.started_from}" in done("show", "tuned", tuned.id)

    done("resume", "tuned", "--trials", "2", "--confirm", "1", "--seeds", "1")
    again = [r for r in ledger.records(*MACHINES) if r.origin == "confirm"]
    assert {(r.machine, r.state) for r in again} == {(m, TrialState.COMPLETE) for m in MACHINES}
    for record in again:
        alike = [r for r in ledger.records(record.machine) if r.configuration == record.configuration]
        assert len(alike) > 1  # of the same start, too
    done("track", "tuned")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("tuned")
    tags = [run.data.tags for run in client.search_runs([experiment.experiment_id])]
    starts = {t["humtune.trial"]: t["started_from"] for t in tags if "humtune.trial" in t}
    assert starts == {r.id: r.started_from or "" for r in ledger.records()}

    done("export", "tuned", "--single", "--out", tmp_path / "models")
    check_models(tmp_path / "models", ledger)
    for machine in MACHINES:
        trial = Scorer.open(tmp_path / "models" / machine).info.trial
        start = ledger.read(trial).started_from
        card = (tmp_path / "models" / machine / "README.md").read_text()
        assert (f"which started from `{start}`" if start else "trained on all machines of the search") in card
