import tracemalloc

import numpy as np
import pytest

from humtune.results.ensembles.agreement import by_agreement, copies, heaviest

RNG = np.random.default_rng(0)
STRANGE = RNG.normal(size=120)  # how strange each recording truly is


def detectors(*noise):
    """Scores of what is strange, each with noise of its own; of pure noise for infinity."""
    own = RNG.normal(size=(len(noise), len(STRANGE)))
    return np.stack([n if np.isinf(s) else STRANGE + s * n for n, s in zip(own, noise, strict=True)])


def test_pure_noise_among_good_detectors_has_next_to_no_say():
    scores = detectors(0.5, np.inf, 0.5, 0.5)
    weights = by_agreement(scores, "abcd")
    assert weights.sum() == pytest.approx(1)
    assert weights[1] < 0.05
    assert weights[[0, 2, 3]].min() > 0.25
    plain = np.corrcoef(scores.mean(axis=0), STRANGE)[0, 1]
    assert np.corrcoef(weights @ scores, STRANGE)[0, 1] > plain


def test_a_detector_that_is_wrong_all_the_time_has_none():
    scores = detectors(0.5, 0.5, 0.5, 0.5)
    scores[0] *= -1
    assert by_agreement(scores, "abcd")[0] == 0


def test_copies_of_a_detector_have_one_say_together_and_do_not_vouch_for_one_another():
    good = detectors(0.5, 0.5, 0.5)
    once = by_agreement(good, "abc")
    twice = by_agreement(np.stack([*good, 7 * good[0] + 3]), "abcd")
    assert twice[0] + twice[3] == pytest.approx(once[0])
    np.testing.assert_allclose(twice[1:3], once[1:3])
    noise = detectors(np.inf)[0]
    outvoted = by_agreement(np.stack([noise, 2 * noise, 3 * noise, *good]), "abcdef")
    assert outvoted[:3].sum() < 0.05


def test_scores_of_a_trial_share_its_say_and_do_not_vouch_for_it():
    good = detectors(0.5, 0.5, 0.5)
    noise = detectors(np.inf)[0]
    nearly = noise + 0.3 * RNG.normal(size=len(noise))
    weights = by_agreement(np.stack([noise, nearly, *good]), "aabcd")
    assert weights[:2].sum() < 0.05
    alike = by_agreement(np.stack([good[0], good[0], good[1], good[2]]), "aabc")
    assert alike[:2].sum() == pytest.approx(by_agreement(good, "abc")[0])


def test_a_single_detector_has_all_the_say():
    assert by_agreement(detectors(0.5), "a").tolist() == [1]
    assert by_agreement(detectors(0.5, 0.5), "aa").tolist() == [0.5, 0.5]


def test_where_nobody_agrees_or_nothing_can_be_told_all_are_alike():
    one = STRANGE
    assert by_agreement(np.stack([one, -one]), "ab").tolist() == [0.5, 0.5]
    assert by_agreement(np.zeros((3, 20)), "abc") == pytest.approx([1 / 3] * 3)
    assert by_agreement(detectors(0.5, np.inf, 0.5)[:, :9], "abb") == pytest.approx([0.5, 0.25, 0.25])


def test_a_score_that_says_the_same_of_all_is_no_copy_of_another():
    assert len(set(copies(np.stack([np.zeros(5), np.ones(5), np.arange(5.0)])).tolist())) == 3


def test_copies_are_found_block_by_block_in_little_memory(monkeypatch):
    rng = np.random.default_rng(0)
    first, of = rng.normal(size=(5, 40)), rng.permutation(np.arange(23) % 5)
    chain = [first[0] + step * 0.03 * first[1] for step in range(8)]  # neighbours alike, the ends not
    rows = np.stack([*(first[of] + 0.001 * rng.normal(size=(23, 40))), *chain])
    wanted = {tuple(rows) for rows in (copies(rows)[:, None] == copies(rows))}
    monkeypatch.setattr("humtune.results.ensembles.agreement.BLOCK", 4)
    found = copies(rows)
    assert {tuple(rows) for rows in (found[:, None] == found)} == wanted
    assert len(set(found.tolist())) == 5
    monkeypatch.setattr("humtune.results.ensembles.agreement.BLOCK", 100)
    many = np.tile(rng.normal(size=20), (4_000, 1))
    tracemalloc.start()
    by_agreement(many, range(4_000))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20 * many.nbytes  # all pairs would be 100 times as much


def test_the_heaviest_trials_keep_their_proportions():
    weights = np.array([0.1, 0.25, 0.25, 0.4])
    np.testing.assert_allclose(heaviest(weights, "abbc", 2), [0, 0.25 / 0.9, 0.25 / 0.9, 0.4 / 0.9])
    np.testing.assert_allclose(heaviest(weights, "abbc", 9), weights)
