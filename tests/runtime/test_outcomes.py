"""What comes of recordings, counted and as files."""

from pathlib import Path

import numpy as np
import pytest

from humtune.dcase.files import read_file, read_folder
from humtune.errors import UsageError
from humtune.runtime.outcomes import STRANGEST, Failed, ResultFiles, Scored, Tally
from humtune.runtime.timeline import Timeline

BAD = Failed(Path("bad.wav"), "no sound")


def of_score(score: float, *notes: str) -> Scored:
    return Scored(Path(f"{score}.wav"), score, score > 1, seconds=2.0, notes=notes)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        ([of_score(0.5)], 0),
        ([of_score(0.5), BAD], 1),
        ([of_score(0.5), of_score(2)], 3),
        ([BAD, of_score(2), BAD], 3),
    ],
)
def test_the_exit_code_says_the_worst_an_anomaly_before_what_could_not_be_heard(outcomes, code):
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    assert tally.exit_code == code


def test_only_the_strangest_are_remembered_in_the_order_they_came_where_equal():
    tally = Tally()
    for i in range(1_000):
        tally.add(of_score(float(i % 500)))
    wanted = [499 - i // 2 for i in range(STRANGEST)]
    assert [clip.score for clip in tally.strangest] == wanted
    assert (tally.scored, tally.anomalies, tally.failed, tally.sound) == (1_000, 996, 0, 2_000)


def test_speed_is_that_of_the_clock():
    tally = Tally()
    assert tally.real_time_factor is None
    for _ in range(4):
        tally.add(of_score(0.5, "clipped"))
    tally.end()
    seconds = tally.seconds
    assert seconds == tally.seconds > 0
    assert tally.clips_per_second == 4 / seconds
    assert tally.real_time_factor == seconds / 8
    assert tally.notes == {"clipped": 4}


def scored(path, score: float, **more) -> Scored:
    return Scored(Path(path), score, score > 1, seconds=1.0, **more)


def write(folder: Path, clips: list[Scored], machine: str = "fan") -> list[Path]:
    with ResultFiles(folder, machine, 1.0) as results:
        for clip in clips:
            results.write(clip)
        return results.files


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "scores").write_text("a file")
    with pytest.raises(UsageError, match=r"scores: can't be made a folder \(File exists\)"):
        write(tmp_path / "scores", [])
    (tmp_path / "anomaly_score_fan.csv").mkdir()
    with pytest.raises(UsageError, match=r"anomaly_score_fan.csv: can't be written \(Is a directory\)"):
        write(tmp_path, [scored("a.wav", 0.5)])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_full_disk_is_told(tmp_path):
    (tmp_path / "anomaly_score_fan.csv").symlink_to("/dev/full")
    with pytest.raises(UsageError, match=r"can't be written to \(No space left on device\)"):
        write(tmp_path, [scored("a.wav", 0.5)])


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
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_other_names_and_training_clips_share_a_file_without_a_section(tmp_path):
    clips = [scored("pump at noon.wav", 0.5), scored("section_00_source_train_normal_0000_a_1.wav", 0.25)]
    scores, decisions = write(tmp_path, clips)
    assert (scores.name, decisions.name) == ("anomaly_score_fan.csv", "decision_result_fan.csv")
    assert read_file(scores) == {c.path.name: c.score for c in clips}
    assert read_file(decisions, binary=True) == {c.path.name: 0 for c in clips}


def test_a_name_that_is_taken_stands_by_its_path(tmp_path):
    monday, tuesday, friday = (tmp_path / day for day in ("monday", "tuesday", "friday"))
    monday.mkdir()
    (monday / "a,b.wav").touch()
    clips = [
        scored(monday / "a,b.wav", 0.5),
        scored(tuesday / "a,b.wav", 2),
        scored(tuesday / "c.wav", 3),
        scored(friday / "c.wav", 4),
        scored(monday / "d.wav", 5),
    ]
    scores, _ = write(tmp_path, clips)
    names = ["a,b.wav", str(tuesday / "a,b.wav"), "c.wav", str(friday / "c.wav"), "d.wav"]
    assert read_file(scores) == dict(zip(names, [0.5, 2, 3, 4, 5], strict=True))


def test_what_is_scored_is_in_the_files_at_once_and_any_name_can_be(tmp_path):
    odd = 'odd\udcff,\n"name".wav'
    with ResultFiles(tmp_path, "fan", 1.0) as results:
        results.write(scored(odd, 0.5))
        content = (tmp_path / "anomaly_score_fan.csv").read_text(errors="surrogateescape")
        assert content == '"odd\udcff,\n""name"".wav",0.5\n'


def test_files_are_replaced_and_nothing_scored_writes_none(tmp_path):
    write(tmp_path, [scored("a.wav", 0.5), scored("b.wav", 0.5)])
    scores, _ = write(tmp_path, [scored("a.wav", 0.75)])
    assert read_file(scores) == {"a.wav": 0.75}
    assert write(tmp_path / "none", []) == []
    assert list((tmp_path / "none").iterdir()) == []


def test_a_long_recording_has_a_table_and_a_picture(tmp_path):
    starts, scores = np.arange(5) * 5.0, np.array([0.5, 2.0, 3.0, 0.25, 0.5])
    timeline = Timeline(starts, scores, 10.0, scores > 1)
    with ResultFiles(tmp_path, "fan", 1.0) as results:
        table, plot = results.write(scored("x/long $1$.flac", 3.0, timeline=timeline))
    assert (table.name, plot.name) == ("long $1$.flac.windows.csv", "long $1$.flac.windows.png")
    assert table.read_text().splitlines() == [
        "start_seconds,end_seconds,score,anomaly",
        "0.0,10.0,0.5,0",
        "5.0,15.0,2.0,1",
        "10.0,20.0,3.0,1",
        "15.0,25.0,0.25,0",
        "20.0,30.0,0.5,0",
    ]
    assert plot.read_bytes().startswith(b"\x89PNG")
