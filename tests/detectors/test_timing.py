"""Whether to compile: only where a trial is long, and where steps that were timed say that it pays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from humtune.config import Acceleration
from humtune.detectors.classifier import timing as timings
from humtune.detectors.classifier.fit import ClassifierFit
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.classifier.timing import COMPILING, WORTH, Timing, choose, measure
from humtune.errors import HumtuneError
from humtune.sounds.bank import ClipBank

LONG = 100 * COMPILING
TINY = {
    "spectrogram": {"n_fft": 128, "chunk_frames": 16, "n_mels": 16},
    "backbone": {"width": 0.125, "embedding": 16},
    "training": {"epochs": 3, "batch_size": 8, "chunks_per_clip": 1},
}
PLAIN, COMPILED = Acceleration(), Acceleration(compiled=True)


@pytest.fixture
def recipe() -> Classifier:
    return Classifier.model_validate(TINY)


@pytest.fixture
def choice(recipe: Classifier, bank: ClipBank) -> Callable[..., tuple[Acceleration, float]]:
    """What is chosen on a processor, in float32, for a long trial."""

    def make(**keys: Any) -> tuple[Acceleration, float]:
        settings: dict[str, Any] = {"bf16": False, "said": None, "trial_seconds": LONG}
        return choose(recipe, bank, device="cpu", **settings | keys)

    return make


def timed(monkeypatch: pytest.MonkeyPatch, timing: Timing | Exception) -> list[dict[str, Any]]:
    """Have steps timed so; every question that was asked."""
    asked: list[dict[str, Any]] = []

    def answer(*_: Any, **keys: Any) -> Timing:
        asked.append(keys)
        if isinstance(timing, Exception):
            raise timing
        return timing

    monkeypatch.setattr(timings, "measure", answer)
    return asked


def test_without_a_compiler_trials_are_not_compiled(
    choice: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = timed(monkeypatch, HumtuneError("torch.compile can't compile on hum-1 (no g++)"))
    assert choice() == (PLAIN, 1.0)
    assert len(asked) == 1
    with pytest.raises(HumtuneError, match="no g"):  # who says so shall know
        choice(said=True)


@pytest.mark.parametrize(
    ("timing", "trial_seconds", "pays"),
    [
        (Timing(plain=2.0, compiled=1.0, compiling=30.0), 301.0, True),
        (Timing(plain=2.0, compiled=1.0, compiling=30.0), 299.0, False),  # shorter than ten times compiling
        (Timing(plain=1.03, compiled=1.0, compiling=0.1), 1e6, False),  # noise
        (Timing(plain=1.0, compiled=1.5, compiling=0.1), 1e6, False),
        (Timing(plain=1.06, compiled=1.0, compiling=30.0), 400.0, False),  # saves less than it takes
        (Timing(plain=1.06, compiled=1.0, compiling=30.0), 4000.0, True),
    ],
)
def test_compiling_pays_where_it_saves_more_than_it_takes(
    timing: Timing, trial_seconds: float, pays: bool
) -> None:
    assert timing.pays(trial_seconds) is pays


def test_what_is_faster_is_chosen(choice: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, Timing(plain=3.0, compiled=2.0, compiling=20.0))
    assert choice() == (COMPILED, 1.5)
    timed(monkeypatch, Timing(plain=2.0, compiled=3.0, compiling=20.0))
    assert choice() == (PLAIN, 1.0)


def test_short_trials_are_not_timed_at_all(
    choice: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = timed(monkeypatch, Timing(plain=3.0, compiled=1.0, compiling=1.0))
    assert choice(trial_seconds=WORTH * COMPILING - 1) == (PLAIN, 1.0)
    assert choice(said=False) == (PLAIN, 1.0)
    assert asked == []


def test_the_persons_word_goes_before_the_clock(
    choice: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, Timing(plain=1.0, compiled=2.0, compiling=50.0))
    assert choice(said=True, trial_seconds=1.0) == (COMPILED, 0.5)


def test_the_precision_is_no_question_of_speed(
    choice: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = timed(monkeypatch, Timing(plain=3.0, compiled=2.0, compiling=20.0))
    assert choice(bf16=True) == (Acceleration(compiled=True, bf16=True), 1.5)
    assert asked[0]["ways"] == (Acceleration(bf16=True), Acceleration(compiled=True, bf16=True))


def test_steps_are_timed_in_turns_and_the_first_is_the_compilers(
    recipe: Classifier, bank: ClipBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    order: list[bool] = []
    seconds = iter([0.9, 30.0, 0.5, 0.2, 0.4, 0.25, 0.45, 0.3])  # the first two are the first steps

    def step(run: ClassifierFit, clips: np.ndarray) -> float:
        order.append(run.acceleration.compiled)
        assert len(clips) == run.recipe.training.batch_size  # a shorter batch is never compiled
        return next(seconds)

    monkeypatch.setattr(timings, "batch_seconds", step)
    timing = measure(recipe, bank, device="cpu", ways=(PLAIN, COMPILED))
    assert order == [False, True] * 4
    assert timing == Timing(plain=0.4, compiled=0.2, compiling=29.8)
