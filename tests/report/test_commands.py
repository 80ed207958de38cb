import json

import pytest
import typer
from typer.testing import CliRunner

from humtune.cli import report as commands
from humtune.detectors.classifier.heads import VariationalHead
from humtune.detectors.classifier.recipe import Classifier
from humtune.errors import UsageError
from humtune.records import TrialState


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
    assert "valve: no trial completed: 1 failed, 'out of memory' (1 of them)" in text
    assert f"written: {bench.storage.uri}/fans/report/table.md" in text
    assert bench.storage.exists("fans/report/fan-roc.png")


def test_report_names_the_search_that_this_one_continues(run, ledger, bench):
    told = "it has the detectors of search pumps, and other recordings beside those of it"
    assert told not in run("report", "fans").stdout.replace("\n", " ")
    ledger.write_plan(ledger.plan.asking(continues="pumps"))
    assert told in run("report", "fans").stdout.replace("\n", " ")
    assert told in bench.storage.read("fans/report/table.md").decode()


def test_show_tells_what_a_search_continues_and_what_goes_on_from_it(run, ledger, bench):
    bench.storage.write("torn/plan.json", b"{")
    assert "continue" not in run("show", "fans").stdout
    for name in ("july", "june"):
        later = bench.search(name, machines=("fan",))
        later.write_plan(later.plan.asking(continues="fans"))
    earlier, later = run("show", "fans").stdout.splitlines(), run("show", "june").stdout.splitlines()
    assert earlier[-1] == "continued by july, june"
    assert later[-1] == "continues fans: its detectors, with other recordings beside those of it"
    told = [json.loads(run("show", name, "--json").stdout) for name in ("fans", "june")]
    kin = [(one["continues"], one["continued_by"]) for one in told]
    assert kin == [(None, ["july", "june"]), ("fans", [])]


def test_report_speaks_json_in_percent(run, ledger):
    told = json.loads(run("report", "fans", "--json").stdout)
    assert [row["machine"] for row in told["rows"]] == ["fan", "valve", "all"]
    objective = 100 * ledger.read("fan-00001").objective
    assert told["rows"][0]["omega_select_official"] == pytest.approx(objective, abs=1e-4)


def test_report_of_the_paper_wants_a_search_that_stands_for_a_result(run, ledger):
    error = run("report", "fans", "--paper", code=1).exception
    assert isinstance(error, UsageError)
    assert "paper/mu_sigma2 (table3)" in str(error)


def test_report_of_the_paper_prints_lines_and_files(run, bench):
    ledger = bench.search("grid", machines=("fan",), space={"reproduces": "table3"})
    head = VariationalHead(mu=5, sigma2=0.02)
    bench.trial(ledger, "fan", 0, skill=1, config=Classifier(head=head))
    text = run("report", "grid", "--paper").stdout
    assert "66.3" in text
    assert "No difference to the paper is given" in text
    assert f"written: {bench.storage.uri}/grid/report/paper/table3.md" in text
    told = json.loads(run("report", "grid", "--paper", "--json").stdout)
    assert (told["result"], told["lines"][0]["paper"], told["lines"][0]["difference"]) == (
        "table3",
        66.3,
        None,
    )


def test_report_prints_the_highest_points_of_a_grid(run, bench):
    ledger = bench.search("grid", machines=("fan",), space={"sampler": "grid"})
    for number in range(2):
        bench.trial(ledger, "fan", number, skill=number)
    text = run("report", "grid").stdout
    assert "fan: mu=6" in text
    assert "Published results of DCASE 2022 (not measured here) are in table.md" in text
    assert "points.csv" in run("report", "grid", "--json").stdout


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
