import os
import shutil

import numpy as np
import pytest

from humtune.errors import HumtuneError
from humtune.records import TrialState
from humtune.results import archive
from humtune.results.archive import read_archive, trial_stamps

FILE = "fans/archive/fan.parquet"


@pytest.fixture
def ledger(bench):
    ledger = bench.search(machines=("fan", "valve"))
    for number in range(3):
        bench.trial(ledger, "fan", number, skill=number)
    bench.trial(ledger, "fan", 3, state=TrialState.RUNNING)
    bench.trial(ledger, "valve", 0)
    return ledger


@pytest.fixture
def read(monkeypatch):
    """The trials that are read from the ledger's own files, as they are."""
    found = []
    plain = archive._read_trial
    monkeypatch.setattr(archive, "_read_trial", lambda *words: found.append(words[1]) or plain(*words))
    return found


def assert_whole(ledger, found):
    """The archive holds what the ledger's small files hold."""
    records = list(ledger.records("fan"))
    assert [r.id for r in found.records] == [r.id for r in records]
    assert [r.omega for r in found.records] == [r.omega for r in records]
    assert found.keys == tuple((r.id, s) for r in records for s in r.judged)
    expected = [ledger.scores(*key) for key in found.keys]
    np.testing.assert_array_equal(found.scores, np.stack(expected))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda ledger, name: ledger.storage.delete(name), "is missing, though the trial is complete"),
        (lambda ledger, name: ledger.storage.write(name, b"half"), "is damaged"),
        (lambda ledger, name: ledger.write_scores("fan-00001", {"nll": np.zeros(7)}), "has 7 scores for"),
    ],
)
def test_a_trial_whose_scores_cannot_be_read_is_lost_and_the_others_are_not(ledger, damage, reason, read):
    whole = read_archive(ledger, "fan")
    damage(ledger, "fans/trials/fan-00001/scores/nll.npy")
    found = read_archive(ledger, "fan")
    assert found.keys == tuple(key for key in whole.keys if key[0] != "fan-00001")
    assert list(found.lost) == ["fan-00001"]
    assert f"fan-00001/scores/nll.npy {reason}" in found.lost["fan-00001"]
    assert "fan-00001" not in {c.trial.id for c in found.candidates()}
    with pytest.raises(HumtuneError, match=f"fan-00001: .*{reason}"):
        found.rows([("fan-00001", "nll")])
    read.clear()
    assert read_archive(ledger, "fan").lost == found.lost  # kept, and not read again
    assert read == []


def test_scores_that_nobody_has_are_refused(ledger):
    with pytest.raises(HumtuneError, match="fan-00003: there are no scores of type 'nll'"):
        read_archive(ledger, "fan").rows([("fan-00003", "nll")])


def test_it_holds_what_the_small_files_hold(ledger, read):
    assert_whole(ledger, read_archive(ledger, "fan"))
    assert len(read) == 4
    again = read_archive(ledger, "fan")
    assert len(read) == 4
    assert_whole(ledger, again)
    keys = [("fan-00002", "nll"), ("fan-00000", "cosine")]
    np.testing.assert_array_equal(again.rows(keys), [ledger.scores(*key) for key in keys])


def test_a_machine_without_trials_is_empty(bench):
    ledger = bench.search("new")
    found = read_archive(ledger, "fan")
    assert (found.records, found.keys, found.scores.shape) == ((), (), (0, 0))
    assert found.candidates() == []


def test_only_what_changed_is_read_again(ledger, bench, read):
    read_archive(ledger, "fan")
    read.clear()
    bench.trial(ledger, "fan", 3, skill=2)  # ends
    bench.trial(ledger, "fan", 4, skill=1)  # is new
    shutil.rmtree(ledger.storage.path("fans/trials/fan-00001"))
    found = read_archive(ledger, "fan")
    assert sorted(read) == ["fan-00003", "fan-00004"]
    assert_whole(ledger, found)


def test_scores_written_again_are_seen_though_their_size_is_the_same(ledger, read):
    before = read_archive(ledger, "fan").scores
    ledger.write_scores("fan-00002", {"nll": np.ones(before.shape[1])})
    assert_whole(ledger, read_archive(ledger, "fan"))
    assert read.count("fan-00002") == 2


@pytest.mark.parametrize("cut", [0, 8, -1])
def test_a_torn_archive_is_made_again(ledger, read, cut):
    read_archive(ledger, "fan")
    read.clear()
    whole = ledger.storage.read(FILE)
    ledger.storage.write(FILE, whole[:cut] if cut >= 0 else whole[: len(whole) // 2])
    assert_whole(ledger, read_archive(ledger, "fan"))
    assert len(read) == 4


def test_a_storage_that_can_not_be_written_still_reads(ledger, monkeypatch):
    def refuse(name, data):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(ledger.storage, "write", refuse)
    assert_whole(ledger, read_archive(ledger, "fan"))


def test_one_listing_serves_all_machines_and_skips_what_has_no_record(ledger):
    ledger.storage.write("fans/trials/fan-00009/scores/nll.npy", b"")
    stamps = trial_stamps(ledger)
    assert sorted(stamps) == ["fan-00000", "fan-00001", "fan-00002", "fan-00003", "valve-00000"]
    assert [r.id for r in read_archive(ledger, "valve", stamps=stamps).records] == ["valve-00000"]


def test_candidates_are_the_search_s_own_complete_trials(ledger, bench, monkeypatch):
    bench.trial(ledger, "fan", 5, origin="confirm")
    found = read_archive(ledger, "fan")
    own = [(c.trial.id, c.score_type) for c in found.candidates()]
    assert own == [(f"fan-0000{i}", s) for i in range(3) for s in ("cosine", "nll")]
    rule = "humtune.results.candidates.exportable_types"
    monkeypatch.setattr(rule, lambda config, score_types: ["nll"] if config["head"]["mu"] > 6 else [])
    only = found.candidates(exportable=True)
    assert [(c.trial.id, c.score_type) for c in only] == [("fan-00002", "nll")]


def test_stamps_tell_time_and_size_of_files_below_a_folder(bench):
    bench.storage.write("a/b/c.npy", b"123")
    os.utime(bench.storage.path("a/b/c.npy"), ns=(5, 7_000))
    assert bench.storage.stamps("a") == {"b/c.npy": (7_000, 3)}
    assert bench.storage.stamps("nowhere") == {}
