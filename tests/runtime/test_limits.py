"""The limits of recordings of any length."""

from collections.abc import Callable

import numpy as np
import pytest
from models import RATE, make_info
from numpy.typing import NDArray

from humtune.runtime.info import Evidence, ModelInfo, Recalibration
from humtune.runtime.limits import Limits
from humtune.runtime.promises import GroupScores, HealthyScores, promises
from humtune.runtime.scale import Scale

WINDOW = 10 * RATE
LENGTHS = (1, 2, 3, 6, 30)  # windows beside each other


def recordings(rng: np.random.Generator, count: int, length: int, between: float) -> NDArray[np.float64]:
    """Scores [count, 2 length - 1] of the windows of healthy recordings.

    A window is as strange as the halves that it shares with its neighbours, and as its recording.
    """
    halves = rng.gamma(2, size=(count, 2 * length)) + between * rng.normal(size=(count, 1))
    return 0.35 * (halves[:, :-1] + halves[:, 1:]) + 0.3 * np.maximum(halves[:, :-1], halves[:, 1:])


def model(windows: NDArray[np.float64], **changes: object) -> ModelInfo:
    """A model whose healthy scores are these, [recording, window]."""
    groups = [
        GroupScores(domain="any", group=str(i), scores=tuple(own)) for i, own in enumerate(windows.tolist())
    ]
    evidence = Evidence(held_out=(0.0,), clip_samples=WINDOW, left_out=groups, **changes)
    return make_info(evidence=evidence, window=WINDOW).with_threshold(0.1)


def by_recordings(rng: np.random.Generator, between: float) -> ModelInfo:
    return model(recordings(rng, 20, 6, between), clip_windows=1)


def by_conditions(rng: np.random.Generator, between: float) -> ModelInfo:
    return model(recordings(rng, 12, 20, between)[:, ::2])


def by_clips(rng: np.random.Generator, between: float) -> ModelInfo:
    return model(recordings(rng, 100, 1, between))


@pytest.mark.parametrize("between", [0.0, 1.0])
@pytest.mark.parametrize("known", [by_recordings, by_conditions, by_clips])
def test_of_healthy_recordings_as_many_are_strange_whatever_their_length(
    known: Callable[[np.random.Generator, float], ModelInfo], between: float
) -> None:
    """Ten of a hundred were promised; lone clips don't say what the windows of a recording share."""
    rng, rates, by_one = np.random.default_rng(0), [], []
    for _ in range(40):
        info = known(rng, between)
        limits = Limits(info)
        highest = [recordings(rng, 200, length, between).max(axis=1) for length in LENGTHS]
        limit = [limits.scale(length * WINDOW).limit for length in LENGTHS]
        rates.append([np.mean(h > own) for h, own in zip(highest, limit, strict=True)])
        by_one.append([np.mean(h > info.threshold.value) for h in highest])
    one, two, three, six, thirty = np.mean(rates, axis=0)
    least = 0.025 if known is by_clips and between else 0.05
    for rate in (one, two, three, six):
        assert least < rate < 0.15
    assert thirty < 0.15
    assert np.mean(by_one, axis=0)[3] > 0.25  # what one limit for all would give


@pytest.mark.parametrize("known", [by_recordings, by_conditions, by_clips])
def test_the_limit_and_what_is_usual_never_fall_with_the_length(known) -> None:
    info = known(np.random.default_rng(1), 0.5)
    limits = Limits(info)
    scales = [limits.scale(round(x * WINDOW)) for x in np.geomspace(0.1, 9_000, 300)]
    assert (np.diff([scale.limit for scale in scales]) >= 0).all()
    assert (np.diff([scale.usual for scale in scales]) >= 0).all()
    assert all(scale.times(scale.limit) == 1 for scale in scales)
    assert scales[0].limit == limits.scale(WINDOW).limit == info.threshold.value


def test_the_highest_domain_counts_at_every_length() -> None:
    rng = np.random.default_rng(0)
    low, high = (
        [GroupScores(domain=name, group=f"{i}", scores=(s,)) for i, s in enumerate(rng.normal(at, 1, 99))]
        for name, at in (("source", 0), ("target", 3))
    )
    both, alone = (
        make_info(evidence=Evidence(held_out=(0.0,), clip_samples=WINDOW, left_out=some), window=WINDOW)
        for some in ([*low, *high], high)
    )
    for length in LENGTHS:
        found, wanted = (
            Limits(info.with_threshold(0.1)).scale(length * WINDOW).limit for info in (both, alone)
        )
        assert found == wanted


def test_a_threshold_stays_as_it_is_for_the_length_that_it_was_chosen_for() -> None:
    """By an earlier version, which took a recording's clips, or whole new ones, another way."""
    rng = np.random.default_rng(0)
    info = by_conditions(rng, 0.5).model_copy(update={"threshold": make_info().threshold})
    assert Limits(info).scale(WINDOW) == Scale(0.1, Limits(info).scale(1).usual)
    assert Limits(info).scale(6 * WINDOW).limit > 0.1
    groups = [
        GroupScores(domain="any", group=str(i), scores=tuple(own))
        for i, own in enumerate(recordings(rng, 30, 6, 0.5).tolist())
    ]
    kept = Recalibration(
        recordings="new", at="2026-11-30T00:00:00Z", healthy=groups, seconds=60.0, before=info.threshold
    )
    new = info.recalibrated(kept, 0.1)
    assert new.threshold.clips == 30
    limits = Limits(new)
    assert limits.scale(6 * WINDOW).limit == new.threshold.value
    assert limits.scale(WINDOW).limit < new.threshold.value < limits.scale(30 * WINDOW).limit
    old = Limits(new.model_copy(update={"threshold": make_info().threshold}))
    assert old.scale(6 * WINDOW).limit == 0.1


def test_a_model_that_keeps_no_scores_has_one_limit() -> None:
    limits = Limits(make_info())
    assert limits.scale(1) == limits.scale(100 * WINDOW) == Scale(0.1)


def test_clips_of_several_windows_are_counted_as_they_are_long() -> None:
    """Windows of 4 s in clips of 10 s: four of them; a minute is as long as six clips."""
    values = np.random.default_rng(0).gamma(2, size=(100, 1))
    usual, short = (model(values).model_copy(update={"window": s * RATE}) for s in (10, 4))
    assert short.windows_of_a_score == 4
    assert short.in_scores(short.windows(60 * RATE)) == pytest.approx(6, abs=0.1)
    assert Limits(short).scale(WINDOW) == Limits(usual).scale(WINDOW)


def test_stretches_of_a_recording_share_hardly_any_sound() -> None:
    windows, clips = HealthyScores((), overlapping=True), HealthyScores(())
    scores = [float(i) for i in range(11)]
    assert windows.highest([scores], 1) == ([0, 2, 4, 6, 8, 10], [0] * 6)
    assert clips.highest([scores], 1) == (scores, [0] * 11)
    assert windows.highest([scores, [3.0, 1.0]], 5) == ([4, 10, 3], [0, 0, 1])
    assert clips.highest([scores, [3.0, 1.0]], 5) == ([4, 10, 3], [0, 0, 1])
    assert windows.highest([scores], 30) == ([10], [0])


def test_a_promise_says_for_how_long_recordings_it_is() -> None:
    groups = by_recordings(np.random.default_rng(0), 0.5).healthy.groups
    (one,) = promises(HealthyScores(groups, overlapping=True), 0.1)
    (minute,) = promises(HealthyScores(groups, overlapping=True, length=11), 0.1)
    assert (one.threshold.clips, minute.threshold.clips) == (120, 20)
    assert minute.least == pytest.approx(1 / 21)
    assert minute.threshold.value > one.threshold.value
