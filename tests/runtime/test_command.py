import json

import pytest
import typer
from typer.testing import CliRunner

from humtune.cli.score import SHOWN, score
from humtune.errors import UsageError


@pytest.fixture
def run(tmp_path):
    app = typer.Typer()
    app.command()(score)

    def run(*words, code=0):
        result = CliRunner().invoke(app, [*map(str, words), "--out", str(tmp_path / "scores")])
        assert result.exit_code == code, result.output
        return result

    return run


def test_a_folder_that_is_no_model_is_a_usage_error(run, record, tmp_path):
    error = run(tmp_path / "nowhere", record("a.wav", 0.1), code=1).exception
    assert isinstance(error, UsageError)
    assert "not a model folder" in str(error)


def test_an_unusable_output_is_told_before_the_work(run, model, record, tmp_path, monkeypatch):
    (tmp_path / "scores").write_text("a file")
    monkeypatch.setattr("humtune.runtime.recordings.score_files", lambda *a, **k: pytest.fail("scored"))
    error = run(model, record("a.wav", 0.1), code=1).exception
    assert isinstance(error, UsageError)
    assert "scores: can't be made a folder" in str(error)


def test_a_bad_recording_is_one_line_and_exit_code_one(run, model, record, tmp_path):
    good, bad = record("good.wav", 0.25), tmp_path / "bad.wav"
    bad.write_text("not a sound")
    result = run(model, bad, good, tmp_path / "gone.wav", code=1)
    lines = result.stderr.strip().splitlines()
    assert [line.split(":")[0] for line in lines] == [str(bad), str(tmp_path / "gone.wav")]
    assert "good.wav" in result.stdout
    assert (tmp_path / "scores" / "anomaly_score_fan.csv").read_text().startswith("good.wav,0.2")
    assert run(model, bad, code=1).stdout.strip() == ""


def test_the_strangest_come_first_and_only_so_many(run, model, record, tmp_path):
    for i in range(SHOWN + 5):
        record(f"section_00_{i:04d}.wav", 0.01 * (i + 1), samples=1_000)
    result = run(model, tmp_path / "recordings")
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines[:SHOWN]] == ["anomaly"] * 15 + ["normal"] * (SHOWN - 15)
    assert lines[0].endswith(f"section_00_{SHOWN + 4:04d}.wav")
    assert lines[SHOWN] == f"the {SHOWN} strangest of {SHOWN + 5} are shown"
    assert lines[SHOWN + 1] == f"{SHOWN + 5} recordings repeated to the model's shortest, 0.25 s"
    assert f"15 of {SHOWN + 5} recordings above the threshold 0.1;" in result.stdout
    assert "real-time factor" in result.stdout
    scores = (tmp_path / "scores" / "anomaly_score_fan_section_00_test.csv").read_text()
    assert len(scores.splitlines()) == SHOWN + 5


def test_json_holds_everything(run, model, record, tmp_path):
    quiet, loud = record("quiet.wav", 0.05), record("loud.wav", 0.5, samples=100)
    gone = tmp_path / "gone.wav"
    told = json.loads(run(model, quiet, loud, gone, "--json", code=1).stdout)
    assert [(r["file"], r["anomaly"]) for r in told["recordings"]] == [(str(quiet), False), (str(loud), True)]
    assert told["recordings"][1]["changes"] == ["repeated to the model's shortest, 0.25 s"]
    assert [f["file"] for f in told["failed"]] == [str(gone)]
    assert (told["machine"], told["trial"], told["threshold"]) == ("fan", "fan-00003", 0.1)
    assert told["files"] == [
        str(tmp_path / "scores" / f"{kind}_fan.csv") for kind in ("anomaly_score", "decision_result")
    ]
    assert told["clips_per_second"] > 0
    assert told["real_time_factor"] > 0
