from pathlib import Path

import pytest

from humtune.errors import UsageError
from humtune.evaluation.scorefiles import read_file, read_folder
from humtune.runtime.recordings import Scored
from humtune.runtime.results import write_results


def scored(path: str, score: float) -> Scored:
    return Scored(Path(path), score, score > 1, seconds=1.0, changes=())


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "scores").write_text("a file")
    with pytest.raises(UsageError, match=r"scores: can't be made a folder \(File exists\)"):
        write_results(tmp_path / "scores", "fan", [scored("a.wav", 0.5)])
    (tmp_path / "anomaly_score_fan.csv").mkdir()
    with pytest.raises(UsageError, match=r"anomaly_score_fan.csv: can't be written \(Is a directory\)"):
        write_results(tmp_path, "fan", [scored("a.wav", 0.5)])
    assert not list(tmp_path.glob(".draft-*"))


def test_dcase_names_give_files_that_the_evaluator_reads(tmp_path):
    clips = [
        scored("x/section_00_source_test_normal_0000_a_1.wav", 0.1 + 0.2),
        scored("x/section_00_target_test_anomaly_0001_a_1.wav", 1.5),
        scored("y/section_03_0000.wav", 2e-17),
    ]
    files = write_results(tmp_path, "ToyCar", clips)
    kinds = ("anomaly_score", "decision_result")
    assert [f.name for f in files] == [
        f"{k}_ToyCar_section_{s}_test.csv" for s in ("00", "03") for k in kinds
    ]
    assert read_folder(tmp_path) == {"ToyCar": {c.path.name: c.score for c in clips}}
    decisions = read_folder(tmp_path, "decision_result")["ToyCar"]
    assert decisions == {c.path.name: float(c.is_anomaly) for c in clips}
    assert not [f for f in tmp_path.iterdir() if f.name.startswith(".")]


def test_other_names_and_training_clips_share_a_file_without_a_section(tmp_path):
    clips = [scored("pump at noon.wav", 0.5), scored("section_00_source_train_normal_0000_a_1.wav", 0.25)]
    scores, decisions = write_results(tmp_path, "fan", clips)
    assert (scores.name, decisions.name) == ("anomaly_score_fan.csv", "decision_result_fan.csv")
    assert read_file(scores) == {c.path.name: c.score for c in clips}
    assert read_file(decisions, binary=True) == {c.path.name: 0 for c in clips}


def test_recordings_of_one_name_stand_by_their_paths(tmp_path):
    clips = [scored("monday/a,b.wav", 0.5), scored("tuesday/a,b.wav", 2), scored("tuesday/c.wav", 3)]
    scores, _ = write_results(tmp_path, "fan", clips)
    assert read_file(scores) == {"monday/a,b.wav": 0.5, "tuesday/a,b.wav": 2, "c.wav": 3}


def test_files_are_replaced_and_nothing_scored_writes_nothing(tmp_path):
    write_results(tmp_path, "fan", [scored("a.wav", 0.5), scored("b.wav", 0.5)])
    (scores, _) = write_results(tmp_path, "fan", [scored("a.wav", 0.75)])
    assert read_file(scores) == {"a.wav": 0.75}
    assert write_results(tmp_path / "none", "fan", []) == []
    assert not (tmp_path / "none").exists()
