import csv
import io
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from humtune.cli.main import app
from humtune.dcase.files import read_folder, write_file
from humtune.errors import HumtuneError, UsageError
from humtune.metrics.calibration import Standard, threshold_from
from humtune.report.ensembles import csv_rows, ensembles_block, render, to_page, write_ensembles
from humtune.report.submission import write_submission
from humtune.report.ways import ways
from humtune.report.write import write_report
from humtune.results.ensembles.greedy import MEMBERS
from humtune.results.ensembles.make import make_ensembles
from humtune.results.ensembles.record import EnsembleRecord, Member, Settings, ensemble_scores, write_ensemble
from humtune.sounds.table import Role


def record(machine, **changes):
    plain = EnsembleRecord(
        id=f"{machine}-ensemble",
        machine=machine,
        members=(
            Member(trial=f"{machine}-00001", score_type="nll", calibration=Standard(0, 1)),
            Member(trial=f"{machine}-00002", score_type="nll", calibration=Standard(0, 1)),
        ),
        weights=(1.0, 0.0),
        sections={1: (0.25, 0.75)},
        settings=Settings(candidates=4, members=2),
        metrics={"omega_select": 0.9, "omega_hidden": 0.71},
        compared={"best single": (0.6, 0.7), "ensemble": (0.65, 0.8)},
        front={"greedy": {1: (0.6, 0.7)}, "ensemble": {1: (0.6, 0.72), 2: (0.65, 0.8)}},
        passes={"greedy": {1: 1}, "ensemble": {1: 1, 2: 2}},
        created=1.7e9,
        version="0",
    )
    return plain.model_copy(update=changes)


@pytest.fixture
def ledger(bench):
    ledger = bench.search(machines=("fan", "valve"))
    for machine in ("fan", "valve"):
        for number in range(3):
            bench.trial(ledger, machine, number, skill=0.5 + number / 2)
    return ledger


@pytest.fixture
def run(bench):
    def run(*words, code=0):
        result = CliRunner().invoke(app, [*words, "--storage", bench.storage.uri])
        assert result.exit_code == code, result.output
        return result

    return run


def test_over_all_machines_every_split_is_a_harmonic_mean():
    other = record("valve", compared={"best single": (0.5, 0.5), "ensemble": (0.7, 0.6), "greedy": (1, 1)})
    found = {(w.machine, w.name): w for w in ways([record("fan"), other])}
    assert ("all", "greedy") not in found  # fan has none
    over = found["all", "ensemble"]
    expected = [2 / (1 / 0.65 + 1 / 0.7), 2 / (1 / 0.8 + 1 / 0.6)]
    np.testing.assert_allclose(over.splits, expected)
    single = np.array([2 / (1 / 0.6 + 1 / 0.5), 2 / (1 / 0.7 + 1 / 0.5)])
    np.testing.assert_allclose(over.more, np.array(expected) - single)


def test_a_figure_is_a_mean_its_deviation_and_a_paired_difference():
    (found,) = [w for w in ways([record("fan")]) if w.name == "ensemble"]
    assert found.cells == ("72.5 ± 7.5", "+7.5 ± 2.5")


def test_the_page_tells_members_front_and_what_can_not_be_believed():
    page = to_page("fans", [record("fan")])
    assert "humtune's docs/glossary.md" in page
    assert "| fan-00001 nll | gamma | 1.00 | 0.25 |" in page
    assert "| fan-00002 nll | gamma | – | 0.75 |" in page
    assert "| fan | ensemble | 2 | 72.5 ± 7.5 | 2 |" in page
    assert "Ω 90.0 on selecting clips (these chose: too high), 71.0 on hidden clips." in page
    assert "on sections without labels no weighting was better" in page
    assert "ransductive" not in page


def test_a_transductive_ensemble_says_so_everywhere():
    mixed = record("fan", members=(Member(system="one"), Member(system="two")))
    files = render("fans", [mixed])
    assert "Transductive: scores are ranked within the section" in files["ensembles.md"].decode()
    rows = list(csv.DictReader(io.StringIO(files["ensembles.csv"].decode())))
    assert {row["transductive"] for row in rows} == {"True"}
    assert files["front.png"].startswith(b"\x89PNG")


def test_rows_for_a_program_are_in_percent():
    rows = csv_rows([record("fan")])
    assert rows[1] == {
        "machine": "fan",
        "way": "ensemble",
        "members": None,
        "networks": None,
        "omega": 72.5,
        "omega_sd": 7.5,
        "more": 7.5,
        "more_sd": 2.5,
        "transductive": False,
    }
    assert rows[-1]["networks"] == 2


def test_a_search_without_ensembles_has_no_block(ledger):
    assert ensembles_block(ledger) == []


def test_the_report_has_a_line_for_each_ensemble(ledger):
    write_ensemble(ledger, record("valve"), np.zeros(3))
    write_report(ledger)
    table = ledger.storage.read("fans/report/table.md").decode()
    assert "| valve-ensemble | 2 of 4 | 2 | 72.5 ± 7.5 | 65.0 ± 5.0 | +7.5 ± 2.5 | 71.0 | – |" in table


def test_files_are_written_beside_the_report_and_forget_no_machine(ledger):
    for machine in ("valve", "fan"):
        write_ensemble(ledger, record(machine), np.zeros(3))
        files = write_ensembles(ledger)
    assert files == ("fans/report/ensembles.md", "fans/report/ensembles.csv", "fans/report/front.png")
    assert all(ledger.storage.exists(file) for file in files)
    page = ledger.storage.read(files[0]).decode()
    assert [line for line in page.splitlines() if line.endswith("-ensemble")] == [
        "## fan-ensemble",
        "## valve-ensemble",
    ]


def test_a_submission_of_ensembles_wants_ensembles(ledger, tmp_path):
    with pytest.raises(HumtuneError, match="search 'fans' has no ensemble; make it with"):
        write_submission(ledger, tmp_path / "out", ensembles=True)


@pytest.mark.slow
def test_a_submission_holds_the_ensemble_s_scores_and_decisions(ledger, tmp_path):
    make_ensembles(ledger, machines=["fan"])
    written = write_submission(ledger, tmp_path / "out", ensembles=True)
    assert written.trials == ("fan-ensemble",)
    assert "valve" in written.failed[0]
    clips = ledger.clips("fan")
    scores = ensemble_scores(ledger, make_ensembles(ledger, machines=["fan"]).records[0])
    threshold = threshold_from(scores[clips.role == Role.HELD_OUT]).value
    test = clips.having(Role.SELECT, Role.REPORT)
    told = read_folder(tmp_path / "out")["fan"]
    assert told == {clips.name[i]: scores[i] for i in test}
    decided = read_folder(tmp_path / "out", "decision_result")["fan"]
    assert decided == {clips.name[i]: float(scores[i] > threshold) for i in test}


@pytest.mark.slow
def test_a_transductive_submission_calls_the_upper_half_of_a_section(ledger, tmp_path):
    clips = ledger.clips("fan")
    test = clips.take(clips.having(Role.SELECT, Role.REPORT))
    for section in np.unique(test.section).tolist():
        names = test.name[test.section == section].tolist()
        values = np.random.default_rng(section).normal(size=len(names)).tolist()
        write_file(
            tmp_path / "x", "anomaly_score", machine="fan", section=section, names=names, values=values
        )
    make_ensembles(ledger, machines=["fan"], imports=[tmp_path / "x"])
    written = write_submission(ledger, tmp_path / "out", ensembles=True)
    assert "transductive" in written.notes[0]
    decided = read_folder(tmp_path / "out", "decision_result")["fan"]
    for section in np.unique(test.section):
        share = np.mean([decided[name] for name in test.name[test.section == section]])
        assert share == pytest.approx(0.5, abs=0.1)


def test_the_command_makes_prints_and_shows(run, ledger):
    text = run("ensemble", "fans", "--machines", "fan", "--members", "2").stdout
    assert "oracle single" in text
    assert "humtune show fans fan-ensemble" in text
    shown = run("show", "fans", "fan-ensemble").stdout
    assert "calibrated by" in shown
    listed = run("show", "fans").stdout
    assert "fan-ensemble: 2 of 6 candidates, Ω" in " ".join(listed.split())
    assert "  fan.json" in shown
    told = json.loads(run("show", "fans", "fan-ensemble", "--json").stdout)
    assert (told["id"], told["transductive"]) == ("fan-ensemble", False)
    again = json.loads(run("ensemble", "fans", "--machines", "fan", "--members", "2", "--json").stdout)
    assert again["ensembles"]["fan-ensemble"] == [f"{m['trial']} {m['score_type']}" for m in told["members"]]
    assert isinstance(run("show", "fans", "valve-ensemble", code=1).exception, UsageError)


def test_systems_alone_are_joined_into_score_files(tmp_path):
    rng = np.random.default_rng(0)
    names = [
        f"section_00_{d}_test_{label}_{i:04d}_a_1.wav"
        for d in ("source", "target")
        for label in ("normal", "anomaly")
        for i in range(6)
    ]
    for team in ("one", "two"):
        values = [float(rng.normal() + ("anomaly" in name)) for name in names]
        write_file(
            tmp_path / "teams" / team, "anomaly_score", machine="fan", section=0, names=names, values=values
        )
    out = tmp_path / "out"
    words = ["ensemble", "--import", str(tmp_path / "teams"), "--out", str(out), "--members", "2"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "Transductive" in result.stdout
    assert list(read_folder(out)["fan"]) == names
    assert {"ensembles.md", "ensembles.csv", "front.png", "fan.json"} < {p.name for p in out.iterdir()}
    write_file(out, "anomaly_score", machine="pump", section=0, names=["a.wav"], values=[1.0])
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, UsageError)
    assert "pump" in str(error)


@pytest.mark.slow
def test_the_command_has_the_default_of_the_method(run, ledger):
    told = json.loads(run("ensemble", "fans", "--machines", "fan", "--json").stdout)
    assert len(told["ensembles"]) == 1
    shown = json.loads(run("show", "fans", "fan-ensemble", "--json").stdout)
    assert shown["settings"]["members"] == MEMBERS
