"""The leaderboard: the best of each kind, and what the ensemble loses without it."""

import csv
import io

import pytest
from rich.console import Console

from humtune.report.leaderboard import COLUMNS, leaderboard, to_terminal
from humtune.report.write import write_report
from humtune.results.leaderboard import standings

SKILLS = {"good": 2.5, "poor": 0.0}


@pytest.fixture
def kinds(bench):
    """A search of one machine with three trials of each of two kinds."""
    ledger = bench.search(machines=("fan",), trials=6)
    for number in range(6):
        kind = ("poor", "good")[number % 2]
        params = {"family": kind}
        bench.trial(ledger, "fan", number, skill=SKILLS[kind], params=params, seconds=10.0 + number)
    return ledger


def test_each_kind_has_its_best_and_what_it_brings(kinds):
    good, poor = standings(kinds, "fan")
    assert (good.kind, poor.kind, good.trials) == ("good", "poor", 3)
    best = max((kinds.read(f"fan-0000{n}") for n in (1, 3, 5)), key=lambda record: record.objective)
    assert (good.best.trial.id, good.best.score_type) == (best.id, best.best_score)
    assert good.seconds == 10.0 + best.number
    assert good.omega.value == pytest.approx(best.objective)
    assert good.omega.low < good.omega.value < good.omega.high
    assert good.cross_fitted.value > poor.cross_fitted.value + 0.2
    assert good.brings > 0.2
    assert abs(poor.brings) < 0.05


def test_what_takes_long_is_kept_until_other_trials_are_complete(kinds, bench, monkeypatch):
    assert [line.brings for line in standings(kinds, "fan", measure=False)] == [None, None]
    measured = standings(kinds, "fan")
    with monkeypatch.context() as patched:
        patched.setattr("humtune.results.leaderboard.cross_fit", None)
        assert standings(kinds, "fan") == measured
    bench.trial(kinds, "fan", 6, skill=2.5, params={"family": "good"})
    assert [line.brings for line in standings(kinds, "fan", measure=False)] == [None, None]
    assert standings(kinds, "fan")[0].trials == 4
    kinds.storage.write(kinds.layout.standings("fan"), b"{")
    assert standings(kinds, "fan")[0].brings > 0.2


def test_a_kind_alone_needs_no_leaderboard(bench):
    ledger = bench.search(machines=("fan",))
    bench.trial(ledger, "fan", 0)
    assert leaderboard(ledger, ledger.records()) == []


def test_without_labels_nothing_is_cross_fitted(kinds):
    for record in kinds.records():
        blind = {"judged_by": "pseudo", "pseudo": record.omega, "omega": {}}
        kinds.write(record.model_copy(update=blind))
    lines = leaderboard(kinds, kinds.records())
    assert [(line.kind, line.brings, line.cross_fitted.value) for line in lines] == [
        ("good", None, None),
        ("poor", None, None),
    ]
    screen = Console(width=140, record=True)
    screen.print(to_terminal(lines))
    text = screen.export_text()
    assert "pseudo-Ω" in text
    assert "not judged" in text


def test_the_report_has_it_as_a_table_and_a_file(kinds, bench):
    report = write_report(kinds)
    text = bench.storage.read("fans/report/table.md").decode()
    block = text.partition("## Kinds of detectors")[2]
    assert f"| {' | '.join(COLUMNS)} |" in block
    assert "| fan | good | fan-0000" in block
    assert "fans/report/leaderboard.csv" in report.files
    rows = list(csv.DictReader(io.StringIO(bench.storage.read("fans/report/leaderboard.csv").decode())))
    assert [row["kind"] for row in rows] == ["good", "poor"]
    assert float(rows[0]["brings"]) > 20
