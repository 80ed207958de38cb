"""evaluate on the command line: what is printed, and what a program gets."""

import json

import pytest
from typer.testing import CliRunner

from humtune.cli.main import app
from humtune.dcase.files import write_file
from humtune.errors import UsageError

CELLS = [(d, y) for d in ("source", "target") for y in ("normal", "anomaly")]


@pytest.fixture
def folder(tmp_path):
    for machine in ("fan", "valve"):
        clips = [(d, y, i) for i in range(5) for d, y in CELLS]
        names = [f"section_00_{d}_test_{y}_{i:04d}_a_1.wav" for d, y, i in clips]
        scores = [i + 2 * (y == "anomaly") for _, y, i in clips]
        place = {"machine": machine, "section": 0, "names": names}
        write_file(tmp_path / "team", "anomaly_score", values=scores, **place)
        if machine == "fan":
            write_file(tmp_path / "team", "decision_result", values=[s > 4 for s in scores], **place)
    names = [f"section_03_{i:04d}.wav" for i in range(4)]
    write_file(tmp_path / "team", "anomaly_score", machine="fan", section=3, names=names, values=range(4))
    return tmp_path / "team"


def run(*words, code=0):
    result = CliRunner().invoke(app, ["evaluate", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


def test_wrong_words_are_usage_errors(folder, tmp_path):
    for words, message in (
        ([tmp_path / "nowhere"], "there is no such folder"),
        ([folder, "--machines", "pump"], "no scores of machine 'pump'"),
        ([folder, "--truth", tmp_path / "nowhere"], "nowhere: no such folder"),
    ):
        error = run(*words, code=1).exception
        assert isinstance(error, UsageError)
        assert message in str(error)


def test_json_has_both_omegas_in_percent(folder):
    told = json.loads(run(folder, "--json", "--machines", "valve").stdout)
    assert list(told["machines"]) == ["valve"]
    auc, pauc = 82, told["pauc"]  # 20.5 of 25 pairs, in both domains
    assert (told["auc_source"], told["auc_target"]) == pytest.approx((auc, auc))
    assert 50 < pauc < auc
    assert told["omega_official"] == pytest.approx(3 / (2 / auc + 1 / pauc))
    assert told["omega_paper"] == pytest.approx(4 / (2 / auc + 2 / pauc))


def test_tables_name_both_omegas_and_show_decisions(folder):
    text = run(folder).stdout
    assert max(map(len, text.splitlines()[:-5])) <= 80
    assert "fan: section 03 left out, without labels (--truth)" in text
    assert "valve: section 00 without decisions" in text
    for word in ("official", "paper", "precision", "recall", "F1"):
        assert word in text
    assert "precision" not in run(folder, "--machines", "valve").stdout
    told = json.loads(run(folder, "--json").stdout)
    overall = next(line for line in text.splitlines() if line.split()[:2] == ["all", "dev"])
    assert overall.split()[2:4] == [f"{told[f'omega_{kind}']:.1f}" for kind in ("official", "paper")]
