"""Folders of results: a log that only grows, and tables made of it."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from models import make_info

from humtune.dcase.files import read_file, read_folder
from humtune.errors import UsageError
from humtune.runtime.info import Evidence
from humtune.runtime.limits import Limits
from humtune.runtime.log import FIRST, log_path, read_log
from humtune.runtime.outcomes import Failed, Look, Scored
from humtune.runtime.results import DETAILS, ResultFiles, detail_name
from humtune.runtime.scale import Scale
from humtune.runtime.timeline import Timeline

KILLED = """
import os, signal, sys
from pathlib import Path
from models import make_info
from humtune.runtime.outcomes import Scored
from humtune.runtime.results import ResultFiles
from humtune.runtime.scale import Scale

with ResultFiles(Path(sys.argv[1]), make_info()) as results:
    results.write(Scored(Path("new.wav"), 0.5, Scale(0.1), seconds=1.0))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def scored(path, score: float, scale: Scale = Scale(1.0), **more) -> Scored:  # noqa: B008 - never changed
    return Scored(Path(path), score, scale, seconds=1.0, **more)


def write(folder: Path, clips: list[Scored], machine: str = "fan") -> list[Path]:
    with ResultFiles(folder, make_info(machine=machine)) as results:
        for clip in clips:
            results.write(clip)
        return results.write_tables()


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "scores").write_text("a file")
    with pytest.raises(UsageError, match=r"scores: can't be made a folder \(File exists\)"):
        write(tmp_path / "scores", [])
    log_path(tmp_path).mkdir()
    with pytest.raises(UsageError, match=r"log-[\d-]+.jsonl: can't be written \(Is a directory\)"):
        write(tmp_path, [scored("a.wav", 0.5)])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_full_disk_is_told(tmp_path):
    log_path(tmp_path).symlink_to("/dev/full")
    with pytest.raises(
        UsageError, match=r"log-[\d-]+.jsonl: can't be written to \(No space left on device\)"
    ):
        write(tmp_path, [scored("a.wav", 0.5)])


def test_a_line_left_half_written_takes_no_other_with_it(tmp_path):
    """As on a disk that is full for a while."""
    with ResultFiles(tmp_path, make_info()) as results:
        results.write(scored("a.wav", 0.5))
        stream = results._log._stream
        results._log._stream = SimpleNamespace(write=lambda data: stream.write(data[:20]))
        with pytest.raises(UsageError, match="no space left on device"):
            results.write(scored("b.wav", 0.5))
        results._log._stream = stream
        results.write(scored("c.wav", 0.75))
        results.write(scored("d.wav", 0.25))
    assert [entry.score for entry in read_log(tmp_path)] == [0.5, 0.75, 0.25]


def test_dcase_names_give_files_that_the_evaluator_reads(tmp_path):
    clips = [
        scored("x/section_00_source_test_normal_0000_a_1.wav", 0.1 + 0.2),
        scored("x/section_00_target_test_anomaly_0001_a_1.wav", 1.5),
        scored("y/section_03_0000.wav", 2e-17),
    ]
    files = write(tmp_path, clips, "ToyCar")
    kinds = ("anomaly_score", "decision_result")
    assert [f.name for f in files] == [
        f"{k}_ToyCar_section_{s}_test.csv" for s in ("00", "03") for k in kinds
    ]
    assert read_folder(tmp_path) == {"ToyCar": {c.path.name: c.score for c in clips}}
    decisions = read_folder(tmp_path, "decision_result")["ToyCar"]
    assert decisions == {c.path.name: float(c.is_anomaly) for c in clips}


def test_machines_may_share_a_folder(tmp_path):
    clip = scored("x/section_00_source_test_normal_0000_a_1.wav", 0.5)
    write(tmp_path, [clip], "fan")
    write(tmp_path, [clip], "valve")
    assert read_folder(tmp_path) == {"fan": {clip.path.name: 0.5}, "valve": {clip.path.name: 0.5}}


def test_other_names_and_training_clips_share_a_file_without_a_section(tmp_path):
    clips = [scored("pump at noon.wav", 0.5), scored("section_00_source_train_normal_0000_a_1.wav", 0.25)]
    scores, decisions = write(tmp_path, clips)
    assert (scores.name, decisions.name) == ("anomaly_score_fan.csv", "decision_result_fan.csv")
    assert read_file(scores) == {c.path.name: c.score for c in clips}
    assert read_file(decisions, binary=True) == {c.path.name: 0 for c in clips}


def test_a_name_that_is_taken_stands_by_its_path_in_whatever_run(tmp_path):
    monday, tuesday, friday = (tmp_path / day for day in ("monday", "tuesday", "friday"))
    write(tmp_path, [scored(monday / "a,b.wav", 0.5), scored(tuesday / "a,b.wav", 2)])
    clips = [scored(tuesday / "c.wav", 3), scored(friday / "c.wav", 4), scored(monday / "d.wav", 5)]
    scores, _ = write(tmp_path, clips)
    names = ["a,b.wav", str(tuesday / "a,b.wav"), "c.wav", str(friday / "c.wav"), "d.wav"]
    assert read_file(scores) == dict(zip(names, [0.5, 2, 3, 4, 5], strict=True))


def test_names_that_differ_by_test_alone_are_two_and_two_spellings_of_a_clip_are_told_apart(tmp_path):
    clips = [scored("x/pump_test_01.wav", 0.5), scored("x/pump_01.wav", 2)]
    both = [scored("x/section_03_test_0000.wav", 0.25), scored("x/section_03_0000.wav", 4)]
    for _ in range(2):  # a table that is read again
        files = write(tmp_path, clips + both)
    assert read_file(files[0]) == {"pump_test_01.wav": 0.5, "pump_01.wav": 2}
    path = str(Path("x/section_03_0000.wav").absolute())
    assert read_file(files[2]) == {"section_03_test_0000.wav": 0.25, path: 4}


def test_a_carriage_return_in_a_name_tears_no_table(tmp_path):
    for _ in range(2):  # a table that is read again
        scores, decisions = write(tmp_path, [scored("a\rb.wav", 0.5), scored("c.wav", 2)])
    assert read_file(scores) == {"a\rb.wav": 0.5, "c.wav": 2}
    assert read_file(decisions, binary=True) == {"a\rb.wav": 0, "c.wav": 1}


def test_what_is_scored_is_in_the_log_at_once_and_any_name_can_be(tmp_path):
    odd = 'odd\udcff,\n"name".wav'
    with ResultFiles(tmp_path, make_info()) as results:
        results.write(scored(odd, 0.5))
        (entry,) = read_log(tmp_path)
        assert (os.path.basename(entry.file), entry.score, entry.limit) == (odd, 0.5, 1.0)  # noqa: PTH119
        scores, _ = results.write_tables()
        assert read_file(scores) == {odd: 0.5}


def test_a_recording_scored_again_has_its_last_result_and_no_other_is_lost(tmp_path):
    write(tmp_path, [scored("a.wav", 0.5), scored("b.wav", 0.5)])
    scores, _ = write(tmp_path, [scored("a.wav", 0.75)])
    assert read_file(scores) == {"a.wav": 0.75, "b.wav": 0.5}
    assert [entry.score for entry in read_log(tmp_path)] == [0.5, 0.5, 0.75]


def test_tables_of_before_there_was_a_log_keep_their_lines(tmp_path):
    (tmp_path / "anomaly_score_fan.csv").write_text("old.wav,0.25\na.wav,1\n")
    scores, _ = write(tmp_path, [scored("a.wav", 0.75)])
    assert read_file(scores) == {"old.wav": 0.25, "a.wav": 0.75}


def test_nothing_scored_writes_no_table(tmp_path):
    assert write(tmp_path, []) == []


@pytest.mark.integration
def test_a_kill_loses_neither_what_was_there_nor_what_was_scored(tmp_path):
    write(tmp_path, [scored("old.wav", 0.5)])
    before = (tmp_path / "anomaly_score_fan.csv").read_bytes()
    support = Path(__file__).parents[1] / "support"
    path = os.pathsep.join([str(support), os.environ.get("PYTHONPATH", "")])
    program = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run(program, env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (tmp_path / "anomaly_score_fan.csv").read_bytes() == before
    with log_path(tmp_path).open("ab") as torn:
        torn.write(b'{"time": 17')
    scores, _ = write(tmp_path, [scored("next.wav", 0.25)])
    assert read_file(scores) == {"old.wav": 0.5, "new.wav": 0.5, "next.wav": 0.25}


def test_a_later_log_and_lines_of_no_kind_are_read(tmp_path):
    write(tmp_path, [scored("a.wav", 0.5, notes=("clipped",))])
    (line,) = log_path(tmp_path).read_text().splitlines()
    later = json.dumps(json.loads(line) | {"loudness": 3})
    log_path(tmp_path).write_text(f"{later}\n[]\n3\nnot json\n\n{line}\n")
    first, second = read_log(tmp_path)
    assert first == second
    assert first.notes == ("clipped",)
    assert list(read_log(tmp_path / "nowhere")) == []


def test_the_log_has_a_file_a_day_and_the_order_of_scoring_whatever_the_clock(tmp_path, monkeypatch):
    def on(day):
        monkeypatch.setattr("humtune.runtime.log._today", lambda folder: folder / f"log-{day}.jsonl")

    on("2026-11-30")
    with ResultFiles(tmp_path, make_info()) as results:
        for number, day in enumerate(("2026-11-30", "2026-12-01", "2026-11-29", "2026-12-02")):
            on(day)
            results.write(scored(f"{number}.wav", float(number)))
    on("2026-11-28")
    write(tmp_path, [scored("4.wav", 4.0)])
    logs = sorted(path.name for path in tmp_path.glob("log-*"))
    assert logs == [f"log-{day}.jsonl" for day in ("2026-11-30", "2026-12-01", "2026-12-02")]
    assert [entry.score for entry in read_log(tmp_path)] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_log_of_before_there_was_one_a_day_is_read_and_kept(tmp_path):
    write(tmp_path, [scored("a.wav", 0.5)])
    log_path(tmp_path).rename(tmp_path / FIRST)
    scores, _ = write(tmp_path, [scored("b.wav", 0.75)])
    assert read_file(scores) == {"a.wav": 0.5, "b.wav": 0.75}
    assert (tmp_path / FIRST).read_text().count("\n") == 1


def test_what_was_seen_is_known_by_how_it_looked_before_it_was_read(tmp_path):
    looked = Look(16_044, 1.5e9 + 0.123456789)
    info = make_info()
    with ResultFiles(tmp_path, info) as results:
        results.write(scored(tmp_path / "a.wav", 0.5, look=looked))
        results.write(scored("gone.wav", 0.5))
        results.write(Failed(tmp_path / "b.wav", "no sound", looked))
        results.write(Failed(tmp_path / "c.wav", "can't be opened (Permission denied)"))
        assert list(results.seen()) == [
            (str(tmp_path / "a.wav"), *looked),
            (str(tmp_path / "b.wav"), *looked),
        ]
        assert [entry.recorded for entry in read_log(tmp_path)] == [looked.changed, None]
    with ResultFiles(tmp_path, make_info(trial="another")) as results:
        assert list(results.seen()) == []


def test_a_long_recording_has_a_table_and_its_strangest_window_in_the_log(tmp_path):
    starts, scores = np.arange(5) * 5.0, np.array([0.5, 2.0, 3.0, 0.25, 0.5])
    timeline = Timeline(starts, scores, 10.0, scores > 1)
    with ResultFiles(tmp_path, make_info()) as results:
        (table,) = results.write(scored("x/long $1$.flac", 3.0, timeline=timeline))
    (entry,) = read_log(tmp_path)
    assert (entry.start, entry.window, entry.windows) == (10.0, 10.0, 5)
    assert table == tmp_path / DETAILS / f"{detail_name(entry.file)}.windows.csv"
    assert table.name.startswith("long__1_.flac-")
    assert table.read_text().splitlines() == [
        "start_seconds,end_seconds,score,anomaly",
        "0.0,10.0,0.5,0",
        "5.0,15.0,2.0,1",
        "10.0,20.0,3.0,1",
        "15.0,25.0,0.25,0",
        "20.0,30.0,0.5,0",
    ]


def test_names_of_details_differ_by_path_and_are_short():
    one, other = detail_name("/x/a.wav"), detail_name("/y/a.wav")
    assert one != other
    assert len(os.fsencode(detail_name("/x/" + "é" * 125 + ".wav"))) < 220


def test_a_usual_clip_is_zero_and_the_limit_one_also_where_scores_are_negative(tmp_path):
    assert Scale(usual=-6.0, limit=-4.0).times(-2.0) == 2.0
    assert [Scale(usual=1.0, limit=3.0).times(s) for s in (1.0, 3.0, 0.0)] == [0.0, 1.0, -0.5]
    for usual in (None, 3.0, math.nan):
        assert Scale(usual=usual, limit=3.0).times(5.0) is None
    evidence = Evidence(held_out=(0.01, 0.02, 0.05), clip_samples=8_000)
    info = make_info(evidence=evidence)
    scale = Limits(info).scale(8_000)
    assert scale == Scale(limit=0.1, usual=0.02)
    with ResultFiles(tmp_path, info) as results:
        results.write(scored("a.wav", 0.18, scale))
    (entry,) = read_log(tmp_path)
    assert entry.times_limit == scale.times(0.18) == pytest.approx(2.0)


def test_scores_read_alike_wherever_they_are_shown():
    scale = Scale(usual=1.0, limit=3.0)
    assert [scale.shown(s) for s in (3.0, 0.999, 20.98, 20.992, -99.0)] == [
        "1.00 × limit",
        "0.00 × limit",
        "9.99 × limit",
        "10 × limit",
        "-50 × limit",
    ]
    assert [Scale(limit=3.0).shown(s) for s in (0.12345678, -0.5)] == ["0.123457", "-0.5"]
