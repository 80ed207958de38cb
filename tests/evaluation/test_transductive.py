import numpy as np
import pytest

from humtune.evaluation.transductive import CALIBRATIONS, ranks, standard, tail

SECTION = np.array([3, 3, 3, 3, 7, 7, 7])


def test_ranks_are_within_the_section_and_ties_share():
    scores = [[5.0, -1.0, 5.0, 100.0, 1000.0, 2000.0, 1500.0]]
    expected = [[0.5, 0.2, 0.5, 0.8, 0.25, 0.75, 0.5]]
    np.testing.assert_allclose(ranks(scores, SECTION), expected)


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_every_way_keeps_the_order_within_a_section_and_is_finite(name):
    scores = np.random.default_rng(0).normal(size=(4, 7)) ** 3
    found = CALIBRATIONS[name](scores, SECTION)
    assert np.isfinite(found).all()
    for number in (3, 7):
        here = np.equal(SECTION, number)
        np.testing.assert_array_equal(found[:, here].argsort(axis=1), scores[:, here].argsort(axis=1))


@pytest.mark.parametrize("name", sorted(set(CALIBRATIONS) - {"standard"}))
def test_what_rests_on_ranks_knows_no_unit(name):
    scores = np.random.default_rng(0).normal(size=7)
    way = CALIBRATIONS[name]
    np.testing.assert_allclose(way(np.exp(scores), SECTION), way(scores, SECTION))


def test_standard_scores_have_no_unit_and_equal_ones_are_zero():
    scores = np.array([1.0, 2.0, 3.0, 6.0, 5.0, 5.0, 5.0])
    found = standard(scores, SECTION)
    np.testing.assert_allclose(standard(9 * scores - 4, SECTION), found)
    assert found[:4].mean() == pytest.approx(0)
    assert found[:4].std() == pytest.approx(1)
    assert found[4:].tolist() == [0, 0, 0]


def test_the_tail_stretches_the_anomalous_end_alone():
    found = np.sort(tail(np.arange(100.0), np.zeros(100, int)))
    assert found[-1] - found[-2] > 30 * (found[1] - found[0])
