"""Scores of clips by a detector that doesn't know their group."""

from dataclasses import replace

import numpy as np
import pytest

from humtune.detectors.detector import Detector
from humtune.detectors.gaussian_mixture import GaussianMixture
from humtune.detectors.recipe import recipe_of
from humtune.export.evidence import how_scored
from humtune.export.graph import Member
from humtune.export.left_out import can_leave_out, left_out_scores
from humtune.runtime.timeline import cut
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import TARGET, Role
from humtune.testing.recordings import small_bank


def left_out(*words, **more):
    scores, of = left_out_scores(*words, **more)
    found = np.full(len(words[3]), -np.inf)
    np.maximum.at(found, of, scores)
    return found


def recipe(*scores: str) -> GaussianMixture:
    return GaussianMixture(n_fft=256, n_mels=8, components=1, scores=scores)


@pytest.fixture(scope="module")
def bank():
    return small_bank()


@pytest.fixture(scope="module")
def healthy(bank):
    return bank.table.having(Role.TRAIN, Role.HELD_OUT)


@pytest.fixture(scope="module")
def groups(bank):
    return np.array([f"section {section}" for section in bank.table.section])


def test_references_of_the_group_are_left_out(bank, healthy, groups):
    detector = recipe("knn", "own").start(bank).run()
    found = left_out(detector, "knn", bank, healthy, groups)
    for section in range(3):
        less, mine = recipe("knn", "own").start(bank).run(), bank.table.section[healthy] == section
        others = np.flatnonzero(bank.table.section != section)
        less.learn(bank, np.intersect1d(bank.table.having(Role.TRAIN), others))
        wanted = less.score(less.encode(bank, healthy[mine]))["knn"]
        np.testing.assert_allclose(found[mine], wanted, rtol=1e-6)
    known = detector.score(detector.encode(bank, healthy))["knn"]
    assert found.min() > known.max()  # its own tone is what a clip is near to
    kept_out = bank.table.having(Role.HELD_OUT)
    some = left_out(detector, "knn", bank, kept_out, groups)
    np.testing.assert_allclose(some, found[np.isin(healthy, kept_out)], rtol=1e-6)


def test_what_has_no_references_is_fitted_anew_without_the_group(bank, healthy, groups):
    detector = recipe("own").start(bank).run()
    before = detector.score(detector.encode(bank, healthy))["own"]
    found = left_out(detector, "own", bank, healthy, groups)
    out = bank.table.section == 1
    role = np.where(out, str(Role.REPORT), bank.table.role)
    less = recipe("own").start(replace(bank, table=replace(bank.table, role=role))).run()
    mine = bank.table.section[healthy] == 1
    np.testing.assert_allclose(found[mine], less.score(less.encode(bank, healthy[mine]))["own"], rtol=1e-6)
    np.testing.assert_array_equal(detector.score(detector.encode(bank, healthy))["own"], before)


def test_more_groups_than_folds_are_left_out_together(bank, healthy):
    detector = recipe("knn", "own").start(bank).run()
    each = left_out(detector, "knn", bank, healthy, bank.table.name)
    encoded = detector.encode(bank, healthy)
    alone, known = (detector.score(encoded, mask_own=own)["knn"] for own in (True, False))
    assert (each >= alone - 1e-6).all()
    assert (alone >= known - 1e-6).all()


def test_what_is_said_of_how_clips_were_scored_is_so(bank):
    made = {"frames": 3, "spectrogram": {"n_fft": 256, "n_mels": 8, "chunk_frames": 16}}
    network = recipe_of({"family": "autoencoder", "scores": ["own", "knn"], **made})
    trained = Detector(network, network.build(()), machine="small")
    fitted = recipe("own").start(bank).run()
    held_out = bank.table.having(Role.HELD_OUT)
    plenty = replace(bank.table, role=bank.table.role.copy())
    plenty.role[:] = str(Role.HELD_OUT)
    none = replace(bank.table, role=bank.table.role.copy(), domain=np.full(len(bank.table), TARGET))
    none.role[held_out] = str(Role.TRAIN)

    def said(table, *members):
        return how_scored([Member(detector, score) for detector, score in members], table)

    assert (
        said(plenty, (fitted, "own")) == "Each clip was scored by the model without the clips of its group."
    )
    assert "compared with references of other groups alone" in said(plenty, (trained, "knn"), (fitted, "own"))
    mixed = said(plenty, (trained, "own"), (fitted, "own"))
    assert mixed.startswith("The clips were held out: nothing was trained on them")
    assert "count too" not in mixed
    assert "Hardly any of the target domain were, so those that the model was trained on" in said(
        none, (trained, "own")
    )


def test_windows_are_scored_each_by_itself(bank, groups):
    detector, clips = recipe("knn", "own").start(bank).run(), bank.table.having(Role.HELD_OUT)
    scores, of = left_out_scores(detector, "knn", bank, clips, groups, window=4_000)
    assert np.bincount(of).tolist() == [len(list(cut([bank.clip(int(i))], 4_000))) for i in clips]
    assert min(np.bincount(of)) > 3
    assert len(set(scores.tolist())) == len(scores)
    whole = left_out_scores(detector, "knn", bank, clips, groups, window=100_000)
    np.testing.assert_array_equal(whole[1], np.arange(len(clips)))


def test_clips_of_a_recording_are_scored_as_it_will_be(bank):
    """The first three clips are one recording, the next two another; where lengths differ, one ends."""
    groups = np.array(["one"] * 3 + ["other"] * 2 + [f"{i}" for i in range(5, len(bank.table))])
    known = recipe("knn").start(bank).run()
    _, of = left_out_scores(known, "knn", bank, np.arange(3), groups, window=10**6, joined=True)
    assert of.tolist() == [0, 1, 2]
    least = int(bank.lengths.min())
    samples = np.concatenate([bank.clip(i)[:least] for i in range(len(bank.table))])
    bank = ClipBank(bank.table, samples, least * np.arange(len(bank.table) + 1), "equal")
    detector, clips = recipe("knn", "own").start(bank).run(), np.arange(5)
    scores, of = left_out_scores(detector, "knn", bank, clips, groups, window=4_000, joined=True)
    for first, after in ((0, 3), (3, 5)):
        pieces = [piece for _, piece in cut([bank.clip(i) for i in range(first, after)], 4_000)]
        assert (of == first).sum() == len(pieces)
        less = recipe("knn", "own").start(bank).run()
        train = bank.table.having(Role.TRAIN)
        less.learn(bank, train[(train < first) | (train >= after)])
        ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        table = bank.table.take(np.zeros(len(pieces), np.intp))
        heard = ClipBank(table, np.concatenate(pieces), ends, "windows")
        wanted = less.score(less.encode(heard, np.arange(len(pieces))))["knn"]
        np.testing.assert_allclose(scores[of == first], wanted, rtol=1e-6)
    assert set(of.tolist()) == {0, 3}


def test_a_network_knows_the_clips_that_it_trained_on(bank):
    made = {"frames": 3, "spectrogram": {"n_fft": 256, "n_mels": 8, "chunk_frames": 16}}
    network = recipe_of({"family": "autoencoder", "scores": ["own", "knn", "fusion"], **made})
    detector = Detector(network, network.build(()), machine="small")
    detector.learn(bank, bank.table.having(Role.TRAIN))
    assert [can_leave_out(detector, score) for score in ("own", "knn", "fusion")] == [False, True, False]
    assert can_leave_out(recipe("own").start(bank).run(), "own")
    clips = bank.table.having(Role.HELD_OUT)
    plain = detector.score(detector.encode(bank, clips))["own"]
    np.testing.assert_allclose(left_out(detector, "own", bank, clips, bank.table.name), plain, rtol=1e-6)
