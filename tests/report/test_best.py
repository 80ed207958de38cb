import numpy as np
import pytest

from humtune.errors import HumtuneError
from humtune.evaluation.calibration import threshold_from
from humtune.evaluation.cells import Cells
from humtune.evaluation.metrics import evaluate
from humtune.evaluation.selection import cross_fit
from humtune.records import TrialState
from humtune.report.best import best_trial, candidate_scores, measure
from humtune.sounds.table import NORMAL, Role


def test_only_complete_trials_can_be_best(bench):
    ledger = bench.search()
    assert best_trial([]) is None
    poor = bench.trial(ledger, "fan", 0, skill=0.2)
    bench.trial(ledger, "fan", 1, state=TrialState.PRUNED, omega={"cosine": 0.99})
    bench.trial(ledger, "fan", 2, state=TrialState.RUNNING, omega={"cosine": 0.99})
    bench.trial(ledger, "fan", 3, state=TrialState.FAILED)
    assert best_trial(ledger.records("fan")).id == poor.id
    good = bench.trial(ledger, "fan", 4, skill=2)
    assert best_trial(ledger.records("fan")).id == good.id


def test_of_equal_trials_the_earliest_is_best_in_any_order(bench):
    ledger = bench.search()
    records = [bench.trial(ledger, "fan", i, omega={"cosine": 0.7, "nll": 0.6}) for i in (4, 1, 3)]
    assert best_trial(records).number == 1
    assert best_trial(records[::-1]).number == 1


def test_measures_are_the_best_trials(bench):
    ledger = bench.search()
    for number, skill in enumerate((0.3, 1.5, 0.6)):
        bench.trial(ledger, "fan", number, skill=skill)
    measured, clips = measure(ledger, "fan"), ledger.clips("fan")
    assert measured.best.id == "fan-00001"
    scores = ledger.scores("fan-00001", measured.best.best_score)
    select, report = Cells.of(clips, Role.SELECT), Cells.of(clips, Role.REPORT)
    assert float(measured.select.omega_official) == measured.best.objective
    assert float(measured.select.omega_paper) == float(evaluate(scores, select).omega_paper)
    assert float(measured.report.omega_official) == float(evaluate(scores, report).omega_official)
    assert measured.cross_fitted.mean == cross_fit(candidate_scores(ledger, measured.records), select).mean
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
    candidates = candidate_scores(ledger, ledger.records("fan"))
    assert candidates.shape == (6, len(ledger.clips("fan")))
    np.testing.assert_array_equal(candidates[3], ledger.scores("fan-00001", "nll"))


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
    assert float(measured.select.omega_official) == measured.best.objective
    assert "fan section 00 source has a single normal clip; cross-fitting needs two or more" in measured.notes
    assert any("4 held-out normal clips are too few" in note for note in measured.notes)


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


def test_a_trial_with_torn_scores_is_left_out_by_name(bench):
    ledger = bench.search()
    for number, skill in enumerate((0.3, 1.5, 0.6)):
        bench.trial(ledger, "fan", number, skill=skill)
    candidates = measure(ledger, "fan").candidates
    [first, *_] = ledger.read("fan-00001").judged
    ledger.storage.write(f"{ledger.name}/trials/fan-00001/scores/{first}.npy", b"half")
    measured = measure(ledger, "fan")
    assert measured.best.id == "fan-00002"
    assert measured.candidates == candidates - candidates // 3
    assert measured.notes[0].startswith("fan-00001 is left out: ")
    assert measured.notes[0].endswith(f"trials/fan-00001/scores/{first}.npy is damaged")


def test_a_lost_score_file_is_named(bench):
    ledger = bench.search()
    bench.trial(ledger, "fan", 0)
    bench.storage.delete("fans/trials/fan-00000/scores/nll.npy")
    with pytest.raises(HumtuneError, match=r"fans/trials/fan-00000/scores/nll\.npy is missing"):
        measure(ledger, "fan")


def test_only_allowed_score_types_are_chosen_and_measured(bench):
    ledger = bench.search()
    for number, skill in enumerate((0.3, 1.5, 0.6)):
        bench.trial(ledger, "fan", number, skill=skill)
    measured = measure(ledger, "fan", allowed=lambda config, name: config.head.mu != 6 and name == "nll")
    best, all_of_them = measured.best, measure(ledger, "fan")
    nll = {r.id: r.omega["nll"] for r in measured.records if r.config.head.mu != 6}
    assert (best.id, best.best_score) == (max(nll, key=nll.get), "nll")
    assert float(measured.select.omega_official) == best.objective == max(nll.values())
    assert (measured.left_out.id, measured.left_out.best_score) == (all_of_them.best.id, "cosine")
    assert measured.records == all_of_them.records
    vectors = np.stack([ledger.scores(trial, "nll") for trial in nll])
    cells = Cells.of(ledger.clips("fan"), Role.SELECT)
    assert measured.cross_fitted.mean == cross_fit(vectors, cells).mean


def test_where_nothing_is_allowed_the_note_says_so(bench):
    ledger = bench.search()
    bench.trial(ledger, "fan", 0)
    measured = measure(ledger, "fan", allowed=lambda config, name: False)
    assert (measured.best, measured.left_out.id) == (None, "fan-00000")
    assert measured.notes == ("fan: no complete trial may be chosen",)
    assert measure(ledger, "fan").left_out is None
