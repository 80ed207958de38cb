"""`humtune learn`, killed in each of its parts: the same command finishes, and nothing is lost or double."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from humtune.drafts import PREFIX
from humtune.ledger import Ledger, searches
from humtune.sounds.groups import recording_names
from humtune.storage import Storage

pytestmark = pytest.mark.integration

Learn = Callable[..., list[str]]

KILLED = Path(__file__).parents[1] / "support" / "killed.py"
SPACE = """
sampler: grid
fixed: {n_fft: 512, n_mels: 16, components: 1, scores: [own, knn]}
search:
  family: {presets: {plain: {family: gaussian_mixture}, loud: {family: gaussian_mixture, pooling: gwrp}}}
"""
SCORES = ("own", "knn")
MOMENTS = (
    "dev_data/pump",  # the data set
    "clips/pump.json",  # the search, before its plan
    "plan.json",
    "pump-00000/record.json",  # a trial whose scores and detector are there
    "pump-00001/scores/knn.npy",
    "ensembles/pump.npy",
    "ensembles/pump.json",  # its scores are there
    "models/pump",
)
CONTINUED = (
    "plan.json",
    "pump-00001/record.json",
    "models/pump",
)


def record(folder: Path, seeds: range) -> Path:
    """Recordings of 20 s: a hum that is never quite the same."""
    folder.mkdir()
    time = np.arange(20 * 16_000) / 16_000
    for seed in seeds:
        chance = np.random.default_rng(seed)
        hum = sum(np.sin(2 * np.pi * f * time) * chance.uniform(0.8, 1.2) for f in (120, 240, 480))
        sound = 0.05 * hum + 0.01 * chance.standard_normal(len(time))
        soundfile.write(folder / f"recording {seed}.flac", sound, 16_000)
    return folder


@pytest.fixture
def learn(tmp_path: Path, mlflow_ready: Callable[[Path], Path]) -> Iterator[Learn]:
    """Have the command killed at some moments, a run each, and then run through; how the others ended."""
    (tmp_path / "space.yaml").write_text(SPACE)
    script = subprocess.Popen(
        [sys.executable, KILLED, tmp_path / "space.yaml"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(KILLED.parent)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert script.stdin is not None
    assert script.stdout is not None

    def run(place: Path, *words: str, moments: tuple[str, ...] = ()) -> list[str]:
        if not (place / "runs").exists():
            place.mkdir(exist_ok=True)
            mlflow_ready(place / "runs")
        job = {"folder": str(place), "words": ["learn", *words, "--storage", "runs"], "moments": moments}
        print(json.dumps(job), file=script.stdin, flush=True)
        said = list(takewhile(lambda line: line != "done\n", script.stdout))
        ends = [line.strip() for line in said if line.partition(": ")[0] in (*moments, "through")]
        assert len(ends) == len(moments) + 1, "".join(said)
        assert ends[-1] == "through: exit 0", "".join(said)
        return ends[:-1]

    with script:  # whose end closes what the script reads
        yield run


def kept(place: Path) -> dict[str, Any]:
    """All that a search of the storage and the model say, without names of places and times."""
    storage = Storage(place / "runs")
    [name] = searches(storage)
    ledger = Ledger.open(storage, name)
    info = json.loads((place / "models/pump/model.json").read_text())
    return {
        "trials": {r.id: (str(r.state), r.omega, r.pseudo, len(r.epochs)) for r in ledger.records()},
        "scores": {r.id: [ledger.scores(r.id, s).tolist() for s in SCORES] for r in ledger.records()},
        "model": {key: info[key] for key in ("threshold", "evidence", "configuration")},
    }


def mlflow_runs(storage: Path) -> Counter[str]:
    """How many runs MLflow has of each trial."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    experiments = [e.experiment_id for e in client.search_experiments()]
    tags = [run.data.tags for run in client.search_runs(experiments)]
    return Counter(found["humtune.trial"] for found in tags if "humtune.trial" in found)


def test_the_same_command_finishes_what_was_killed_anywhere(tmp_path: Path, learn: Learn) -> None:
    healthy = record(tmp_path / "pump", range(12))
    words = (str(healthy), "--out", "models/pump")
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    learn(unbroken, *words)
    ends = learn(broken, *words, moments=MOMENTS)
    assert ends == [f"{moment}: killed" for moment in MOMENTS]
    assert kept(broken) == kept(unbroken)
    assert mlflow_runs(broken / "runs") == {"pump-00000": 1, "pump-00001": 1}
    windows = sorted(p.name for p in (broken / "runs").glob("recordings/pump/dev_data/pump/train/*"))
    assert windows == [f"section_00_source_train_normal_{i:04d}.flac" for i in range(24)]
    assert list(broken.rglob(f"{PREFIX}*")) == []

    more = (str(record(tmp_path / "more", range(20, 25))), "--continue", "models/pump")
    before = (broken / "models/pump/model.json").read_bytes()
    ends = learn(broken, *more, moments=CONTINUED)
    assert ends == [f"{moment}: killed" for moment in CONTINUED]
    info = json.loads((broken / "models/pump/model.json").read_text())
    first, second = sorted(searches(Storage(broken / "runs")), key=lambda name: name == info["search"])
    ledger = Ledger.open(Storage(broken / "runs"), second)
    assert [r.id for r in ledger.records()] == ["pump-00000", "pump-00001"]
    recordings = set(recording_names(ledger.bank("pump").table.attributes).tolist())
    assert len(recordings) == 12 + 5
    assert len(ledger.bank("pump").table) == 2 * len(recordings)
    assert (broken / "models/pump/before/model.json").read_bytes() == before
    assert json.loads(before)["search"] == first
    assert mlflow_runs(broken / "runs") == {"pump-00000": 2, "pump-00001": 2}  # one in each search
    assert list(broken.rglob(f"{PREFIX}*")) == []
