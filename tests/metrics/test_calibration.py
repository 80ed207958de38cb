import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humtune.errors import HumtuneError, UsageError
from humtune.metrics.calibration import (
    GammaTail,
    Standard,
    clips_needed,
    decide,
    effective_clips,
    false_alarm_rate,
    least_rate,
    ranks,
    threshold_from,
)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 10])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(UsageError, match=f"between 0 and 1, got {rate}"):
        threshold_from([1.0, 2.0], false_alarms=rate)


def test_no_clips_and_broken_scores_are_refused():
    with pytest.raises(HumtuneError, match="no held-out normal clips"):
        threshold_from([])
    with pytest.raises(HumtuneError, match="held-out normal clip has the score nan"):
        threshold_from([1.0, np.nan])


@given(
    scores=st.lists(st.integers(-3, 3) | st.floats(-9, 9), min_size=1, max_size=60),
    rate=st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.5]),
)
def test_the_wanted_rate_is_not_exceeded_on_the_held_out_clips(scores, rate):
    threshold = threshold_from(scores, false_alarms=rate)
    assert false_alarm_rate(scores, threshold.value) <= rate
    assert (threshold.value in scores) or threshold.fit == "tail"
    assert (threshold.fit != "quantile") == ((len(scores) + 1) * rate < 1 - 1e-9)


@given(
    scores=st.lists(st.floats(-9, 9), min_size=1, max_size=40),
    groups=st.integers(1, 5),
    rates=st.lists(st.floats(0.001, 0.9), min_size=2, max_size=2),
)
def test_a_smaller_rate_never_has_a_lower_threshold(scores, groups, rates):
    names = np.arange(len(scores)) % groups
    low, high = (threshold_from(scores, false_alarms=rate, groups=names).value for rate in sorted(rates))
    assert low >= high


def test_the_threshold_is_no_higher_than_it_has_to_be():
    scores = np.random.default_rng(0).permutation(99)
    threshold = threshold_from(scores, false_alarms=0.1)
    assert threshold.value == 89  # nine of 99 above, and ten in a hundred with the new one
    assert threshold.note is None


def test_too_few_clips_are_gone_beyond_and_said():
    threshold = threshold_from(np.arange(8.0), false_alarms=0.1)
    assert threshold.value > 7
    assert (threshold.clips, threshold.fit) == (8, "tail")
    assert threshold.note.startswith(
        "8 healthy clips can promise a false-alarm rate of 11.1%, not of 10.0% (9 needed)"
    )
    assert threshold_from(np.arange(9.0), false_alarms=0.1).note is None


def test_a_single_clip_promises_nothing():
    threshold = threshold_from([3.0], false_alarms=0.1)
    assert (threshold.value, threshold.fit) == (3, "single")
    assert threshold.note.startswith(
        "a single healthy clip can't promise a false-alarm rate of 10.0% (9 need"
    )
    assert "tail" not in threshold.note
    assert threshold_from([3.0], false_alarms=0.5).fit == "quantile"


@pytest.mark.parametrize("clips", [5, 20, 50])
@pytest.mark.parametrize("rate", [0.1, 0.02, 0.005])
def test_an_exponential_tail_keeps_its_promise_on_average(clips, rate):
    """Of exponential scores: however few the clips, over many draws so many new ones lie above."""
    rng = np.random.default_rng(0)
    found = [threshold_from(rng.exponential(size=clips), false_alarms=rate).value for _ in range(4_000)]
    given = np.exp(-np.array(found)).mean()
    assert 0.7 * rate < given < 1.1 * rate


def test_scores_without_spread_have_a_threshold_too():
    assert threshold_from(np.full(5, 3.0), false_alarms=0.01).value == 3


def test_clips_of_a_group_that_score_alike_count_for_one():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 20)
    of_group, own = rng.normal(size=50)[groups], rng.normal(size=1000)
    assert effective_clips(of_group, groups) == pytest.approx(50)
    assert effective_clips(own, groups) > 600
    halves = effective_clips(of_group + own, groups)  # half of the variance lies between the groups
    assert halves == pytest.approx(1000 / (1 + 19 * 0.5), rel=0.15)
    assert effective_clips(own, np.zeros(1000)) == 1
    assert effective_clips(own, np.arange(1000)) == effective_clips(own) == 1000


def test_thresholds_of_few_groups_hold_for_new_groups():
    """Of twelve groups: taken for single clips they promise too much."""
    rng = np.random.default_rng(0)
    rates = {"clips": [], "groups": []}
    for _ in range(1_000):
        level = rng.normal(size=13)
        held_out = (level[:12, None] + 0.5 * rng.normal(size=(12, 10))).ravel()
        new = level[12] + 0.5 * rng.normal(size=50)
        for name, groups in (("clips", None), ("groups", np.repeat(np.arange(12), 10))):
            threshold = threshold_from(held_out, false_alarms=0.02, groups=groups)
            rates[name].append(false_alarm_rate(new, threshold.value))
    assert np.mean(rates["clips"]) > 1.3 * 0.02
    assert np.mean(rates["groups"]) < 0.02


def test_what_a_rate_needs_is_what_can_promise_it():
    assert least_rate(99) == pytest.approx(0.01)
    assert clips_needed(0.01, 45, 45) == 99
    assert clips_needed(0.01, 100, 50) == 198


def test_a_score_on_the_threshold_is_no_alarm():
    np.testing.assert_array_equal(decide([0.5, 1.0, 1.5], 1.0), [False, False, True])
    assert np.isnan(false_alarm_rate([], 1.0))


@pytest.mark.parametrize("scale", [Standard, GammaTail])
def test_a_scale_needs_two_clips_with_finite_scores(scale):
    with pytest.raises(HumtuneError, match="needs 2 held-out normal clips or more, got 1"):
        scale.of([1.0])
    with pytest.raises(HumtuneError, match="held-out normal clip has the score inf"):
        scale.of([1.0, np.inf])


def test_standard_scores_count_standard_deviations():
    scale = Standard.of([1.0, 3.0])
    np.testing.assert_allclose(scale([[2.0, 3.0], [5.0, 0.0]]), [[0, 1], [3, -2]])


@settings(deadline=None, max_examples=50)
@given(
    held_out=st.lists(st.floats(-1e6, 1e6) | st.integers(-2, 2), min_size=2, max_size=40),
    scores=st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=40),
)
def test_a_gamma_tail_is_finite_and_never_turns_an_order_around(held_out, scores):
    found = GammaTail.of(held_out)(np.sort(scores))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= -1e-9 * max(1e-3, np.abs(found).max())).all()


@pytest.mark.parametrize("clips", [100, 1000])
def test_a_gamma_tail_makes_normal_clips_normal(clips):
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(50):
        scale = GammaTail.of(rng.gamma(3, 2, clips))
        found = scale(rng.gamma(3, 2, 2000))
        shares.append([np.mean(found > z) for z in (0, 1.2816, 2.3263)])
    mean = np.mean(shares, axis=0)
    np.testing.assert_allclose(mean[:2], [0.5, 0.1], rtol=0.1)
    assert mean[2] == pytest.approx(0.01, abs=0.005)


def test_a_gamma_tail_tells_apart_what_exceeds_every_held_out_clip():
    held_out = np.random.default_rng(0).gamma(3, 2, 100)
    scale = GammaTail.of(held_out)
    beyond = held_out.max() * np.array([1.0, 1.1, 2, 20, 2000])
    assert (np.diff(scale(beyond)) > 0).all()
    one_by_one = [float(scale(score)) for score in beyond]
    np.testing.assert_array_equal(one_by_one, scale(beyond))


def test_two_detectors_with_other_units_have_the_same_calibrated_scores():
    rng = np.random.default_rng(0)
    held_out, scores = rng.gamma(3, 2, 100), rng.gamma(4, 3, 50)
    np.testing.assert_allclose(
        GammaTail.of(70 * held_out - 900)(70 * scores - 900), GammaTail.of(held_out)(scores), rtol=1e-6
    )


SECTION = np.array([3, 3, 3, 3, 7, 7, 7])


def test_ranks_are_within_the_section_and_ties_share():
    scores = [[5.0, -1.0, 5.0, 100.0, 1000.0, 2000.0, 1500.0]]
    expected = [[0.5, 0.2, 0.5, 0.8, 0.25, 0.75, 0.5]]
    np.testing.assert_allclose(ranks(scores, SECTION), expected)
    np.testing.assert_allclose(ranks(np.exp(np.array(scores) / 1000), SECTION), expected, err_msg="no unit")
