import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from humtune.cli.main import app
from humtune.dcase.evaluate import evaluate_folder
from humtune.dcase.files import read_folder
from humtune.errors import HumtuneError, UsageError
from humtune.records import TrialState
from humtune.report.submission import write_submission
from humtune.results.measure import measure
from humtune.sounds.table import NORMAL, TARGET, ClipTable, Role

LABELS, DOMAINS = ("normal", "anomaly"), ("source", "target")


@pytest.fixture
def tables(make_clips):
    """Clips named as DCASE names them, shuffled: dev names tell their labels, eval names nothing."""

    def tabulate(machine):
        table = make_clips(machine)
        names = [
            f"section_{s:02d}_{i:04d}.wav"
            if part == "eval"
            else f"section_{s:02d}_{DOMAINS[d]}_{split}_{LABELS[y]}_{i:04d}_a_1.wav"
            for i, (part, split, s, d, y) in enumerate(
                zip(table.part, table.split, table.section, table.domain, table.label, strict=True)
            )
        ]
        table = replace(table, name=np.array(names))
        return table.take(np.random.default_rng(0).permutation(len(table)))

    return {machine: tabulate(machine) for machine in ("fan", "valve")}


@pytest.fixture
def ledger(bench, tables):
    ledger = bench.search(clips=tables)
    for machine in tables:
        for number in range(3):
            bench.trial(ledger, machine, number, skill=number / 2)
    return ledger


@pytest.fixture
def truth(tmp_path, tables):
    for machine, table in tables.items():
        for section in (3, 4):
            hidden = table.take((table.part == "eval") & (table.section == section))
            for kind, values in (("data", hidden.label), ("domain", hidden.domain == TARGET)):
                folder = tmp_path / "truth" / f"ground_truth_{kind}"
                folder.mkdir(parents=True, exist_ok=True)
                with (folder / f"ground_truth_{machine}_section_{section:02d}_test.csv").open("w") as stream:
                    csv.writer(stream).writerows(zip(hidden.name, values.astype(int), strict=True))
    return tmp_path / "truth"


def run(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def test_a_folder_with_another_submission_is_refused(ledger, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "anomaly_score_pump_section_00.csv").touch()
    with pytest.raises(UsageError, match=r"out: holds anomaly_score_pump_section_00\.csv, which is no part"):
        write_submission(ledger, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_clips_of_2021_get_a_file_per_domain(bench, tables, tmp_path):
    names = np.array(
        [
            f"section_{s:02d}_{DOMAINS[d]}_test_{i:04d}.wav" if part == "eval" else str(name)
            for i, (name, part, s, d) in enumerate(
                zip(
                    tables["fan"].name,
                    tables["fan"].part,
                    tables["fan"].section,
                    tables["fan"].domain,
                    strict=True,
                )
            )
        ]
    )
    ledger = bench.search(clips={"fan": replace(tables["fan"], name=names)}, machines=("fan",))
    bench.trial(ledger, "fan", 0, skill=1)
    for _ in range(2):  # the second time it replaces its own files
        done = write_submission(ledger, tmp_path / "out")
    assert {file.name for file in done.files} == {
        f"{kind}_fan_section_{section:02d}_{domain}_test.csv"
        for kind in ("anomaly_score", "decision_result")
        for section in (0, 1, 3, 4)
        for domain in DOMAINS
    }
    scores = read_folder(tmp_path / "out")["fan"]
    assert len(scores) == done.clips == (tables["fan"].split == "test").sum()
    for file in done.files:
        assert all(f"_{file.name.split('_')[-2]}_" in line for line in file.read_text().splitlines())


def test_a_search_without_a_complete_trial_has_nothing_to_submit(bench, tables, tmp_path):
    ledger = bench.search(clips=tables)
    with pytest.raises(HumtuneError, match=r"search .* no trial has run its whole budget yet"):
        write_submission(ledger, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_machine_that_can_not_be_written_keeps_no_other_from_it(bench, make_clips, tables, tmp_path):
    nothing_held_out = make_clips("fan", held_out=0)
    doubled = replace(tables["valve"], name=np.full(len(tables["valve"]), "a.wav"))
    untested = tables["valve"].take(tables["valve"].having(Role.HELD_OUT))
    clips = {"fan": nothing_held_out, "pump": doubled, "slider": untested, "valve": tables["valve"]}
    ledger = bench.search(clips=clips)
    for machine in ("fan", "pump", "valve"):
        bench.trial(ledger, machine, 0)
    omega = {"cosine": 0.5}
    bench.trial(ledger, "slider", 0, state=TrialState.RUNNING, omega=omega)
    record = ledger.read("slider-00000").model_copy(update={"state": TrialState.COMPLETE})
    ledger.write(record)
    ledger.write_scores("slider-00000", {"cosine": np.zeros(len(untested))})
    written = write_submission(ledger, tmp_path / "out")
    assert written.trials == ("valve-00000",)
    for sentence, word in zip(
        written.failed,
        ("fan: no held-out", "pump: two test clips are called a.wav", "slider: the search had no"),
        strict=True,
    ):
        assert sentence.startswith(word)
    result = run("submit", ledger.name, "--out", tmp_path / "out", "--storage", ledger.storage.uri, code=1)
    assert "fan: no held-out normal clips" in result.stderr


def test_hidden_clips_are_part_of_a_submission_and_probes_are_not(bench, make_clips, tmp_path):
    table = make_clips("fan", hidden=5)
    probes = table.take(table.having(Role.HELD_OUT)).with_columns(
        name=[f"fault-{i}.wav" for i in range(30)], part="fault", split="test", label=1, role=str(Role.PROBE)
    )
    clips = ClipTable.concatenate([table, probes])
    ledger = bench.search(clips={"fan": clips})
    bench.trial(ledger, "fan", 0)
    assert write_submission(ledger, tmp_path / "out").clips == (table.split == "test").sum()
    told = {name for names in read_folder(tmp_path / "out").values() for name in names}
    assert told == set(table.name[table.split == "test"])


def test_the_folder_holds_every_test_clip_in_order_with_the_reports_decisions(ledger, tables, tmp_path):
    written = write_submission(ledger, tmp_path / "out")
    assert (written.trials, written.clips) == (("fan-00002", "valve-00002"), 320)
    assert sorted(path.name for path in written.files) == sorted(
        f"{kind}_{machine}_section_{section:02d}_test.csv"
        for kind in ("anomaly_score", "decision_result")
        for machine in ("fan", "valve")
        for section in (0, 1, 3, 4)
    )
    measured = measure(ledger, "fan")
    found = read_folder(tmp_path / "out")["fan"]
    assert list(found) == sorted(found)
    expected = dict(zip(tables["fan"].name, measured.scores, strict=True))
    test = tables["fan"].name[tables["fan"].split == "test"]
    assert found == {name: expected[name] for name in test}
    decisions = read_folder(tmp_path / "out", "decision_result")["fan"]
    assert decisions == {name: expected[name] > measured.threshold.value for name in test}
    select = tables["fan"].take((tables["fan"].role == Role.SELECT) & (tables["fan"].label == NORMAL))
    assert np.mean([decisions[name] for name in select.name]) == pytest.approx(measured.false_alarms)


def test_evaluating_the_folder_gives_the_reports_figures(ledger, truth, tmp_path):
    out = tmp_path / "out"
    text = run("submit", ledger.name, "--out", out, "--storage", ledger.storage.uri).stdout
    assert f"fan-00002, valve-00002: 320 clips, 16 files in {out}" in text
    told = json.loads(run("evaluate", out, "--truth", truth, "--json").stdout)
    rows = json.loads(run("report", ledger.name, "--storage", ledger.storage.uri, "--json").stdout)["rows"]
    for row in (row for row in rows if row["choice"] == "best"):
        parts = (told if row["machine"] == "all" else told["machines"][row["machine"]])["parts"]
        for part, name in (("dev", "select"), ("eval", "eval")):
            for kind in ("official", "paper"):
                expected = row[f"omega_{name}_{kind}"]
                assert parts[part][f"omega_{kind}"] == pytest.approx(expected, abs=1e-4)  # as it is printed
        for name in ("auc_source", "auc_target", "pauc"):
            assert parts["dev"][name] == pytest.approx(row[name], abs=1e-4)
    result = evaluate_folder(out, truth=truth)
    for mine in result.results:
        measured = measure(ledger, mine.machine)
        expected = measured.select if mine.part == "dev" else measured.report
        assert float(mine.metrics.omega_official) == pytest.approx(float(expected.omega_official), abs=1e-12)
    assert evaluate_folder(out).notes[0] == "fan: sections 03, 04 left out, without labels (--truth)"
