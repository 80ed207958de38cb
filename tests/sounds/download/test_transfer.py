from pathlib import Path

import pytest
from downloads import DEV_FAN, files

from humtune.errors import HumtuneError
from humtune.sounds.download import transfer
from humtune.sounds.download.fetch import fetch
from humtune.sounds.download.zenodo import EDITIONS


def test_a_wrong_checksum_removes_the_file_and_a_new_call_fetches_it(tmp_path: Path, zenodo):
    zenodo.checksums["dev_fan.zip"] = "0" * 32
    with pytest.raises(
        HumtuneError, match=r"dev_fan\.zip/content: what came is not what the record"
    ) as caught:
        fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert "0" * 32 in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == set()
    del zenodo.checksums["dev_fan.zip"]
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert files(tmp_path / "data") == DEV_FAN


def test_a_transfer_that_breaks_off_goes_on_by_itself(tmp_path: Path, zenodo):
    zenodo.breaks["dev_fan.zip"] = [100_000, 70_000]
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    names, ranges = zip(*zenodo.asked, strict=True)
    assert names == ("dev_fan.zip",) * 3
    begins = [int(wanted.removeprefix("bytes=").rstrip("-")) for wanted in ranges[1:]]
    assert ranges[0] is None
    assert 0 < begins[0] <= 100_000 < begins[1] <= 170_000
    assert files(tmp_path / "data") == DEV_FAN


def test_the_next_call_goes_on_with_a_broken_transfer(tmp_path: Path, zenodo):
    data, whole = tmp_path / "data", zenodo.records[EDITIONS[2022].dev]["dev_fan.zip"]
    zenodo.breaks["dev_fan.zip"] = [100_000] + [0] * transfer._PATIENCE
    with pytest.raises(HumtuneError, match=r"or it broke off; .* The same command goes on"):
        fetch(data, machines=["fan"], evaluation=False)
    part = data / "zips/dev_fan.zip.part"
    had = part.stat().st_size
    assert 0 < had <= 100_000
    assert part.read_bytes() == whole[:had]
    zenodo.asked.clear()
    fetch(data, machines=["fan"], evaluation=False)
    assert zenodo.asked == [("dev_fan.zip", f"bytes={had}-")]
    assert files(data) == DEV_FAN


def test_a_server_without_ranges_sends_the_whole_again(tmp_path: Path, zenodo):
    zenodo.takes_ranges = False
    zenodo.breaks["dev_fan.zip"] = [100_000]
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert [bool(wanted) for _, wanted in zenodo.asked] == [False, True]
    assert files(tmp_path / "data") == DEV_FAN


def test_a_part_that_is_longer_than_the_archive_is_thrown_away(tmp_path: Path, zenodo):
    zips = tmp_path / "data/zips"
    zips.mkdir(parents=True)
    (zips / "dev_fan.zip.part").write_bytes(bytes(1_000_000))
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert zenodo.asked == [("dev_fan.zip", None)]
    assert files(tmp_path / "data") == DEV_FAN


def test_a_check_that_is_interrupted_costs_no_second_transfer(
    tmp_path: Path, zenodo, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*words: object, **settings: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pooch.core.hash_matches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert files(tmp_path / "data") == {"zips/dev_fan.zip.part"}
    (tmp_path / "data/zips/tmpabcd_123").touch()  # what is left there after a SIGKILL
    zenodo.asked.clear()
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert zenodo.asked == []
    assert files(tmp_path / "data") == DEV_FAN


def test_a_file_system_without_links(tmp_path: Path, zenodo, monkeypatch: pytest.MonkeyPatch):
    def refused(self: Path, target: Path) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert files(tmp_path / "data") == DEV_FAN
