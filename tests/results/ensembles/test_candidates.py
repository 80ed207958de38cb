import numpy as np
import pytest

from humtune.errors import HumtuneError, UsageError
from humtune.metrics.calibration import Compressed, GammaTail
from humtune.results.archive import read_archive
from humtune.results.candidates import FUSION
from humtune.results.ensembles.agreement import by_agreement
from humtune.results.ensembles.candidates import System, align, gather, unlabelled_weights
from humtune.sounds.table import Role

KEYS = (("fan-00000", "cosine"), ("fan-00000", "nll"), ("fan-00001", "knn"))


@pytest.fixture
def ledger(bench):
    ledger = bench.search(machines=("fan",))
    for number in range(2):
        bench.trial(ledger, "fan", number, skill=number + 1)
    return ledger


@pytest.fixture
def clips(ledger):
    return ledger.clips("fan")


def system(clips, keep, values=None):
    values = np.arange(len(clips)) if values is None else values
    scores = {str(clips.name[i]): float(values[i]) for i in np.flatnonzero(keep)}
    return System("theirs", "their/folder", {"fan": scores})


def test_nothing_to_choose_from_is_an_error(bench, ledger, clips, monkeypatch):
    empty = bench.search("new", machines=("fan",))
    with pytest.raises(HumtuneError, match="fan: no complete trial yet"):
        gather(empty.clips("fan"), read_archive(empty, "fan"))
    monkeypatch.setattr("humtune.results.candidates.exportable_types", lambda config, score_types: [])
    with pytest.raises(HumtuneError, match="fan: no complete trial may be chosen"):
        gather(clips, read_archive(ledger, "fan"), exportable=True)


def test_a_member_without_held_out_clips_is_named(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan", held_out=1)})
    bench.trial(ledger, "fan", 0)
    with pytest.raises(HumtuneError, match="fan-00000, cosine: calibration needs 2 held-out"):
        gather(ledger.clips("fan"), read_archive(ledger, "fan"))


def test_an_imported_system_must_know_the_machine_and_its_clips(clips):
    with pytest.raises(UsageError, match="their/folder: no scores of fan; there are pump"):
        align(System("theirs", "their/folder", {"pump": {}}), clips)
    some = clips.role == Role.SELECT
    first = np.flatnonzero(some)[0]
    some[first] = False
    with pytest.raises(UsageError, match=f"their/folder: fan: {clips.name[first]} has no score"):
        align(system(clips, some), clips)
    some = (clips.role == Role.SELECT) | ((clips.section == 3) & (np.arange(len(clips)) % 2 == 0))
    with pytest.raises(UsageError, match=r"their/folder: fan: fan_.*has no score"):
        align(system(clips, some), clips)


def test_trials_are_calibrated_by_their_held_out_clips(ledger, clips):
    found = gather(clips, read_archive(ledger, "fan"), calibration="standard")
    assert [m.name for m in found.members] == [
        f"fan-0000{i} {s}" for i in range(2) for s in ("cosine", "nll")
    ]
    held_out = clips.role == Role.HELD_OUT
    for member, row in zip(found.members, found.scores, strict=True):
        own = ledger.scores(member.trial, member.score_type)
        expected = (own - own[held_out].mean()) / own[held_out].std()
        np.testing.assert_allclose(row, expected)
    assert not found.transductive
    curved = gather(clips, read_archive(ledger, "fan"))
    own = ledger.scores("fan-00001", "nll")
    np.testing.assert_allclose(curved.scores[3], GammaTail.of(own[held_out])(own))


def test_without_labels_all_count_as_they_agree_on_healthy_and_disturbed_clips(bench, clips):
    ledger = bench.search("fused", machines=("fan",))
    bench.trial(ledger, "fan", 0, gains={"cosine": 1, "nll": 2, FUSION: 9})
    bench.trial(ledger, "fan", 1, gains={"knn": 1})
    found = gather(clips, read_archive(ledger, "fan"))
    weights = unlabelled_weights(found.members, found.scores, clips)
    assert [w for m, w in zip(found.members, weights, strict=True) if m.score_type == FUSION] == [0]
    held_out = clips.role == Role.HELD_OUT
    disturbed = (clips.role == Role.PROBE) & (clips.part == "fault")
    own = np.stack([Compressed.of(row[held_out])(row) for row in (ledger.scores(*k) for k in KEYS)])
    by_hand = by_agreement(own[:, held_out | disturbed], [trial for trial, _ in KEYS])
    np.testing.assert_allclose(found.unlabelled, by_hand @ own)


def test_a_fusion_alone_is_a_score_like_any_other(bench, clips):
    ledger = bench.search("alone", machines=("fan",))
    bench.trial(ledger, "fan", 0, gains={FUSION: 1})
    found = gather(clips, read_archive(ledger, "fan"), calibration="compressed")
    np.testing.assert_allclose(found.unlabelled, found.scores[0])


def test_with_an_imported_system_all_are_ranked_within_the_section(ledger, clips):
    dev = clips.role == Role.SELECT
    found = gather(clips, read_archive(ledger, "fan"), systems=[system(clips, dev)])
    assert found.transductive
    dev_scores = found.scores[:, dev]
    by_hand = by_agreement(dev_scores, [m.trial or m.system for m in found.members])
    np.testing.assert_allclose(found.unlabelled[dev], by_hand @ dev_scores)
    assert [m.calibration for m in found.members] == [None] * 5
    for section in (0, 1):
        here = dev & (clips.section == section)
        own = ledger.scores("fan-00001", "nll")[here]
        by_hand = [(np.sum(own < value) + 1) / (len(own) + 1) for value in own]
        np.testing.assert_allclose(found.scores[3, here], by_hand)
    theirs = found.scores[4]
    assert np.isfinite(theirs[dev]).all()
    assert np.isnan(theirs[~dev]).all()
    assert np.isnan(found.scores[:, clips.role == Role.HELD_OUT]).all()
    assert np.isfinite(found.scores[0, clips.role == Role.REPORT]).all()
