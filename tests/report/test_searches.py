import io
from datetime import datetime

import pytest
from rich.console import Console
from scipy.stats import hmean

from humtune.records import TrialState
from humtune.report.searches import summarise, to_terminal


def test_a_storage_without_searches_has_none(bench):
    assert summarise(bench.storage) == []


def test_a_search_is_counted_by_state_and_judged_by_its_best_trials(bench):
    ledger = bench.search(trials=5)
    states = [
        TrialState.COMPLETE,
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAILED,
        TrialState.RUNNING,
    ]
    best = []
    for machine in ("fan", "valve"):
        made = [bench.trial(ledger, machine, i, skill=i, state=state) for i, state in enumerate(states)]
        best.append(max(made[0].objective, made[1].objective))
    (summary,) = summarise(bench.storage)
    counts = (summary.planned, summary.complete, summary.pruned, summary.failed, summary.unfinished)
    assert counts == (10, 4, 2, 2, 2)
    assert summary.omega_best == pytest.approx(hmean(best))
    told = summary.to_dict()
    assert told["omega_best"] == pytest.approx(100 * hmean(best), abs=1e-4)
    assert datetime.fromisoformat(told["created"]).timestamp() == 1.7e9


def test_a_torn_plan_hides_no_other_search_and_a_torn_record_no_other_trial(bench):
    bench.search("good", machines=("fan",))
    torn = bench.search("torn", machines=("fan",))
    bench.trial(torn, "fan", 0)
    bench.storage.write("torn/trials/fan-00000/record.json", b"{")
    bench.storage.write("older/plan.json", b"{}")
    bench.storage.write("newer/plan.json", b'{"format": 99}')
    found = {s.name: s for s in summarise(bench.storage)}
    assert found["good"].problem == ""
    assert (found["torn"].problem, found["torn"].failed) == ("", 1)
    assert "can't be read" in found["older"].problem
    assert "written by a newer humtune" in found["newer"].problem
    assert found["older"].to_dict()["created"] is None


def test_a_search_without_a_complete_trial_has_no_best(bench):
    bench.search()
    (summary,) = summarise(bench.storage)
    assert summary.omega_best is summary.to_dict()["omega_best"] is None
    console = Console(width=80, file=io.StringIO())
    console.print(to_terminal([summary]))
    line = console.file.getvalue().splitlines()[2]
    assert line.split()[0] == "fans"
    assert line.split()[-5:] == ["0+0+0", "of", "8", "0", "–"]
