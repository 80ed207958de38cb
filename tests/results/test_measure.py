import numpy as np
import pytest

from humtune.ledger import npy_bytes
from humtune.metrics.calibration import threshold_from
from humtune.metrics.cells import Cells
from humtune.metrics.cross_fitting import cross_fit
from humtune.metrics.omega import evaluate
from humtune.records import TrialState
from humtune.results.archive import read_archive
from humtune.results.candidates import candidates, choose
from humtune.results.measure import measure
from humtune.results.rows import machine_row
from humtune.sounds.table import NORMAL, Role


def test_only_complete_trials_can_be_best(bench):
    ledger = bench.search()
    assert choose([]) is None
    poor = bench.trial(ledger, "fan", 0, skill=0.2)
    bench.trial(ledger, "fan", 1, state=TrialState.PRUNED, omega={"cosine": 0.99})
    bench.trial(ledger, "fan", 2, state=TrialState.RUNNING, omega={"cosine": 0.99})
    bench.trial(ledger, "fan", 3, state=TrialState.FAILED)
    assert choose(ledger.records("fan")).trial.id == poor.id
    good = bench.trial(ledger, "fan", 4, skill=2)
    assert choose(ledger.records("fan")).trial.id == good.id


def test_of_equal_trials_the_earliest_is_best_in_any_order(bench):
    ledger = bench.search()
    records = [bench.trial(ledger, "fan", i, omega={"cosine": 0.7, "nll": 0.6}) for i in (4, 1, 3)]
    assert choose(records).trial.number == 1
    assert choose(records[::-1]).trial.number == 1


def test_measures_are_the_best_trials(bench):
    ledger = bench.search()
    for number, skill in enumerate((0.3, 1.5, 0.6)):
        bench.trial(ledger, "fan", number, skill=skill)
    measured, clips = measure(ledger, "fan"), ledger.clips("fan")
    assert measured.best.trial.id == "fan-00001"
    scores = ledger.scores("fan-00001", measured.best.score_type)
    select, report = Cells.of(clips, Role.SELECT), Cells.of(clips, Role.REPORT)
    assert float(measured.select.omega_official) == measured.best.value
    assert float(measured.select.omega_paper) == float(evaluate(scores, select).omega_paper)
    assert float(measured.report.omega_official) == float(evaluate(scores, report).omega_official)
    assert (
        measured.cross_fitted.mean
        == cross_fit(measured.archive.of(candidates(measured.records)), select).mean
    )
    held_out = scores[clips.having(Role.HELD_OUT)]
    normal = scores[(clips.role == Role.SELECT) & (clips.label == NORMAL)]
    assert measured.threshold == threshold_from(held_out)
    assert measured.false_alarms == np.mean(normal > measured.threshold.value)
    assert measured.notes == ()


def test_every_score_type_of_every_complete_trial_is_a_candidate(bench):
    ledger = bench.search()
    for number in range(3):
        bench.trial(ledger, "fan", number)
    bench.trial(ledger, "fan", 3, state=TrialState.PRUNED)
    archive = read_archive(ledger, "fan")
    every = archive.candidates()
    assert [(c.trial.number, c.score_type) for c in every] == [
        (number, name) for number in range(3) for name in ("cosine", "nll")
    ]
    assert all(c.value == c.metric == c.trial.omega[c.score_type] for c in every)
    scores = archive.of(every)
    assert scores.shape == (6, len(ledger.clips("fan")))
    np.testing.assert_array_equal(scores[3], ledger.scores("fan-00001", "nll"))


def test_a_machine_without_a_complete_trial_says_so(bench):
    ledger = bench.search()
    bench.trial(ledger, "fan", 0, state=TrialState.FAILED, reason="out of memory")
    measured = measure(ledger, "fan")
    assert (measured.best, measured.select, measured.cross_fitted) == (None, None, None)
    assert measured.notes == ("fan: no trial completed: 1 failed, 'out of memory' (1 of them)",)


def test_too_few_clips_for_cross_fitting_say_so_and_leave_the_rest(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan", per_cell=1, held_out=4)})
    bench.trial(ledger, "fan", 0, skill=1)
    measured = measure(ledger, "fan")
    assert measured.cross_fitted is None
    assert float(measured.select.omega_official) == measured.best.value
    assert "fan section 00 source has a single normal clip; cross-fitting needs two or more" in measured.notes
    assert any("4 healthy clips can promise" in note for note in measured.notes)


@pytest.mark.parametrize("options", [{"report": False}, {"truth": False}])
def test_without_truth_nothing_is_reported_on_eval(bench, make_clips, options):
    ledger = bench.search(clips={"fan": make_clips("fan", **options)})
    bench.trial(ledger, "fan", 0)
    measured = measure(ledger, "fan")
    assert measured.report is None
    assert measured.notes == ()


def test_without_held_out_clips_there_is_no_threshold(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan", held_out=0)})
    bench.trial(ledger, "fan", 0)
    measured = measure(ledger, "fan")
    assert (measured.threshold, measured.false_alarms) == (None, None)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda storage, name: storage.write(name, b"half"), "is damaged"),
        (lambda storage, name: storage.delete(name), "is missing, though the trial is complete"),
        (lambda storage, name: storage.write(name, npy_bytes(np.zeros(3))), "has 3 scores for"),
    ],
)
def test_a_trial_whose_scores_cannot_be_read_is_left_out_by_name(bench, damage, reason):
    ledger = bench.search()
    for number, skill in enumerate((0.3, 1.5, 0.6)):
        bench.trial(ledger, "fan", number, skill=skill)
    before = measure(ledger, "fan")
    damage(ledger.storage, f"{ledger.name}/trials/fan-00001/scores/nll.npy")
    measured = measure(ledger, "fan")
    assert measured.best.trial.id == "fan-00002"
    assert measured.candidates == before.candidates - before.candidates // 3
    assert measured.notes[0].startswith("fan-00001 is left out: ")
    assert f"trials/fan-00001/scores/nll.npy {reason}" in measured.notes[0]
    assert [r.id for r in measured.lost] == ["fan-00001"]
    row = machine_row(measured)
    assert (row.work.complete, row.work.failed) == (2, 1)


def test_only_what_can_be_exported_is_chosen_and_measured(bench, monkeypatch):
    ledger = bench.search()
    for number, skill in enumerate((0.3, 1.5, 0.6)):
        bench.trial(ledger, "fan", number, skill=skill)
    allow(monkeypatch, lambda config, score_types: ["nll"] if config["head"]["mu"] != 6 else [])
    measured = measure(ledger, "fan", exportable=True)
    best, all_of_them = measured.best, measure(ledger, "fan")
    nll = {r.id: r.omega["nll"] for r in measured.records if r.settings["head.mu"] != 6}
    assert (best.trial.id, best.score_type) == (max(nll, key=nll.get), "nll")
    assert float(measured.select.omega_official) == best.value == max(nll.values())
    left = measured.left_out
    assert (left.trial.id, left.score_type) == (all_of_them.best.trial.id, "cosine")
    assert measured.records == all_of_them.records
    vectors = np.stack([ledger.scores(trial, "nll") for trial in nll])
    cells = Cells.of(ledger.clips("fan"), Role.SELECT)
    assert measured.cross_fitted.mean == cross_fit(vectors, cells).mean


def test_where_nothing_can_be_exported_the_note_says_so(bench, monkeypatch):
    ledger = bench.search()
    bench.trial(ledger, "fan", 0)
    allow(monkeypatch, lambda config, score_types: [])
    measured = measure(ledger, "fan", exportable=True)
    assert (measured.best, measured.left_out.trial.id) == (None, "fan-00000")
    assert measured.notes == ("fan: no complete trial may be chosen",)
    assert measure(ledger, "fan").left_out is None


def allow(monkeypatch, rule):
    monkeypatch.setattr("humtune.results.candidates.exportable_types", rule)
