import json

import numpy as np
import pytest

from humtune.errors import HumtuneError, UsageError
from humtune.metrics.calibration import GammaTail, Standard
from humtune.results.ensembles.record import (
    EnsembleRecord,
    Member,
    Settings,
    ensemble_scores,
    find_ensemble,
    read_ensemble,
    write_ensemble,
)

HELD_OUT = np.random.default_rng(1).gamma(2, size=50)


@pytest.fixture
def ledger(bench):
    return bench.search(machines=("fan",))


@pytest.fixture
def record():
    return EnsembleRecord(
        id="fan-ensemble",
        machine="fan",
        members=(
            Member(trial="fan-00001", score_type="cosine", calibration=Standard(2.0, 0.5)),
            Member(trial="fan-00001", score_type="nll", calibration=GammaTail.of(HELD_OUT)),
            Member(trial="fan-00004", score_type="nll", calibration=Standard(-1.0, 3.0)),
        ),
        weights=(0.75, 0.0, 0.25),
        sections={0: (0.5, 0.5, 0.0), 2: (0.0, 0.0, 1.0)},
        settings=Settings(candidates=12),
        created=1.7e9,
        version="0",
    )


@pytest.fixture
def scores():
    return np.random.default_rng(0).normal(size=(3, 9))


def imported(record):
    """The same with an imported system in the place of the last member."""
    members = (*record.members[:2], Member(system="theirs"))
    return record.model_copy(update={"members": members})


def test_no_ensemble_says_how_to_make_one(ledger):
    assert find_ensemble(ledger, "fan") is None
    with pytest.raises(UsageError, match="no ensemble; make it with humtune ensemble fans"):
        read_ensemble(ledger, "fan")


def test_a_torn_record_is_named(ledger, record, scores):
    write_ensemble(ledger, record, scores[0])
    whole = ledger.storage.read("fans/ensembles/fan.json")
    ledger.storage.write("fans/ensembles/fan.json", whole[:50])
    with pytest.raises(
        HumtuneError, match=r"fans/ensembles/fan\.json can't be read: .*humtune ensemble fans"
    ):
        find_ensemble(ledger, "fan")


def test_scores_of_another_record_are_refused(ledger, record, scores):
    first = write_ensemble(ledger, record, scores[0])
    write_ensemble(ledger, record, scores[1])
    with pytest.raises(HumtuneError, match=r"fan\.npy is not of fan-ensemble"):
        ensemble_scores(ledger, first)
    ledger.storage.delete("fans/ensembles/fan.npy")
    with pytest.raises(HumtuneError, match=r"fan\.npy is missing"):
        ensemble_scores(ledger, first)


def test_a_transductive_ensemble_scores_no_other_clips(record, scores):
    mixed = imported(record)
    assert mixed.transductive
    assert not record.transductive
    with pytest.raises(HumtuneError, match="theirs is ranked within a whole test set"):
        mixed.calibrate({m.name: row for m, row in zip(mixed.members, scores, strict=True)})


def test_it_reads_as_it_was_written_and_the_last_one_counts(ledger, record, scores):
    write_ensemble(ledger, record, scores[0])
    changed = record.model_copy(update={"weights": (1.0, 0.0, 0.0)})
    written = write_ensemble(ledger, changed, scores[1])
    assert read_ensemble(ledger, "fan") == written
    np.testing.assert_array_equal(ensemble_scores(ledger, written), scores[1])
    assert ledger.storage.list("fans/ensembles") == ["fan.json", "fan.npy"]
    kinds = [type(m.calibration) for m in read_ensemble(ledger, "fan").members]
    assert kinds == [Standard, GammaTail, Standard]
    assert json.loads(ledger.storage.read("fans/ensembles/fan.json"))["id"] == "fan-ensemble"


def test_a_record_whose_metrics_were_called_figures_is_read(record):
    kept = json.loads(record.model_dump_json())
    kept["figures"] = {"omega_select": 0.7}
    del kept["metrics"]
    assert EnsembleRecord.model_validate(kept).metrics == {"omega_select": 0.7}


def test_a_score_is_the_weighted_sum_of_calibrated_ones(record, scores):
    section = np.array([0, 0, 1, 2, 2, 3, 0, 1, 2])
    own = {m.name: row for m, row in zip(record.members, scores, strict=True)}
    calibrated = record.calibrate(own)
    found = record.combine(calibrated, section)
    for clip in range(len(section)):
        weights = record.sections.get(int(section[clip]), record.weights)
        expected = 0.0
        for member, weight, row in zip(record.members, weights, scores, strict=True):
            expected += weight * float(member.calibration(row[clip]))
        assert found[clip] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(
        record.combine(calibrated), 0.75 * (scores[0] - 2) / 0.5 + 0.25 * (scores[2] + 1) / 3
    )


def test_a_member_without_a_share_may_have_no_score(record, scores):
    scores[1, 5:] = np.nan
    section = np.array([0] * 5 + [1, 1, 2, 3])
    assert np.isfinite(record.combine(scores, section)).all()


def test_it_tells_what_a_new_recording_goes_through(record):
    assert {m.name: w for m, w in record.machine_wide.items()} == {
        "fan-00001 cosine": 0.75,
        "fan-00004 nll": 0.25,
    }
    assert record.trials == ("fan-00001", "fan-00004")
    assert record.networks == 2
    assert imported(record).networks == 2
