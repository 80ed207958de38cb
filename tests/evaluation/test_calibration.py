import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humtune.errors import HumtuneError, UsageError
from humtune.evaluation.calibration import decide, false_alarm_rate, threshold_from


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


def test_a_score_on_the_threshold_is_no_alarm():
    np.testing.assert_array_equal(decide([0.5, 1.0, 1.5], 1.0), [False, False, True])
    assert np.isnan(false_alarm_rate([], 1.0))
