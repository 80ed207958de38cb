import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from humtune.cli.data import app
from humtune.sounds.check import Cell, check_dataset
from humtune.sounds.dcase import find_dataset


def noise(*shape: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).normal(size=shape)


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
    soundfile.write(train / "section_00_source_train_normal_0014.flac", noise(44_100, 2), 44_100)
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
    result = CliRunner().invoke(app, ["check", str(dcase2022), "--json"])
    assert result.exit_code == 0
    (report,) = json.loads(result.stdout)
    assert report["clips"] == sum(cell["clips"] for cell in report["counts"]) == 16
    assert report["shortest_seconds"] == 0.05
    assert report["bad"] == report["notes"] == report["odd"] == []


def test_what_has_no_sound_or_other_units_is_bad_and_what_is_odd_is_noted(dcase2022: Path):
    train = dcase2022 / "dev_data" / "fan" / "train"

    def write(index: int, wave: np.ndarray, **how: str) -> Path:
        path = train / f"section_00_source_train_normal_{index:04d}.wav"
        soundfile.write(path, wave, 16_000, **how)
        return path

    odd = [write(30 + i, noise(1_000, 2) * [1, 0]) for i in range(4)]
    runner = CliRunner()
    result = runner.invoke(app, ["check", str(dcase2022)])
    assert result.exit_code == 0
    told = "channel 2 of 2 silent, which makes the mix quieter; --channel 1 reads one alone"
    assert f"4 files: {told} ({', '.join(path.name for path in odd[:3])}, …)" in result.stdout
    assert "no bad files" in result.stdout

    zeros, units = write(40, np.zeros(1_000)), write(41, 32_768 * noise(1_000), subtype="FLOAT")
    opposite = write(42, noise(1_000, 1) * [1, -1], subtype="FLOAT")
    result = runner.invoke(app, ["check", str(dcase2022), "--json"])
    assert result.exit_code == 1
    (report,) = json.loads(result.stdout)
    assert report["odd"] == [{"what": told, "files": list(map(str, odd))}]
    bad = {Path(bad["file"]): bad["reason"] for bad in report["bad"]}
    assert bad.keys() == {zeros, units, opposite}
    assert bad[zeros] == "silent from end to end, every sample is 0: delete it, or record it again"
    assert bad[units].endswith("where 1 is full scale; write it as 16 bit, or divide its samples by 32768")
    assert bad[opposite].endswith("cancel each other in the mix; --channel 1 reads one alone")


def test_one_channel_is_checked_alone(dcase2022: Path):
    for path in dcase2022.rglob("*.wav"):
        soundfile.write(path, noise(1_000, 1) * [1, -1], 16_000, subtype="FLOAT")
    runner = CliRunner()
    assert runner.invoke(app, ["check", str(dcase2022)]).exit_code == 1
    result = runner.invoke(app, ["check", str(dcase2022), "--channel", "2"])
    assert result.exit_code == 0, result.stdout
    result = runner.invoke(app, ["check", str(dcase2022), "--channel", "3"])
    assert "has 2 channels, no channel 3; choose another --channel, or mix" in result.stdout
    error = runner.invoke(app, ["check", str(dcase2022), "--channel", "left"]).exception
    assert str(error) == "--channel left: it should be mix, or a channel's number, counted from 1"
