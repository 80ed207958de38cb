import json

import pytest
import typer
from typer.testing import CliRunner

from humtune.cli import report as commands
from humtune.errors import UsageError
from humtune.ledger import TrialState


@pytest.fixture
def run(bench):
    app = typer.Typer()
    for command in (commands.report, commands.runs, commands.show):
        app.command()(command)

    def run(*words, code=0):
        result = CliRunner().invoke(app, [*words, "--storage", bench.storage.uri])
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def ledger(bench):
    ledger = bench.search(trials=2)
    for number in range(2):
        bench.trial(ledger, "fan", number, skill=number + 0.5)
    bench.trial(ledger, "valve", 0, state=TrialState.FAILED, reason="out of memory")
    return ledger


@pytest.mark.parametrize("words", [("report", "pumps"), ("show", "pumps"), ("show", "fans", "fan-00009")])
def test_a_wrong_name_is_a_usage_error(run, ledger, words):
    error = run(*words, code=1).exception
    assert isinstance(error, UsageError)
    assert words[-1] in str(error)


def test_report_prints_the_table_its_notes_and_where_it_is(run, ledger, bench):
    text = run("report", "fans").stdout
    assert "Ω cross-fitted" in text
    assert "valve: no trial has run its whole budget yet" in text
    assert f"written: {bench.storage.uri}/fans/report/table.md" in text
    assert bench.storage.exists("fans/report/fan-roc.png")


def test_report_speaks_json_in_percent(run, ledger):
    told = json.loads(run("report", "fans", "--json").stdout)
    assert [row["machine"] for row in told["rows"]] == ["fan", "valve", "all"]
    objective = 100 * ledger.read("fan-00001").objective
    assert told["rows"][0]["omega_select_official"] == pytest.approx(objective, abs=1e-4)


def test_runs_lists_searches(run, ledger):
    assert "2+0+1 of 4" in run("runs").stdout
    (told,) = json.loads(run("runs", "--json").stdout)
    assert (told["name"], told["complete"], told["machines"]) == ("fans", 2, ["fan", "valve"])


def test_runs_of_an_empty_storage_says_so(run, bench):
    assert run("runs").stdout.strip() == f"no searches in {bench.storage.uri}"
    assert json.loads(run("runs", "--json").stdout) == []


def test_show_lists_trials_or_shows_one(run, ledger):
    assert "valve-00000   failed" in run("show", "fans").stdout
    assert "fan-00001: complete" in run("show", "fans", "fan-00001").stdout
    assert json.loads(run("show", "fans", "--json").stdout)["best"] == {"fan": "fan-00001"}
    assert json.loads(run("show", "fans", "fan-00001", "--json").stdout)["id"] == "fan-00001"
