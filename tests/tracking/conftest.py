"""A ledger made by hand, an MLflow database that is ready, and what the one must look like in the other."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from humtune.detectors.classifier.heads import VariationalHead
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.ledger import Ledger
from humtune.plan import Asked, Machine, Plan
from humtune.records import Epoch, TrialRecord, TrialState, trial_id
from humtune.sounds.table import ClipTable, Role
from humtune.storage import Storage
from humtune.tracking.place import connect

CREATED = 1_700_000_000.25
STATUS = {"running": "RUNNING", "complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


def make_clips(machine: str) -> ClipTable:
    cells = [(s, d, y) for s in range(2) for d in (0, 1) for y in (0, 1) for _ in range(5)]
    n = len(cells)
    return ClipTable.from_columns(
        machine=machine,
        name=[f"clip_{i:04d}.wav" for i in range(n)],
        part=["dev"] * n,
        split=["test"] * n,
        section=[c[0] for c in cells],
        domain=[c[1] for c in cells],
        label=[c[2] for c in cells],
        attributes=[""] * n,
        role=[str(Role.SELECT)] * n,
    )


def make_record(
    machine: str = "fan",
    number: int = 0,
    *,
    state: TrialState = TrialState.COMPLETE,
    epochs: int = 3,
    omega: float | None = None,
    late: float = 0.0,
    metrics: int = 3,
    **changes: Any,
) -> TrialRecord:
    """A plausible record, the same for the same arguments; `late` moves its epochs in time."""
    rng = np.random.default_rng([len(machine), number])
    started = CREATED + 10 * number + 1 / 3
    names = ["loss", "accuracy", "learning_rate", *(f"extra_{i}" for i in range(metrics - 3))]
    rows = [
        Epoch(
            epoch=e,
            ended=started + e + late,
            seconds=1.0,
            metrics={name: float(rng.normal()) for name in names},
        )
        for e in range(1, epochs + 1)
    ]
    best = float(rng.uniform(0.5, 0.9)) if omega is None else omega
    values: dict[str, Any] = {
        "id": trial_id(machine, number),
        "machine": machine,
        "number": number,
        "origin": "first" if number == 0 else "sampler",
        "params": {"spectrogram": "fan", "mu": 10.0, "sigma2": 0.1 + number},
        "config": Classifier(
            spectrogram=Spectrogram(n_fft=512, n_mels=None), head=VariationalHead(sigma2=0.1 + number)
        ),
        "state": state,
        "started": started,
        "ended": None if state == TrialState.RUNNING else started + epochs + 0.125 + late,
        "seconds": float(epochs),
        "epochs": tuple(rows),
        "omega": {"cosine": best - 1 / 7, "nll": best} if state == TrialState.COMPLETE else {},
        "reason": "CUDA out of memory" if state == TrialState.FAILED else None,
        "data_hash": "ab12",
        "version": "0.1.0",
        "host": "node-1",
        "device": "cpu",
    }
    return TrialRecord(**{**values, **changes})


def make_ledger(folder: Path, *, name: str = "hums", machines: tuple[str, ...] = ("fan", "valve")) -> Ledger:
    ledger = Ledger(Storage(folder), name)
    plan = Plan(
        name=name,
        created=CREATED,
        version="0.1.0",
        asked=Asked(space={}, data="recordings", trials=4),
        machines={m: Machine(bank=f"banks/{m}", data_hash="ab12") for m in machines},
    )
    ledger.create(plan, {m: make_clips(m) for m in machines})
    return ledger


def add(ledger: Ledger, record: TrialRecord) -> TrialRecord:
    """Write a record, and for a complete one its scores, as a trial does."""
    if record.state == TrialState.COMPLETE:
        rng = np.random.default_rng(record.number)
        clips = ledger.clips(record.machine)
        ledger.write_scores(
            record.id, {name: rng.normal(size=len(clips)) + clips.label for name in record.omega}
        )
    ledger.write(record)
    return record


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Two machines, a trial in every state."""
    made = make_ledger(tmp_path / "runs")
    for machine in ("fan", "valve"):
        add(made, make_record(machine, 0))
        add(made, make_record(machine, 1, state=TrialState.PRUNED, epochs=1))
        add(made, make_record(machine, 2, state=TrialState.FAILED, epochs=0))
        add(made, make_record(machine, 3, state=TrialState.RUNNING, epochs=2))
    return made


@pytest.fixture
def small(tmp_path: Path) -> Ledger:
    """One machine, nothing tried yet."""
    return make_ledger(tmp_path / "runs", machines=("fan",))


@pytest.fixture
def sketches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that cost nothing to draw."""

    def sketch(scores: NDArray[np.float64], table: ClipTable, *, title: str) -> SimpleNamespace:
        assert scores.shape == (len(table),)
        return SimpleNamespace(to_png=lambda: title.encode() + scores.tobytes())

    for name in ("score_histogram", "roc_curves"):
        monkeypatch.setattr(f"humtune.formatting.plots.{name}", sketch)


# What tests call, as fixtures: test modules can't import from one another.


@pytest.fixture
def new_ledger() -> Callable[..., Ledger]:
    return make_ledger


@pytest.fixture
def record() -> Callable[..., TrialRecord]:
    return make_record


@pytest.fixture
def write() -> Callable[[Ledger, TrialRecord], TrialRecord]:
    return add


@pytest.fixture
def held() -> Callable[[str], dict[str, Any]]:
    return everything


@pytest.fixture
def named() -> Callable[[str], dict[str, Any]]:
    return by_name


@pytest.fixture
def same() -> Callable[[str, Ledger], None]:
    return assert_same


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An MLflow with nothing in it, away from the storage."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def everything(uri: str) -> dict[str, Any]:
    """All that MLflow holds: runs with parameters, tags, times, histories and artifacts, by run id."""
    client = connect(uri)
    experiments = [e for e in client.search_experiments() if e.name != "Default"]
    held: dict[str, Any] = {}
    for run in (run for e in experiments for run in client.search_runs([e.experiment_id])):
        history = {
            key: [
                (m.step, m.timestamp, repr(m.value)) for m in client.get_metric_history(run.info.run_id, key)
            ]
            for key in run.data.metrics
        }
        files = [f.path for f in client.list_artifacts(run.info.run_id, "best")]
        held[run.info.run_id] = {
            "info": dict(run.info),
            "params": run.data.params,
            "tags": run.data.tags,
            "history": history,
            "artifacts": files,
        }
    return held


def by_name(uri: str) -> dict[str, dict[str, Any]]:
    """The same by run name; every name is there once."""
    held = list(everything(uri).values())
    names = [run["info"]["run_name"] for run in held]
    assert len(set(names)) == len(names), f"duplicates among {names}"
    return dict(zip(names, held, strict=True))


def assert_same(uri: str, ledger: Ledger) -> None:
    """MLflow says of every trial and machine what the ledger says, and nothing else."""
    runs, plan, records = by_name(uri), ledger.plan, list(ledger.records())
    assert set(runs) == {r.id for r in records} | set(plan.machines)
    for record in records:
        run, settings = runs[record.id], record.settings
        assert run["info"]["status"] == STATUS[record.state]
        assert run["info"]["start_time"] == round(record.started * 1000)
        if record.ended is not None:
            assert run["info"]["end_time"] == round(record.ended * 1000)
        said = {
            "n_fft": settings["spectrogram.n_fft"],
            "chunk_frames": settings["spectrogram.chunk_frames"],
            "n_mels": settings["spectrogram.n_mels"],
            "db": settings["spectrogram.db"],
            "mu": settings["head.mu"],
            "sigma2": settings["head.sigma2"],
            "beta_class": settings["head.beta_class"],
            "width": settings["backbone.width"],
            "epochs": settings["training.epochs"],
            "milestones": settings["training.milestones"],
            "scores": settings["scores"],
            "seed": record.seed,
        }
        assert {name: json.loads(run["params"][name]) for name in said} == said
        assert run["params"]["activation"] == "relu"
        tags = run["tags"]
        assert tags["mlflow.parentRunId"] == runs[record.machine]["info"]["run_id"]
        assert tags["humtune.search"] == ledger.name
        assert tags["humtune.machine"] == record.machine
        assert tags["humtune.trial"] == record.id
        assert tags["state"] == record.state
        assert tags["reason"] == (record.reason or "")
        assert [tags[k] for k in ("data_hash", "version", "host", "device")] == [
            record.data_hash,
            record.version,
            record.host,
            record.device,
        ]
        assert run["history"] == histories(record)
    for machine in plan.machines:
        assert_same_machine(runs, plan, [r for r in records if r.machine == machine], machine)


def histories(record: TrialRecord) -> dict[str, list[tuple[int, int, str]]]:
    """The metric histories that a record must have in MLflow."""
    expected: dict[str, list[tuple[int, int, str]]] = {}
    for epoch in record.epochs:
        for key, value in epoch.metrics.items():
            expected.setdefault(key, []).append((epoch.epoch, round(epoch.ended * 1000), repr(value)))
    if record.judged and record.state != TrialState.RUNNING:
        last = record.epochs[-1]
        finals = {"omega": record.objective, **{f"omega_{k}": v for k, v in record.omega.items()}}
        for key, value in finals.items():
            point = (last.epoch, round(last.ended * 1000), repr(value))
            expected[key] = [p for p in expected.get(key, []) if p[0] != last.epoch] + [point]
    return expected


def assert_same_machine(runs: dict[str, Any], plan: Plan, records: list[TrialRecord], machine: str) -> None:
    parent = runs[machine]
    over = [r for r in records if r.state != TrialState.RUNNING]
    assert parent["info"]["start_time"] == round(plan.created * 1000)
    assert parent["info"]["status"] == ("FINISHED" if len(over) >= plan.asked.trials else "RUNNING")
    crowned = [r.id for r in records if runs[r.id]["tags"].get("humtune.best") == "true"]
    complete = [r for r in records if r.state == TrialState.COMPLETE]
    if not complete:
        assert crowned == []
        assert "best" not in parent["tags"]
        return
    best = max(complete, key=lambda r: (r.objective, -r.number))
    assert crowned == [best.id]
    assert parent["tags"]["best"] == best.id
    assert parent["history"]["omega"][-1][1:] == (round(best.ended * 1000), repr(best.objective))
    assert parent["artifacts"] == ["best/config.json", "best/roc.png", "best/scores.png"]
