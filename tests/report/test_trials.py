import io

import numpy as np
import pytest
import yaml
from rich.console import Console

from humtune.detectors.recipe import recipe_of
from humtune.metrics.cells import Cells
from humtune.metrics.omega import evaluate
from humtune.records import TrialRecord, TrialState
from humtune.report.trials import list_best, list_trials, search_dict, show_trial, trial_dict
from humtune.sounds.table import Role


def printed(*parts):
    console = Console(width=100, file=io.StringIO())
    console.print(*parts, sep="\n")
    return console.file.getvalue()


@pytest.fixture
def ledger(bench):
    ledger = bench.search()
    bench.trial(ledger, "fan", 0, skill=0.2)
    bench.trial(ledger, "fan", 1, skill=1.5, epochs=60, host="box", device="cpu")
    bench.trial(ledger, "fan", 2, state=TrialState.PRUNED, omega={"cosine": 0.987}, reason="by [bold]median")
    bench.trial(ledger, "valve", 0, state=TrialState.FAILED, reason="out of memory", epochs=0)
    return ledger


def test_every_trial_is_listed_with_its_reason(ledger):
    records = list(ledger.records())
    lines = printed(list_trials(records)).splitlines()[2:]
    assert [line.split()[:2] for line in lines] == [
        ["fan-00000", "complete"],
        ["fan-00001", "complete"],
        ["fan-00002", "pruned"],
        ["valve-00000", "failed"],
    ]
    assert f"{100 * records[1].objective:.1f}" in lines[1]
    assert "mu=7; by [bold]median" in lines[2]
    assert "out of memory" in lines[3]


def test_only_machines_with_a_complete_trial_have_a_best(ledger):
    lines = printed(list_best(list(ledger.records()))).splitlines()[2:]
    assert [line.split()[:2] for line in lines] == [["fan", "fan-00001"]]


def test_a_trial_is_shown_whole(ledger):
    record, clips = ledger.read("fan-00001"), ledger.clips("fan")
    text = printed(*show_trial(ledger, record))
    assert "fan-00001: complete, 60 epochs, 50 s of work on box (cpu)" in text
    rows = [line.split() for line in text.splitlines() if line.startswith(("cosine ", "nll "))]
    assert [row[:2] for row in rows] == [[s, c] for s in ("cosine", "nll") for c in ("select", "eval")]
    metrics = evaluate(ledger.scores(record.id, "nll"), Cells.of(clips, Role.REPORT))
    assert rows[3][2:4] == [f"{100 * metrics.omega_official:.1f}", f"{100 * metrics.omega_paper:.1f}"]
    configuration = text[text.index("family:") : text.index("epoch ")]
    assert recipe_of(yaml.safe_load(configuration)) == recipe_of(record.config)
    for name in ("record.json", "scores/cosine.npy", "scores/nll.npy"):
        assert f"  {name}\n" in text


def test_a_long_curve_is_thinned_and_keeps_its_last_epoch(ledger):
    text = printed(*show_trial(ledger, ledger.read("fan-00001")))
    table = text[text.index("epoch ") :].split("\n\n")[0].splitlines()[2:]
    assert [int(line.split()[0]) for line in table] == list(range(3, 61, 3))


def test_a_pruned_trial_shows_the_omega_that_it_left(ledger):
    text = printed(*show_trial(ledger, ledger.read("fan-00002")))
    assert "by [bold]median" in text
    (row,) = (line.split() for line in text.splitlines() if line.startswith("cosine "))
    assert row == ["cosine", "select", "–", "98.7"]


def test_a_trial_without_epochs_is_shown_too(ledger):
    text = printed(*show_trial(ledger, ledger.read("valve-00000")))
    assert "valve-00000: failed, no epochs" in text
    assert "accuracy" not in text


def test_programs_get_the_record_itself(ledger, bench):
    record = ledger.read("fan-00001")
    told = trial_dict(ledger, record)
    assert told.pop("folder") == f"{bench.storage.uri}/fans/trials/fan-00001"
    assert TrialRecord.model_validate(told) == record
    whole = search_dict(ledger, list(ledger.records()))
    assert whole["best"] == {"fan": "fan-00001"}
    assert len(whole["trials"]) == 4


def test_a_machine_without_domains_has_no_target(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan", domains=False, report=False)})
    record = bench.trial(ledger, "fan", 0)
    (row,) = (
        line.split() for line in printed(*show_trial(ledger, record)).splitlines() if line[:4] == "nll "
    )
    assert row[6] == "–"
    assert not np.isnan(float(row[5]))
