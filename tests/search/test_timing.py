"""A search's choice how to compute its trials: made once, per size, kept in the plan."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from ray.exceptions import GetTimeoutError, RayError, RayTaskError, WorkerCrashedError
from rich.console import Console

from humtune.config import Acceleration
from humtune.detectors.classifier import recipe as classifier
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.recipe import Estimate
from humtune.plan import Resources
from humtune.search import timing
from humtune.search.clock import Clock
from humtune.search.timing import Timed, calibrate, calibrated
from humtune.sounds import parallel

Make = Callable[..., Any]

SMALL = {"n_fft": 128, "chunk_frames": 16, "n_mels": 16}
SPACE: dict[str, Any] = {
    "fixed": {
        "backbone": {"width": 0.125, "embedding": 16},
        "training": {"epochs": 3, "batch_size": 8, "chunks_per_clip": 1},
    },
    "search": {
        "spectrogram": {
            "presets": {"low": SMALL, "power": {**SMALL, "db": False}, "high": {**SMALL, "chunk_frames": 32}}
        },
        "head.mu": [5, 10],
    },
}
LOW, HIGH = (f"16×{frames}, width 0.125, relu, batch 8" for frames in (16, 32))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def search(on_disk: Make) -> Any:
    """A search of two sizes, by three spectrograms."""
    return on_disk(**SPACE)


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Tasks run here; what each asked for."""
    wanted: list[dict[str, Any]] = []

    class Task:
        def __init__(self, function: Callable[..., Any]) -> None:
            self.remote = function

    def remote(**resources: Any) -> Callable[[Callable[..., Any]], Task]:
        wanted.append(resources)
        return Task

    monkeypatch.setattr(timing.ray, "remote", remote)
    monkeypatch.setattr(timing.ray, "get", lambda result, timeout: result)
    return wanted


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RayTaskError("calibrate", "traceback", MemoryError("4 GB")), "timing it failed: 4 GB"),
        (WorkerCrashedError(), "timing it failed: The worker died"),
    ],
)
def test_a_calibration_that_fails_is_told_and_compiles_nothing(
    search: Any,
    no_cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: RayError,
    told: str,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(timing, "calibrate", fail)
    assert calibrated(search.ledger, Clock()).accelerations == {}
    assert told in capsys.readouterr().err
    assert search.ledger.plan.acceleration(Classifier().size) == Acceleration()


def test_timing_is_a_line_in_a_log(
    search: Any, no_cluster: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parallel, "_console", lambda: Console(stderr=True))
    monkeypatch.setattr(parallel, "_QUIET", 0.01)
    monkeypatch.setattr(timing, "calibrate", lambda *_: time.sleep(0.1) or Timed({}, {}))
    calibrated(search.ledger, Clock())
    assert capsys.readouterr().err == "timing a few training steps: 0 s so far\n"


def test_every_size_is_asked_for_once(search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def estimate(recipe: Classifier, *_: Any, compiled: bool | None, **__: Any) -> Estimate:
        assert compiled is None  # whatever pays
        asked.append(recipe.size)
        how = Acceleration(compiled=recipe.spectrogram.chunk_frames > 16)
        return Estimate(acceleration=how, step_seconds=1.0, trial_seconds=3.0)

    monkeypatch.setattr(classifier, "estimate", estimate)
    timed = calibrate(search.ledger.storage.uri, search.ledger.name)
    assert timed.accelerations == {LOW: Acceleration(), HIGH: Acceleration(compiled=True)}
    assert timed.seconds == {"fan": {LOW: pytest.approx(3.0), HIGH: pytest.approx(3.0)}}
    assert asked == [LOW, HIGH]


def test_of_a_limited_time_only_some_goes_into_timing(
    search: Any, no_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def estimate(*_: Any, **__: Any) -> Estimate:
        return Estimate(acceleration=Acceleration(), step_seconds=1.0, trial_seconds=3.0)

    monkeypatch.setattr(classifier, "estimate", estimate)
    timed = calibrate(search.ledger.storage.uri, search.ledger.name, -1.0)
    assert timed == Timed({}, {"fan": {}})

    def late(_: Any, timeout: float) -> None:
        assert timeout == pytest.approx(30.0, abs=5.0)
        raise GetTimeoutError

    cancelled: list[Any] = []
    monkeypatch.setattr(timing, "calibrate", lambda *_: timed)
    monkeypatch.setattr(timing.ray, "get", late)
    monkeypatch.setattr(timing.ray, "cancel", lambda made, force: cancelled.append(made))
    plan = calibrated(search.ledger, Clock(60.0, whole=60.0))
    assert (plan.accelerations, plan.seconds, cancelled) == ({}, {}, [timed])


def test_trials_this_short_are_not_compiled(search: Any) -> None:
    chosen = calibrate(search.ledger.storage.uri, search.ledger.name)
    assert chosen.accelerations == {LOW: Acceleration(), HIGH: Acceleration()}


def test_the_choice_is_made_where_trials_run_and_kept_in_the_plan(
    search: Any, no_cluster: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = search.ledger
    ledger.write_plan(ledger.plan.asking(resources=Resources(cpus=2.0, gpus=0.5)))
    chosen = {LOW: Acceleration(compiled=True)}
    monkeypatch.setattr(timing, "calibrate", lambda uri, name, seconds: Timed(chosen, {}))
    assert calibrated(ledger, Clock()) == ledger.plan
    assert ledger.plan.accelerations == chosen
    assert no_cluster == [{"num_cpus": 2.0, "num_gpus": 0.5, "max_retries": 0}]
    calibrated(ledger, Clock())
    assert len(no_cluster) == 1  # a resumed search has its choice
    low, high = (search.space.recipe({"spectrogram": name}) for name in ("low", "high"))
    assert ledger.plan.acceleration(low.size) == Acceleration(compiled=True)
    assert ledger.plan.acceleration(high.size) == Acceleration()  # nobody timed it


@pytest.mark.parametrize("said", [True, False])
def test_nothing_is_timed_where_the_person_has_said(search: Any, no_cluster: Any, said: bool) -> None:
    ledger = search.ledger
    ledger.write_plan(ledger.plan.asking(resources=Resources(compiled=said, precision="bf16")))
    assert calibrated(ledger, Clock()).acceleration(Classifier().size) == Acceleration(
        compiled=said, bf16=True
    )
    assert no_cluster == []
