"""Real searches from recordings to models; Ray trains where it is Ray that stops trials or a search."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from loop import search_here
from waiting import wait_for

from humtune.ledger import Ledger
from humtune.metrics.cells import Cells
from humtune.metrics.omega import omega
from humtune.records import TrialRecord, TrialState
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.sounds.table import Role
from humtune.storage import Storage

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

Run = Callable[..., tuple[int, str, str]]

MACHINES = ("fan", "valve")
TINY = {"n_fft": 256, "chunk_frames": 32, "n_mels": 32, "db": True}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "data"
    sizes = Sizes(sections=3, train_source=12, train_target=3, test_per_cell=4, seconds=1.0)
    synthesise(folder, machines=MACHINES, sizes=sizes)
    return folder


def write_space(folder: Path, **changes: object) -> Path:
    space: dict[str, object] = {
        "trials": 4,
        "fixed": {
            "spectrogram": TINY,
            "backbone": {"width": 0.125},
            "training": {"epochs": 3, "batch_size": 16, "chunks_per_clip": 2},
        },
        "search": {"head.mu": [5, 10], "head.sigma2": {"low": 0.02, "high": 0.5, "log": True}},
        "first": [{"head.mu": 10, "head.sigma2": 0.1}],
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(space | changes))
    return path


def records(storage: Path, name: str) -> Iterator[TrialRecord]:
    yield from Ledger(Storage(storage), name).records()


def ended(storage: Path, name: str) -> list[TrialRecord]:
    return [r for r in records(storage, name) if r.state != TrialState.RUNNING]


def test_stop_ends_cleanly(
    recordings: Path, tmp_path: Path, done: Callable[..., str], ray_here: None
) -> None:
    space = write_space(tmp_path, trials=50)

    def stop() -> None:
        wait_for(lambda: ended(tmp_path, "s"))
        Ledger(Storage(tmp_path), "s").request_stop()  # as `humtune stop` does

    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(stop)
        out = done("search", space, "--data", recordings, "--name", "s")
        asked.result()
    assert "humtune resume s" in out
    assert 1 <= len(ended(tmp_path, "s")) < 100
    plan = json.loads((tmp_path / "s" / "plan.json").read_text())
    assert plan["asked"]["trials"] == 50
    assert np.isfinite([r.objective for r in ended(tmp_path, "s")]).all()


def test_pruned_and_failed_trials_are_told_apart_and_cost_no_search(
    recordings: Path, tmp_path: Path, done: Callable[..., str], ray_here: None
) -> None:
    space = write_space(
        tmp_path,
        trials=12,
        pruner="successive_halving",
        search={
            "head.mu": [5, 10],
            "training.learning_rate": [
                0.001,
                0.002,
                0.003,
                1e30,
            ],  # the second one's loss is not a number for long
        },
        first=[
            {"head.mu": 10, "training.learning_rate": 1e30},
            {"head.mu": 5, "training.learning_rate": 0.001},
        ],
    )
    out = done("search", space, "--data", recordings, "--machines", "fan", "--name", "p")
    found = list(records(tmp_path, "p"))
    assert len(found) == 12
    assert found[0].state == TrialState.FAILED
    assert "loss" in (found[0].reason or "")
    assert found[1].state == TrialState.COMPLETE
    pruned = [r for r in found if r.state == TrialState.PRUNED]
    assert pruned  # a dozen trials that are each in the upper half of those before: hardly ever
    for record in pruned:
        assert len(record.epochs) in (1, 2)
        assert "omega" in record.epochs[-1].metrics
        assert "successive_halving" in (record.reason or "")
        assert not (tmp_path / "p" / "trials" / record.id / "detector.pt").exists()
    assert "failed" in out


def test_a_grid_runs_every_point_once_with_each_seed(
    recordings: Path, tmp_path: Path, done: Callable[..., str], ray_here: None
) -> None:
    training = {"epochs": 1, "batch_size": 16, "chunks_per_clip": 1}
    space = {"sampler": "grid", "seeds": 2, "search": {"head.mu": [5, 10]}}
    space["fixed"] = {"spectrogram": TINY, "backbone": {"width": 0.125}, "training": training}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(space))
    done("search", tmp_path / "grid.yaml", "--data", recordings, "--machines", "fan", "--name", "g")
    found = list(records(tmp_path, "g"))
    assert [r.number for r in found] == [0, 1, 2, 3]
    assert {(r.state, r.origin) for r in found} == {(TrialState.COMPLETE, "grid")}
    runs = Counter((r.params["head.mu"], r.seed) for r in found)
    assert runs == {(mu, seed): 1 for mu in (5, 10) for seed in (0, 1)}


def test_a_search_is_refused_before_it_starts(recordings: Path, tmp_path: Path, humtune: Run) -> None:
    space = write_space(tmp_path, fixed={"spectrogram": TINY | {"chunk_frames": 500}})
    code, _, err = humtune("search", space, "--data", recordings, "--storage", tmp_path)
    assert code == 2
    assert "chunk_frames = 500" in err
    assert "choose chunk_frames ≤ 126" in err
    assert not (tmp_path / "tiny").exists()


def test_without_labels_probes_choose_and_the_model_leaves_all_the_same(
    recordings: Path, tmp_path: Path, done: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Healthy recordings only: no test folder, no labels, no truth."""
    search_here(monkeypatch)
    healthy = tmp_path / "healthy"
    for source in (recordings / "dev_data").glob("*/train/*.wav"):
        target = healthy / "dev_data" / source.parent.parent.name / "train" / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
    space = write_space(tmp_path, trials=2, pruner="successive_halving")
    done("search", space, "--data", healthy, "--name", "blind")
    found = list(records(tmp_path, "blind"))
    assert {(r.machine, r.state, r.judged_by) for r in found if r.origin == "first"} == {
        (machine, TrialState.COMPLETE, "pseudo") for machine in MACHINES
    }
    assert all(r.omega == {} and 0 < r.objective <= 1 for r in found if r.state == TrialState.COMPLETE)
    ledger = Ledger(Storage(tmp_path), "blind")
    kinds = Counter(ledger.clips("fan").part.tolist())
    assert {"fault", "machine", "section"} <= kinds.keys()
    shown = done("report", "blind")
    assert "pseudo-Ω" in shown
    assert "chosen without labels" in shown
    told = done("export", "blind", "--out", tmp_path / "models")
    assert "as no labels tell what is better" in told
    assert (tmp_path / "models" / "fan" / "model.onnx").exists()
    assert "no recording of a fault was needed" in (tmp_path / "models" / "valve" / "README.md").read_text()
    done("export", "blind", "--single", "--machines", "valve", "--out", tmp_path / "alone")
    assert "No anomaly" in (tmp_path / "alone" / "valve" / "README.md").read_text()


def test_hidden_clips_choose_nothing_and_new_seeds_confirm_the_best(
    recordings: Path, tmp_path: Path, humtune: Run, done: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search_here(monkeypatch)
    space = write_space(tmp_path, trials=3)
    words = ("--data", recordings, "--machines", "fan", "--name", "h")
    code, _, err = humtune("search", space, *words, "--holdout", "0.9", "--storage", tmp_path)
    assert code == 2
    assert "--holdout 0.9 hides 4 of 4 normal clips" in err
    done("search", space, *words, "--holdout", "0.5")
    ledger = Ledger(Storage(tmp_path), "h")
    clips = ledger.clips("fan")
    assert (
        Counter(clips.role.tolist())["hidden"] == Counter(clips.role.tolist())["select"] == 2 * 4 * 2
    )  # of two dev sections
    before = {r.id: r for r in ledger.records()}

    said = done("resume", "h", "--confirm", "1", "--seeds", "3")
    assert "[confirms 3/3]" in said
    found = {r.id: r for r in ledger.records()}
    assert {k: found[k] for k in before} == before
    again = [r for r in found.values() if r.origin == "confirm"]
    best = max(before.values(), key=lambda r: r.objective)
    assert [(r.state, r.params) for r in again] == [(TrialState.COMPLETE, best.params)] * 3
    assert len({r.seed for r in again} | {best.seed}) == 4
    assert len({r.objective for r in again}) > 1
    for record in found.values():
        for name, value in record.omega.items():
            scores = ledger.scores(record.id, name)
            assert float(omega(scores, Cells.of(clips, Role.SELECT))) == value
    done("resume", "h")
    assert {r.id: r for r in ledger.records()} == found  # nothing is left to do

    said = done("report", "h", "--json")
    told, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])  # progress stands beside it
    row = told["rows"][0]
    means = {s: sum(r.omega[s] for r in again) / 3 for s in again[0].omega}
    score = max(means, key=lambda s: means[s])
    assert (row["score"], row["seeds"]) == (score, 3)
    assert row["omega_confirmed"] == pytest.approx(100 * means[score], abs=1e-3)
    assert row["trial"] == sorted(again, key=lambda r: (r.omega[score], r.number))[1].id
    assert row["omega_hidden_low"] <= row["omega_hidden_official"] <= row["omega_hidden_high"]
    done("export", "h", "--single", "--out", tmp_path / "models")
    info = json.loads((tmp_path / "models" / "fan" / "model.json").read_text())
    assert (info["trial"], info["score_type"]) == (row["trial"], row["score"])
    card = (tmp_path / "models" / "fan" / "README.md").read_text()
    assert "16 labelled test clips that chose nothing" in card
    assert "**Ω hidden**" in card
    assert "trained again" in card
    done("submit", "h", "--out", tmp_path / "submission")
    lines = [f.read_text().splitlines() for f in (tmp_path / "submission").glob("anomaly_score_*.csv")]
    test = [*recordings.glob("*/fan/test/*.wav")]
    assert sum(map(len, lines)) == len(test) > 32
