from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from humtune.cli.data import app
from humtune.sounds.check import Cell, check_dataset
from humtune.sounds.dcase import find_dataset


@pytest.fixture
def spoilt(dcase2022: Path) -> Path:
    """The data set with a bad file of every kind."""
    train = dcase2022 / "dev_data" / "fan" / "train"
    first = next(train.glob("*source*0000*.wav"))
    (train / "hello.wav").write_bytes(first.read_bytes())
    (train / "section_00_source_train_normal_0000_m-n_Z.wav").write_bytes(first.read_bytes())
    (train / "section_00_source_train_normal_0010.wav").touch()
    (train / "section_00_source_train_normal_0011.wav").write_bytes(first.read_bytes()[:500])
    soundfile.write(train / "section_00_source_train_normal_0012.wav", np.full(9, np.inf), 16_000, "FLOAT")
    (train / "section_00_source_train_normal_0013.mp3").write_text("mp3")
    (train / ".DS_Store").write_text("hidden")
    soundfile.write(train / "section_00_source_train_normal_0014.flac", np.zeros((44_100, 2)), 44_100)
    return dcase2022


def test_a_sound_data_set_is_counted(dcase2022: Path):
    report = check_dataset(find_dataset(dcase2022))
    assert report.bad == []
    assert report.counts[Cell("fan", "dev", 0, "train", "source", "normal")] == 3
    assert report.counts[Cell("fan", "eval", 3, "test", "target", "anomaly")] == 1
    assert report.formats == {(16_000, 1): 16}
    assert (min(report.seconds), max(report.seconds)) == (0.05, 0.08)


def test_every_bad_file_is_named_with_its_reason(spoilt: Path):
    report = check_dataset(find_dataset(spoilt))
    found = {path.name: reason for path, reason in report.bad}
    expected = {
        "hello.wav": "can't read the file's name",
        "section_00_source_train_normal_0000_m-n_Z.wav": "same section, domain, label and index as",
        "section_00_source_train_normal_0010.wav": "empty",
        "section_00_source_train_normal_0011.wav": "truncated",
        "section_00_source_train_normal_0012.wav": "not finite",
        "section_00_source_train_normal_0013.mp3": "not a .wav or .flac file",
    }
    assert found.keys() == expected.keys()
    assert all(expected[name] in found[name] for name in expected)
    assert report.formats == {(16_000, 1): 16, (44_100, 2): 1}


def test_the_command_says_it_all_and_fails_on_bad_files(spoilt: Path):
    result = CliRunner().invoke(app, ["check", str(spoilt)])
    assert result.exit_code == 1
    assert "6 bad files" in result.stdout
    assert "hello.wav: can't read the file's name" in result.stdout
    assert "1 file of 44100 Hz, 2 channels" in result.stdout


def test_the_command_counts_folders_and_tells_what_is_left_out(spoilt: Path):
    (spoilt / "dev_data" / "fan" / "old").mkdir()
    (spoilt / "dev_data" / "fan" / "old" / "x.wav").touch()
    (spoilt / "dev_data" / "fan" / "train" / "notes.txt").touch()
    (spoilt / "away").mkdir()
    (spoilt / "away" / "x.flac").touch()
    result = CliRunner().invoke(app, ["check", str(spoilt)])
    assert result.exit_code == 1
    assert "6 bad files, 1 bad folder\n" in result.stdout
    assert "2 notes\n" in result.stdout
    assert (
        f"  {spoilt / 'away'}: 1 recording left out; this data set is dev_data and eval_data" in result.stdout
    )


def test_the_command_checks_several_data_sets_and_says_that_a_search_takes_one(dcase2022: Path, wav):
    wav(dcase2022 / "old" / "pump" / "train" / "normal_id_00_00000000.wav")
    result = CliRunner().invoke(app, ["check", str(dcase2022)])
    assert result.exit_code == 0
    assert f"{dcase2022}: 2 data sets; a search takes one, --data {dcase2022}" in result.stdout


def test_the_command_speaks_json(dcase2022: Path):
    import json

    result = CliRunner().invoke(app, ["check", str(dcase2022), "--json"])
    assert result.exit_code == 0
    (report,) = json.loads(result.stdout)
    assert report["clips"] == sum(cell["clips"] for cell in report["counts"]) == 16
    assert report["shortest_seconds"] == 0.05
    assert report["bad"] == report["notes"] == []
