import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gamma

from humtune.errors import HumtuneError, UsageError
from humtune.metrics.calibration import (
    FITS,
    GammaTail,
    Standard,
    decide,
    false_alarm_rate,
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
    assert threshold.value in scores


def test_the_threshold_is_no_higher_than_it_has_to_be():
    scores = np.random.default_rng(0).permutation(101)
    threshold = threshold_from(scores, false_alarms=0.1)
    assert threshold.value == 90
    assert threshold.note is None
    assert false_alarm_rate(scores, threshold.value) == pytest.approx(10 / 101)


def test_too_few_clips_give_the_highest_score_and_say_so():
    threshold = threshold_from(np.arange(9.0), false_alarms=0.1)
    assert threshold.value == 8
    assert threshold.clips == 9
    assert "9 held-out normal clips are too few for a false-alarm rate of 10.0% (10 needed)" in threshold.note
    assert threshold_from(np.arange(10.0), false_alarms=0.1).note is None


def test_a_gamma_threshold_needs_two_clips():
    with pytest.raises(HumtuneError, match="needs 2 held-out normal clips or more, got 1"):
        threshold_from([1.0], fit="gamma")


def test_a_gamma_threshold_is_the_fitted_distributions_quantile():
    held_out = np.random.default_rng(0).gamma(3, 2, 20_000)
    for rate in (0.5, 0.1, 0.01, 0.001):
        threshold = threshold_from(held_out, false_alarms=rate, fit="gamma")
        assert (threshold.fit, threshold.false_alarms, threshold.clips) == ("gamma", rate, 20_000)
        assert gamma.sf(threshold.value, 3, scale=2) == pytest.approx(rate, rel=0.1)
    same = threshold_from(50 * held_out - 700, false_alarms=0.1, fit="gamma").value
    assert same == pytest.approx(50 * threshold_from(held_out, fit="gamma").value - 700)


def test_where_clips_are_few_a_gamma_threshold_is_nearer_to_the_wanted_rate():
    """On average over many searches with 30 held-out clips each; the highest of them gives 1 / 31."""
    rng = np.random.default_rng(0)
    rates = {}
    for fit in FITS:
        found = [threshold_from(rng.gamma(3, 2, 30), false_alarms=0.01, fit=fit) for _ in range(500)]
        rates[fit] = np.mean([gamma.sf(t.value, 3, scale=2) for t in found])
    assert rates["quantile"] == pytest.approx(1 / 31, rel=0.15)
    assert 0.01 < rates["gamma"] < 0.8 * rates["quantile"]


def test_scores_without_spread_have_a_gamma_threshold_too():
    threshold = threshold_from(np.full(9, 3.0), false_alarms=0.1, fit="gamma")
    assert threshold.value == pytest.approx(3.0, abs=1e-4)


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
    assert (np.diff(found) >= -1e-9 * np.abs(found).max()).all()


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
