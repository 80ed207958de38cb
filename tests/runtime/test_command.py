import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile
import typer
from models import make_info
from typer.testing import CliRunner
from waiting import PATIENCE, wait_for
from words import terms_in

from humtune.cli import watched
from humtune.cli.score import score
from humtune.cli.scored import Teller
from humtune.cli.threshold import threshold
from humtune.dcase.files import read_file
from humtune.errors import UsageError
from humtune.runtime.info import DomainScores, Evidence, read_info, write_info
from humtune.runtime.log import log_path, read_log
from humtune.runtime.outcomes import STRANGEST, Failed, Scored, Tally
from humtune.runtime.scale import Scale

HEAVY = ("torch", "ray", "mlflow", "optuna", "scipy", "sklearn", "pandas", "pyarrow", "matplotlib", "onnx")
MODULES = 600  # that a first score may import: 476 of Python 3.11, and each heavy one would bring hundreds


@pytest.fixture
def run(tmp_path):
    app = typer.Typer()
    app.command()(score)
    app.command()(threshold)

    def run(*words, code=0, command="score", stdin=None):
        out = ["--out", str(tmp_path / "scores")] if command == "score" else []
        result = CliRunner().invoke(app, [command, *map(str, words), *out], input=stdin)
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def judged(model, tools):
    """The model with evidence: held-out scores 0.01 to 1, and a domain of test clips."""
    tested = DomainScores(part="dev", domain="target", normal=(0.5, 0.99), anomaly=(2.0,))
    held_out = tuple(i / 100 for i in range(1, 101))
    info = tools["info"](evidence=Evidence(held_out=held_out, clip_samples=8_000, tested=(tested,)))
    tools["write"](model, info)
    return model


def test_a_folder_that_is_no_model_is_a_usage_error(run, record, tmp_path):
    error = run(tmp_path / "nowhere", record("a.wav", 0.1), code=1).exception
    assert isinstance(error, UsageError)
    assert str(error).startswith(f"{tmp_path}/nowhere: no such folder")


def test_a_watch_of_no_folder_is_refused_before_it_is_told(run, model, tmp_path):
    result = run(model, "--watch", tmp_path / "nowhere", code=1)
    assert str(result.exception) == f"{tmp_path}/nowhere: no such folder"
    assert result.stderr == ""


def test_nothing_to_score_is_a_usage_error(run, model):
    error = run(model, code=1).exception
    assert isinstance(error, UsageError)
    assert "nothing to score: name files" in str(error)


def test_an_unusable_output_is_told_before_the_work(run, model, record, tmp_path, monkeypatch):
    (tmp_path / "scores").write_text("a file")
    monkeypatch.setattr("humtune.runtime.recordings.Listener.listen", lambda *a, **k: pytest.fail("scored"))
    error = run(model, record("a.wav", 0.1), code=1).exception
    assert isinstance(error, UsageError)
    assert "scores: can't be made a folder" in str(error)


def test_what_can_not_be_read_is_one_line_and_the_exit_code_says_so(run, model, record, tmp_path):
    good, bad = record("good.wav", 0.05), tmp_path / "b\nad.wav"
    bad.write_text("not a sound")
    result = run(model, bad, good, tmp_path / "gone.wav", code=1)
    lines = result.stderr.strip().splitlines()
    assert [line.split(": ")[0] for line in lines[:2]] == [
        f"{tmp_path}/b\\nad.wav",
        str(tmp_path / "gone.wav"),
    ]
    assert lines[2] == "2 recordings could not be scored"
    assert result.stdout == f"0.050003 normal {good}\n"
    assert (tmp_path / "scores" / "anomaly_score_fan.csv").read_text().startswith("good.wav,0.0")
    assert run(model, bad, code=1).stdout == ""


def test_an_anomaly_is_exit_code_three_also_beside_what_can_not_be_read(run, model, record, tmp_path):
    loud = record("loud.wav", 0.5)
    run(model, loud, code=3)
    run(model, loud, tmp_path / "gone.wav", code=3)


def test_a_line_a_recording_with_what_is_odd_and_all_in_numbers_at_the_end(run, model, record, tmp_path):
    for i in range(25):
        record(f"section_00_{i:04d}.wav", 0.01 * (i + 1), samples=1_000)
    result = run(model, tmp_path / "recordings", code=3)
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["normal"] * 10 + ["anomaly"] * 15
    assert lines[0].endswith("section_00_0000.wav (repeated to the model's shortest, 0.25 s)")
    assert not any("repeated" in line for line in lines[1:])  # as the line before has it
    assert "25 recordings: repeated to the model's shortest, 0.25 s" in result.stderr
    assert (
        "15 of 25 recordings above the limit 0.1 (10.00% false alarms wanted, by 50 healthy clips)"
        in result.stderr
    )
    assert " recordings a second" in result.stderr
    assert len(read_file(tmp_path / "scores" / "anomaly_score_fan_section_00_test.csv")) == 25


def test_a_note_is_told_again_where_the_line_before_did_not_have_it(run, model, record):
    files = [
        record(f"{i}.wav", 0.01, samples=length) for i, length in enumerate((1_000, 1_000, 8_000, 1_000))
    ]
    lines = run(model, *files).stdout.splitlines()
    assert ["repeated to" in line for line in lines] == [True, False, False, True]


def test_a_terminal_gets_a_table_of_the_strangest(run, model, record, tmp_path, monkeypatch):
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("COLUMNS", "200")
    for i in range(STRANGEST + 5):
        record(f"[red]{i}.wav", 0.01 * (i + 1))
    result = run(model, tmp_path / "recordings", code=3)
    assert f"[red]{STRANGEST + 4}.wav" in result.stdout
    assert "[red]3.wav" not in result.stdout
    assert f"the {STRANGEST} strangest of {STRANGEST + 5} are shown" in result.stdout


def test_json_is_a_line_a_recording_and_one_of_all(run, model, record, tmp_path):
    quiet, loud = record("quiet.wav", 0.05), record("loud.wav", 0.5, samples=100)
    gone = tmp_path / "gone.wav"
    lines = run(model, quiet, gone, loud, "--json", code=3).stdout.splitlines()
    first, second, third, summary = map(json.loads, lines)
    assert (first["file"], first["anomaly"], first["seconds"]) == (str(quiet), False, 0.5)
    assert first["score"] == pytest.approx(0.05, abs=1e-4)
    assert second == {"file": str(gone), "error": "can't be opened (No such file or directory)"}
    assert (third["anomaly"], third["notes"]) == (True, ["repeated to the model's shortest, 0.25 s"])
    assert "file" not in summary
    assert [summary[key] for key in ("machine", "trial", "threshold")] == ["fan", "fan-00003", 0.1]
    assert [summary[key] for key in ("scored", "anomalies", "failed")] == [2, 1, 1]
    assert summary["clips_per_second"] > 0
    assert summary["real_time_factor"] > 0
    files = ("anomaly_score_fan.csv", "decision_result_fan.csv", "index.html")
    assert summary["files"] == [str(tmp_path / "scores" / file) for file in files]


def test_a_command_is_run_for_what_is_above_the_limit(run, model, record, tmp_path):
    quiet, loud, told = record("quiet.wav", 0.05), record("loud.wav", 0.5), tmp_path / "told.txt"
    tell = shlex.join(["sh", "-c", f'echo "$HUMTUNE_PATH" >> {shlex.quote(str(told))}'])
    run(model, quiet, loud, "--on-alarm", tell, code=3)
    assert told.read_text() == f"{loud}\n"
    failed = run(model, loud, "--on-alarm", "sh -c 'exit 7'", code=3)
    assert f"--on-alarm sh: exit code 7, for {loud}" in failed.stderr.splitlines()
    error = run(model, loud, "--on-alarm", "no-such-program-here", code=1).exception
    assert "--on-alarm no-such-program-here: no program that can be run" in str(error)


def test_a_page_is_written_unless_nobody_wants_it(run, model, record, tmp_path):
    clip = record("a.wav", 0.3)
    run(model, clip, "--no-page", code=3)
    assert not (tmp_path / "scores" / "index.html").exists()
    told = run(model, record("b.wav", 0.2), code=3).stderr
    assert "written: 3 files in " in told
    page = (tmp_path / "scores" / "index.html").read_text()
    assert ("a.wav" in page, "b.wav" in page) == (True, True)  # of the folder, not of one run


def test_a_page_of_something_else_is_told_before_the_work(run, model, record, tmp_path):
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "index.html").write_text("my own")
    error = run(model, record("a.wav", 0.3), code=1).exception
    assert "index.html: a page of something else stands there" in str(error)
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["index.html"]
    run(model, record("a.wav", 0.3), "--no-page", code=3)


def test_an_alarm_is_one_though_the_log_is_full(run, model, record, tmp_path, monkeypatch):
    def full(*_):
        raise UsageError("the disk is full")

    monkeypatch.setattr("humtune.runtime.log.Log.append", full)
    loud, heard = record("loud.wav", 0.3), tmp_path / "heard"
    words = (loud, record("b.wav", 0.01), "--on-alarm", f"sh -c 'echo $HUMTUNE_PATH >> {heard}'")
    result = run(model, *words, code=3)
    assert heard.read_text() == f"{loud}\n"
    assert result.stderr.splitlines().count("the disk is full") == 1
    assert "1 of 2 recordings above the limit" in result.stderr


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda out: (out / "labels.csv").write_text("recording,label\n/a.wav,Bad\n"),
            "labels.csv: expected",
        ),
        (lambda out: (out / "anomaly_score_fan.csv").mkdir(), "anomaly_score_fan.csv: can't be read"),
    ],
)
def test_an_alarm_is_one_whatever_can_not_be_written(run, model, record, tmp_path, spoil, told):
    (tmp_path / "scores").mkdir()
    spoil(tmp_path / "scores")
    loud, heard = record("loud.wav", 0.3), tmp_path / "heard"
    alarm = ("--on-alarm", f"sh -c 'echo $HUMTUNE_PATH >> {heard}'", "--alarm-every", "0")
    result = run(model, loud, *alarm, "--json", code=3)
    assert json.loads(result.stdout.splitlines()[-1])["anomalies"] == 1
    assert told in result.stderr
    assert heard.read_text() == f"{loud}\n"
    quiet = run(model, record("quiet.wav", 0.01), code=1)
    assert "0 of 1 recording above the limit" in quiet.stderr


def test_names_come_from_standard_input(run, model, record):
    a, b = record("a.wav", 0.05), record("b.wav", 0.05)
    result = run(model, "-", stdin=f"{a}\n{b}\n")
    assert [line.split()[-1] for line in result.stdout.splitlines()] == [str(a), str(b)]


def test_a_long_recording_is_told_with_its_stretches(run, model, tmp_path):
    level = np.repeat([0.05, 0.3, 0.05], [320_000, 32_000, 320_000])
    path = tmp_path / "long.wav"
    soundfile.write(path, level * np.where(np.arange(len(level)) % 2, 1, -1), 16_000)
    result = run(model, path, "--window", 1, code=3)
    assert f"{path}: 5 of 83 windows above the limit, at 0:20–0:22" in result.stderr
    told = json.loads(run(model, path, "--window", 1, "--json", code=3).stdout.splitlines()[0])
    assert (told["windows"], told["windows_above"], told["stretches"]) == (83, 5, [[19.5, 22.5]])
    assert [os.path.exists(file) for file in told["files"]] == [True]  # noqa: PTH110


def test_longer_recordings_than_the_threshold_is_for_have_a_limit_of_their_own(run, judged, tmp_path):
    """It was measured on clips of 0.5 s."""
    path, said = tmp_path / "even.wav", "is for recordings of 0.5 s; longer ones have a higher one"
    for seconds, told, code in ((0.5, False, 3), (5, True, 0)):
        soundfile.write(path, np.full(round(seconds * 16_000), 0.95), 16_000)
        assert (said in run(judged, path, code=code).stderr) == told
    known, _ = map(json.loads, run(judged, path, "--json").stdout.splitlines())
    assert 0.91 < 0.95 <= known["limit"]
    assert known["windows_above"] == 0
    *_, entry = read_log(tmp_path / "scores")
    assert (entry.limit, entry.anomaly) == (known["limit"], False)
    limits = run(judged, command="threshold").stdout
    assert "the limit of recordings by their length: " in limits


def test_a_model_without_scores_tells_that_longer_recordings_have_more_chances(run, model, tmp_path):
    soundfile.write(tmp_path / "quiet.wav", np.full(50 * 16_000, 0.01), 16_000)
    told = run(model, tmp_path / "quiet.wav").stderr
    assert "is for recordings of 10 s: a healthy one of 50 s has 5.0 times as many chances" in told
    assert "which makes 41% where 10.00% are wanted; export the model again" in told


def test_a_window_that_the_threshold_was_not_measured_on_is_told(run, model, tools, record):
    tools["write"](model, tools["info"](window=16_000))
    clip = record("a.wav", 0.05)
    told = "--window 0.5: the threshold was measured on windows of 1 s, and promises nothing about others"
    assert told in run(model, clip, "--window", 0.5).stderr
    assert "--window" not in run(model, clip, "--window", 1).stderr + run(model, clip).stderr


def test_a_channel_is_the_models_unless_another_is_asked_for(run, model, tools, tmp_path):
    path, square = tmp_path / "both.wav", np.where(np.arange(8_000) % 2, 1.0, -1.0)
    soundfile.write(path, np.outer(square, [0.05, 0.08]), 16_000)

    def said(*words):
        return round(float(run(model, path, *words).stdout.split()[0]), 3)

    assert [said(), said("--channel", "2"), said("--channel", "mix")] == [0.065, 0.08, 0.065]
    tools["write"](model, tools["info"](channel=1))
    assert [said(), said("--channel", "2"), said("--channel", "mix")] == [0.05, 0.08, 0.065]
    assert "has 2 channels, no channel 3" in run(model, path, "--channel", 3, code=1).stderr
    error = run(model, path, "--channel", "0", code=1).exception
    assert str(error) == "--channel 0: it should be mix, or a channel's number, counted from 1"


def test_another_false_alarm_rate_needs_no_other_export(run, judged, record, tmp_path):
    clip = record("a.wav", 0.93)
    run(judged, clip, code=3)
    result = run(judged, clip, "--false-alarms", 0.05)
    assert (
        "0 of 1 recording above the limit 0.96 (5.00% false alarms wanted, by 100 healthy clips)"
        in result.stderr
    )
    assert "above the limit 0.96 (5.00%" in run(judged, clip, "--false-alarms", "5%").stderr
    assert terms_in(result.output) == set()
    error = run(judged, clip, "--false-alarms", "5 per cent", code=1).exception
    assert "--false-alarms 5 per cent: it should lie between 0 and 1" in str(error)
    for refused in ("5", "0", "100%", "nan"):
        assert isinstance(run(judged, clip, "--false-alarms", refused, code=1).exception, UsageError)


def test_scores_are_shown_as_multiples_of_the_limit(run, judged, record, monkeypatch):
    """Held-out scores are 0.01 to 1: a usual one is 0.505, and the limit for one in ten 0.91."""
    clip = record("a.wav", 0.3)
    result = run(judged, clip, "--false-alarms", 0.1)
    assert result.stdout == f"-0.51 × limit normal {clip}\n"
    told = json.loads(run(judged, clip, "--false-alarms", 0.1, "--json").stdout.splitlines()[0])
    assert told["times_limit"] == pytest.approx((told["score"] - 0.505) / (0.91 - 0.505))
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    assert "-0.51 × limit" in run(judged, clip, "--false-alarms", 0.1).stdout


def test_a_threshold_is_shown_with_what_it_promises_and_gives(run, judged, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    output = run(judged, "--false-alarms", "5%", command="threshold").stdout
    assert "fan: the threshold for 5.00% false alarms is 0.96" in output
    rows = {" ".join(line.split()[:2]): line.split() for line in output.splitlines()}
    assert rows["any 100"][1:] == ["100", "100", "1.0", "0.96", "4.0"]
    assert rows["dev target"][2:] == ["5.0", "50.0", "100.0"]
    assert "100 clips can promise 5.00%, and no less than 0.99%" in output
    few = run(judged, "--false-alarms", "0.5%", command="threshold").stdout
    assert "0.50% needs 199 clips of 0.5 s; here are 100: 1.0% is the least that can be promised" in few
    assert terms_in(output + few) == set()


def test_new_healthy_recordings_choose_a_threshold_and_can_be_left_again(run, judged, record, tmp_path):
    before = read_info(judged)
    for i in range(30):
        record(f"{i}.wav", 0.2 + 0.01 * i)
    (tmp_path / "recordings" / "torn.wav").write_bytes(b"sound")
    words = (judged, "--healthy", tmp_path / "recordings", "--false-alarms", "10%")
    result = run(*words, command="threshold", code=1)
    assert "torn.wav: " in result.stderr
    info = read_info(judged)
    assert info.threshold.value == pytest.approx(0.2 + 0.01 * 27, abs=1e-3)  # two of thirty lie above
    assert (info.threshold.clips, len(info.healthy.groups)) == (30, 30)
    assert info.recalibrations[-1].before == before.threshold
    assert info.evidence == before.evidence
    assert f"before it was {before.threshold.value:.6g}" in result.stdout
    run(judged, record("loud.wav", 0.95), code=3)
    assert "30 clips can promise 10.00%" in run(judged, command="threshold").stdout
    run(judged, "--undo", command="threshold")
    assert read_info(judged) == before
    error = run(judged, "--undo", command="threshold", code=1).exception
    assert str(error) == "the model of fan has the threshold that it was exported with"


def test_a_threshold_by_long_recordings_keeps_its_promise_for_long_recordings(run, judged, tmp_path):
    """Each has 15 windows: by windows, one in ten of which may be above, four in five would be alarms."""
    rng = np.random.default_rng(0)

    def record(name, seconds, count):
        (tmp_path / name).mkdir()
        for i in range(count):
            loudness = np.repeat(rng.uniform(0.1, 0.9, size=round(16 * seconds)), 1_000)
            soundfile.write(tmp_path / name / f"{i}.wav", loudness * (-1) ** np.arange(len(loudness)), 16_000)

    write_info(judged, read_info(judged).model_copy(update={"window": 4_000}))
    record("healthy", 2, 60)
    record("new", 2, 60)
    record("longer", 5, 1)
    run(judged, "--healthy", tmp_path / "healthy", "--false-alarms", "10%", command="threshold")
    info = read_info(judged)
    assert (info.threshold.clips, info.promised_seconds) == (60, 2.0)
    assert {len(group.scores) for group in info.healthy.groups} == {15}
    *_, summary = run(judged, tmp_path / "new", "--json", code=3).stdout.splitlines()
    assert 1 <= json.loads(summary)["anomalies"] <= 12
    *_, told, _ = run(judged, tmp_path / "longer", "--json").stdout.splitlines()
    limit = json.loads(told)["limit"]
    assert limit > info.threshold.value
    said = (
        f"the threshold is for recordings of 2 s; longer ones have a higher one, {limit:.6g} at 5 s, so that"
    )
    assert said in run(judged, tmp_path / "longer", code=0).stderr
    run(judged, "--undo", command="threshold")
    assert read_info(judged).promised_seconds == 0.5


def test_a_folder_without_healthy_recordings_changes_nothing(run, judged, tmp_path):
    before = read_info(judged)
    (tmp_path / "torn.wav").write_bytes(b"sound")
    error = run(judged, "--healthy", tmp_path / "torn.wav", command="threshold", code=1).exception
    assert "torn.wav: no recording that can be scored: " in str(error)
    assert read_info(judged) == before


def test_many_recordings_that_have_moved_are_told(run, judged, record):
    """The healthy ones scored 0.01 to 1."""
    for i in range(50):
        record(f"{i}.wav", 0.6 + 0.001 * i)
    result = run(judged, record("0.wav", 0.6).parent, "--false-alarms", "5%")
    assert "50 of the last 50 recordings score above the median of the healthy ones" in result.stderr


@pytest.mark.integration
def test_a_watch_scores_what_arrives_until_it_is_ended(model, record, tmp_path):
    (tmp_path / "in").mkdir()
    words = [model, "--watch", tmp_path / "in", "--json", "--out", tmp_path / "scores"]
    program = [sys.executable, "-u", "-m", "humtune.cli.main", "score", *map(str, words)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
        try:
            for name, loudness in (("a.wav", 0.05), ("b.wav", 0.3)):
                record(name, loudness).rename(tmp_path / "in" / name)
                told = json.loads(watch.stdout.readline())
                assert (told["file"], told["anomaly"]) == (str(tmp_path / "in" / name), loudness > 0.1)
                assert name in log_path(tmp_path / "scores").read_text()
            page = tmp_path / "scores" / "index.html"
            wait_for(lambda: page.exists() and "b.wav" in page.read_text(), "a page while watching")
            watch.send_signal(signal.SIGTERM)
            summary = json.loads(watch.stdout.readline())
            assert (summary["scored"], summary["anomalies"]) == (2, 1)
            assert watch.wait(PATIENCE) == 3
            line, *beats = watch.stderr.read().splitlines()
            assert all(" above the limit, " in beat for beat in beats)  # of a test that takes minutes
            assert re.fullmatch(
                rf"watching {tmp_path}/in for fan since [\d-]+ [\d:]+; the limit is 0.1 \(10.00% .* wanted\)",
                line,
            )
        finally:
            watch.kill()
    record("c.wav", 0.05).rename(tmp_path / "in" / "c.wav")
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as again:
        try:
            assert json.loads(again.stdout.readline())["file"] == str(tmp_path / "in" / "c.wav")
            again.send_signal(signal.SIGTERM)
            assert json.loads(again.stdout.readline())["scored"] == 1
            assert again.wait(PATIENCE) == 0
            assert "; not scored again: 2 recordings that the log has\n" in again.stderr.read()
        finally:
            again.kill()


def test_a_watch_tells_what_is_watched_and_without_a_terminal_that_it_goes_on(tmp_path, capsys):
    tally, words = Tally(), {"as_json": False, "live": True}
    tally.add(Failed(tmp_path / "torn.wav", "no sound"))
    tally.add(Scored(tmp_path / "a.wav", 0.5, Scale(0.1), seconds=1.0))
    told, teller = "", Teller(make_info(), **words)
    with watched.told(teller, tally, tmp_path, known=7, period=0.01):
        while told.count("\n") < 3:
            told += capsys.readouterr().err
    first, second = told.splitlines()[:2]
    assert first.startswith(f"watching {tmp_path} for fan since ")
    assert first.endswith("; not scored again: 7 recordings that the log has")
    assert "1 scored, 1 above the limit, 1 not scored; the last one at " in second
    assert second.endswith(f"{tmp_path}/a.wav")
    teller.end(tally, [])
    assert "1 of 1 recording above the limit" in (end := capsys.readouterr().err)
    assert "a second" not in end  # most of which it waited


def test_a_watch_on_a_terminal_tells_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    with watched.told(
        Teller(make_info(), as_json=False, live=True), Tally(), tmp_path, known=0, period=0.001
    ):
        time.sleep(0.05)
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.integration
def test_a_review_tells_its_address_and_saves_labels_until_it_is_ended(run, model, record, tmp_path):
    run(model, record("a.wav", 0.3), code=3)
    program = [
        sys.executable,
        "-u",
        "-m",
        "humtune.cli.main",
        "review",
        str(tmp_path / "scores"),
        "--no-browser",
    ]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as review:
        try:
            address = review.stdout.readline().split()[0]
            page = urlopen(address, timeout=PATIENCE).read().decode()
            said = {"recording": re.search('data-id="([^"]+)"', page)[1], "label": "bad"}
            urlopen(f"{address}labels", json.dumps(said).encode(), timeout=PATIENCE)
            assert 'a.wav","bad",' in (tmp_path / "scores" / "labels.csv").read_text()
            review.send_signal(signal.SIGINT)
            assert (review.wait(PATIENCE), review.stderr.read()) == (0, "\n")
        finally:
            review.kill()


@pytest.mark.integration
def test_an_interrupted_run_keeps_and_tells_what_it_had(model, record, tmp_path):
    """It waits for a list that another program still writes."""
    words = ["score", model, "-", "--json", "--out", tmp_path / "scores"]
    program = [sys.executable, "-u", "-m", "humtune.cli.main", *map(str, words)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    with subprocess.Popen(program, text=True, preexec_fn=heard, **pipes) as run:
        try:
            run.stdin.write(f"{record('a.wav', 0.3)}\n")
            run.stdin.flush()
            assert json.loads(run.stdout.readline())["anomaly"] is True
            run.send_signal(signal.SIGINT)
            assert json.loads(run.stdout.readline())["scored"] == 1
            assert run.wait(PATIENCE) == 130
            assert (tmp_path / "scores" / "decision_result_fan.csv").read_text() == "a.wav,1\n"
            assert run.stderr.read() == ""
        finally:
            run.kill()


@pytest.mark.integration
def test_scoring_imports_nothing_heavy(model, record, tmp_path):
    clip = record("a.wav", 0.05)
    program = (
        "import sys\n"
        "from humtune.cli.main import app\n"
        "try: app()\n"
        f"finally: print(len(sys.modules), *[n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr)"
    )
    words = ["score", model, clip, "--json", "--out", tmp_path / "scores"]
    found = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout.splitlines()[0])["anomaly"] is False
    (count,) = map(int, found.stderr.split())  # and no heavy one
    assert count < MODULES, "a first score takes less than a second of work, and most of it is imports"
