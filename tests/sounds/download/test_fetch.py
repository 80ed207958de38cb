import io
import logging
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from downloads import DEV_FAN, files
from filelock import FileLock
from typer.testing import CliRunner

from humtune.cli.data import app
from humtune.errors import HumtuneError, UsageError
from humtune.sounds.dcase import find_dataset
from humtune.sounds.download import fetch as module
from humtune.sounds.download.fetch import fetch
from humtune.sounds.download.zenodo import EDITIONS


def test_an_unknown_year_lists_the_known(tmp_path: Path):
    with pytest.raises(UsageError, match=r"year 2019: .*: 2020, 2021, 2022, 2023, 2024, 2025$"):
        fetch(tmp_path / "data", year=2019)


def test_an_unknown_machine_lists_the_known(tmp_path: Path, zenodo):
    with pytest.raises(
        UsageError, match=r"no machine 'fna' in dev_data of DCASE 2022; there are: fan, valve$"
    ):
        fetch(tmp_path / "data", machines=["fan", "fna"], evaluation=False)
    assert not (tmp_path / "data").exists()
    assert zenodo.asked == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path):
    (tmp_path / "data").write_text("")
    with pytest.raises(UsageError, match="data: a file; expected a folder"):
        fetch(tmp_path / "data")


def test_too_little_room_is_told_before_anything_is_transferred(
    tmp_path: Path, zenodo, monkeypatch: pytest.MonkeyPatch
):
    size = len(zenodo.records[EDITIONS[2022].dev]["dev_fan.zip"])
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=2 * size - 1))
    needed, free = (f"{n / 1000:.1f} kB" for n in (2 * size, 2 * size - 1))
    with pytest.raises(HumtuneError, match=f"takes about {needed}, but {free} are free; choose fewer"):
        fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert zenodo.asked == []
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=2 * size))
    monkeypatch.setattr("humtune.sounds.download.unpack.shutil.disk_usage", lambda path: usage)
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert files(tmp_path / "data") == DEV_FAN


def test_all_of_a_year_is_found_by_the_finder(tmp_path: Path, zenodo):
    result = fetch(tmp_path / "data")
    assert [a.name for a in result.new] == [
        f"{name}.zip"
        for m in ("fan", "valve")
        for name in (f"dev_{m}", f"eval_data_{m}_train", f"eval_data_{m}_test")
    ]
    dataset = find_dataset(tmp_path / "data")
    assert dataset.machines == ("fan", "valve")
    cells = [(c.part, c.split, c.section, c.label) for c in dataset.clips("valve")]
    assert cells == [
        ("dev", "train", 0, 0),
        ("dev", "test", 0, 1),
        ("eval", "train", 3, 0),
        ("eval", "test", 3, -1),
    ]
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"dev_data", "eval_data"}


def test_what_is_there_is_not_fetched_again(tmp_path: Path, zenodo):
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    mark = tmp_path / "data/dev_data/fan/train/section_00_source_train_normal_0000_a_1.wav"
    mark.write_bytes(b"mine")
    zenodo.asked.clear()
    result = fetch(tmp_path / "data", machines=["valve", "fan"], evaluation=False)
    assert ([a.name for a in result.new], [a.name for a in result.there]) == (
        ["dev_valve.zip"],
        ["dev_fan.zip"],
    )
    assert zenodo.asked == [("dev_valve.zip", None)]
    assert mark.read_bytes() == b"mine"


def test_kept_zips_are_used_again(tmp_path: Path, zenodo):
    data = tmp_path / "data"
    fetch(data, machines=["fan"], evaluation=False, keep_zips=True)
    kept = data / "zips/dev_fan.zip"
    assert kept.read_bytes() == zenodo.records[EDITIONS[2022].dev]["dev_fan.zip"]
    module.shutil.rmtree(data / "dev_data")
    zenodo.asked.clear()
    fetch(data, machines=["fan"], evaluation=False, keep_zips=True)
    assert zenodo.asked == []
    assert files(data) >= DEV_FAN


def test_a_hostile_archive_writes_nothing(tmp_path: Path, zenodo):
    packed = io.BytesIO(zenodo.pack_dev("fan"))
    with zipfile.ZipFile(packed, "a") as content:
        content.writestr("../../../outside.wav", b"evil")
    zenodo.records[EDITIONS[2022].dev]["dev_fan.zip"] = packed.getvalue()
    with pytest.raises(HumtuneError, match=r"refused, its member '\.\./\.\./\.\./outside\.wav'"):
        fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert files(tmp_path) == {"data/zips/dev_fan.zip"}


def test_unpacking_that_was_killed_needs_no_second_transfer(
    tmp_path: Path, zenodo, monkeypatch: pytest.MonkeyPatch
):
    def killed(*words: object, **others: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "unpack", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert files(tmp_path / "data") == {"zips/dev_fan.zip"}
    zenodo.asked.clear()
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert zenodo.asked == []
    assert files(tmp_path / "data") == DEV_FAN


@pytest.mark.parametrize("keep_zips", [False, True])
def test_a_kill_after_unpacking_leaves_no_archive_that_nobody_asks_for(
    tmp_path: Path, zenodo, monkeypatch: pytest.MonkeyPatch, keep_zips: bool
):
    def killed(*words: object, **others: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("humtune.sounds.download.unpack.settle", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert "zips/dev_fan.zip" in files(tmp_path / "data")
    fetch(tmp_path / "data", machines=["fan"], evaluation=False, keep_zips=keep_zips)
    assert files(tmp_path / "data") == DEV_FAN | ({"zips/dev_fan.zip"} if keep_zips else set())
    assert (tmp_path / "data/zips").exists() == keep_zips


def test_a_folder_of_archives_that_a_kill_left_empty_goes(tmp_path: Path, zenodo):
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    (tmp_path / "data/zips").mkdir()
    (tmp_path / "data/.fetching.lock").touch()
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert not (tmp_path / "data/zips").exists()


def test_a_full_disk_is_one_sentence(tmp_path: Path, zenodo, monkeypatch: pytest.MonkeyPatch):
    def full(*words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("humtune.sounds.download.unpack.shutil.copyfileobj", full)
    with pytest.raises(HumtuneError, match="data: the disk is full; make room, the same command goes on"):
        fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert files(tmp_path / "data") == {"zips/dev_fan.zip"}


def test_one_fetch_at_a_time(tmp_path: Path, zenodo):
    (tmp_path / "data").mkdir()
    with (
        FileLock(tmp_path / "data/.fetching.lock"),
        pytest.raises(HumtuneError, match="another humtune data fetch is at work there"),
    ):
        fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert zenodo.asked == []


def test_of_two_at_once_each_brings_all_or_says_that_another_does(tmp_path: Path, zenodo):
    """Also where one ends, and tidies up, while the other begins."""

    def bring(folder: Path, wait: float) -> str:
        time.sleep(wait)
        try:
            fetch(folder, machines=["fan"], evaluation=False)
        except HumtuneError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as pool:
        for i in range(30):
            folder = tmp_path / str(i)
            said = list(pool.map(bring, [folder] * 2, [0, i / 1000]))
            assert all("another humtune data fetch is at work" in words for words in said if words)
            assert files(folder) == DEV_FAN


def test_a_record_that_lacks_a_machine_is_named(tmp_path: Path, zenodo, caplog: pytest.LogCaptureFixture):
    """From 2023 on, dev_data and eval_data have different machines."""
    year = EDITIONS[2023]
    zenodo.records = {
        year.dev: {"dev_fan.zip": zenodo.pack_dev("fan")},
        year.train: {
            "eval_data_saw_train.zip": zenodo.pack("saw", "train/section_00_source_train_normal_0000.wav")
        },
        year.test: {"eval_data_saw_test.zip": zenodo.pack("saw", "test/section_00_0000.wav")},
    }
    with caplog.at_level(logging.WARNING):
        result = fetch(tmp_path / "data", year=2023, machines=["saw"])
    assert [a.name for a in result.new] == ["eval_data_saw_train.zip", "eval_data_saw_test.zip"]
    assert caplog.messages == ["saw: record 7882613 has no dev archive of it"]
    assert [a.name for a in fetch(tmp_path / "data", year=2023).new] == ["dev_fan.zip"]


def test_the_command(tmp_path: Path, zenodo):
    words = ["fetch", str(tmp_path / "data"), "--machines", "fan"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    told = " ".join(shown.output.split())
    assert "fetched: dev_fan.zip, eval_data_fan_train.zip, eval_data_fan_test.zip" in told
    assert (
        f"ground_truth_domain of {EDITIONS[2022].truth.split(' of ')[1].split()[0]} into {tmp_path}/data"
        in told
    )
    assert told.endswith(f"Next: humtune data check {tmp_path}/data")
    again = CliRunner().invoke(app, [*words, "--no-eval"])
    assert again.output.startswith("already there: dev_fan.zip\n")
    assert "truth" not in again.output
    help_ = " ".join(CliRunner().invoke(app, ["fetch", "--help"]).output.split())
    assert "Example: humtune data fetch" in help_
