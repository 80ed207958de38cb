import shutil
import subprocess
import sys

import numpy as np
import pytest
from waiting import PATIENCE

from humtune.dcase.files import domain_in_name, read_file, read_folder, write_file
from humtune.errors import UsageError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,score\na.wav,1\n", r"line 1: expected clip,score with a finite score, got 'name,score'"),
        ("a.wav,1\nb.wav,nan\n", r"line 2: expected clip,score with a finite score, got 'b.wav,nan'"),
        ("a.wav,1\n\nb.wav,inf\n", r"line 3: expected clip,score"),
        ("a.wav,1,2\n", r"line 1: expected clip,score .* got 'a.wav,1,2'"),
        ("a.wav\n", r"line 1: expected clip,score"),
        ("a.wav,1\na.wav,2\n", r"line 2: a.wav a second time, after line 1; keep one of them"),
        ("section_03_0000.wav,1\nsection_03_test_0000.wav,2\n", r"line 2: section_03_test_0000.wav a second"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, message):
    path = tmp_path / "anomaly_score_fan_section_00.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"{path}, {message}"):
        read_file(path)


def test_decisions_are_0_or_1(tmp_path):
    (tmp_path / "decision_result_fan_section_00_test.csv").write_text("a.wav,1\nb.wav,0.5\n")
    with pytest.raises(UsageError, match=r"line 2: expected clip,0 or clip,1, got 'b.wav,0.5'"):
        read_folder(tmp_path, "decision_result")


def test_a_folder_without_score_files_is_named(tmp_path):
    with pytest.raises(UsageError, match=rf"{tmp_path}: no files named anomaly_score_<machine>_section"):
        read_folder(tmp_path)
    with pytest.raises(UsageError, match=r"nowhere: no files .*; there is no such folder"):
        read_folder(tmp_path / "nowhere")
    write_file(tmp_path / "team", "anomaly_score", machine="fan", section=0, names=["a.wav"], values=[1])
    with pytest.raises(UsageError, match=rf"did you mean {tmp_path}/team\?"):
        read_folder(tmp_path)
    (tmp_path / "anomaly_score_fan.csv").touch()
    with pytest.raises(UsageError, match=r"expected a name like anomaly_score_fan_section_00_test\.csv"):
        read_folder(tmp_path)


def test_the_same_clip_in_two_files_is_refused(tmp_path):
    write_file(tmp_path, "anomaly_score", machine="fan", section=0, names=["a.wav"], values=[1])
    shutil.copy(
        tmp_path / "anomaly_score_fan_section_00_test.csv", tmp_path / "anomaly_score_fan_section_00.csv"
    )
    with pytest.raises(
        UsageError, match=r"_test\.csv: a\.wav stands in anomaly_score_fan_section_00\.csv too"
    ):
        read_folder(tmp_path)


def test_a_table_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "anomaly_score_fan_section_00.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match="line 1: expected clip,score"):
        read_file(path)


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    values = np.array([0.1, 1 / 3, -1e-300])
    path = write_file(tmp_path, "anomaly_score", machine="Toy_Car", section=7, names="abc", values=values)
    assert path.name == "anomaly_score_Toy_Car_section_07_test.csv"
    assert read_folder(tmp_path) == {"Toy_Car": dict(zip("abc", values, strict=True))}
    assert path.read_bytes() == b"a,0.1\nb,0.3333333333333333\nc,-1e-300\n"
    write_file(tmp_path, "decision_result", machine="fan", section=0, names="ab", values=[True, False])
    assert (tmp_path / "decision_result_fan_section_00_test.csv").read_bytes() == b"a,1\nb,0\n"
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".csv"]  # no drafts


def test_both_spellings_and_2020s_are_read(tmp_path):
    for name in ("fan_section_00_test", "fan_section_01", "pump_id_02"):
        (tmp_path / f"anomaly_score_{name}.csv").write_text(f"{name}.wav,1\r\n")
    found = read_folder(tmp_path)
    assert found == {
        "fan": {"fan_section_00_test.wav": 1, "fan_section_01.wav": 1},
        "pump": {"pump_id_02.wav": 1},
    }


def test_the_files_of_2021_of_the_baselines_and_in_capitals_are_read(tmp_path):
    names = (
        "anomaly_score_fan_section_03_source_test.csv",
        "anomaly_score_fan_section_03_target_test.csv",
        "anomaly_score_DCASE2023T2ToyTank_section_00_test_seed13711_id(0)_Eval.csv",
        "anomaly_score_Toy_Car_section_00_test.CSV",
    )
    for i, name in enumerate(names):
        (tmp_path / name).write_text(f"section_03_{i:04d}.wav,{i}\n")
    found = read_folder(tmp_path)
    assert {machine: list(values.values()) for machine, values in found.items()} == {
        "ToyTank": [2],
        "Toy_Car": [3],
        "fan": [0, 1],
    }


@pytest.mark.parametrize(
    ("clip", "domain"),
    [
        ("section_03_source_test_0000.wav", "source"),
        ("section_03_target_0000", "target"),
        ("section_03_0000.wav", ""),
        ("section_03_test_0000.wav", ""),
        ("section_00_source_test_normal_0000.wav", ""),
        ("id_01_00000000.wav", ""),
    ],
)
def test_only_clips_of_2021_tell_their_domain_without_their_label(clip, domain):
    assert domain_in_name(clip) == domain


def test_a_file_that_can_not_be_written_is_named_and_leaves_no_draft(tmp_path):
    (tmp_path / "anomaly_score_fan_section_00_test.csv").mkdir()
    with pytest.raises(UsageError, match=r"fan_section_00_test\.csv: can't be written \(Is a directory\)"):
        write_file(tmp_path, "anomaly_score", machine="fan", section=0, names=["a.wav"], values=[1])
    assert not list(tmp_path.glob(".draft-*"))


@pytest.mark.integration
def test_scoring_new_recordings_needs_neither_scipy_nor_pyarrow():
    code = (
        "import sys, humtune.runtime.results, humtune.runtime.scorer\n"
        "print(sorted({'scipy', 'sklearn', 'pyarrow', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "[]\n", done.stdout + done.stderr
