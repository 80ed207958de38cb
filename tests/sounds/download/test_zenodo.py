import socket
from pathlib import Path

import pytest

from humtune.errors import HumtuneError
from humtune.sounds.dcase import find_dataset
from humtune.sounds.download.fetch import fetch
from humtune.sounds.download.zenodo import EDITIONS


def test_no_server_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening
        monkeypatch.setattr("humtune.sounds.download.zenodo._RETRIES", 0)
        with pytest.raises(HumtuneError, match="no connection, or it broke off; is this computer online"):
            fetch(tmp_path / "data", site=f"http://127.0.0.1:{taken.getsockname()[1]}")


def test_a_record_that_is_gone(tmp_path: Path, zenodo):
    del zenodo.records[EDITIONS[2022].train]
    with pytest.raises(HumtuneError, match=r"api/records/6462969: the server answers 404 Not Found"):
        fetch(tmp_path / "data")


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"files": [{}]}', b'{"message": "moved"}'])
def test_an_answer_that_is_no_record(tmp_path: Path, zenodo, monkeypatch: pytest.MonkeyPatch, answer: bytes):
    monkeypatch.setattr(zenodo, "record", lambda number: answer)
    with pytest.raises(HumtuneError, match="api/records/6355122: not the description of a record"):
        fetch(tmp_path / "data")


def test_a_record_without_usable_checksums(tmp_path: Path, zenodo):
    zenodo.checksums["dev_fan.zip"] = "unknown"
    with pytest.raises(HumtuneError, match=r"dev_fan\.zip has the checksum 'md5:unknown'"):
        fetch(tmp_path / "data")


def test_a_busy_server_is_asked_again(tmp_path: Path, zenodo):
    zenodo.busy[f"/api/records/{EDITIONS[2022].dev}"] = 1
    assert [a.name for a in fetch(tmp_path / "data", machines=["fan"], evaluation=False).new] == [
        "dev_fan.zip"
    ]


@pytest.mark.parametrize(
    ("year", "names"),
    [
        (2020, ("dev_data_fan.zip", "eval_data_train_fan.zip", "eval_data_test_fan.zip")),
        (2021, ("dev_data_fan.zip", "eval_data_fan_train.zip", "eval_data_fan_test.zip")),
        (2024, ("dev_fan.zip", "eval_data_fan_train_r2.zip", "eval_data_fan_test.zip")),
        (2025, ("dev_fan.zip", "eval_data_fan_train.zip", "eval_data_fan_test.zip")),
    ],
)
def test_the_names_of_other_years(tmp_path: Path, zenodo, year: int, names: tuple[str, str, str]):
    edition = EDITIONS[year]
    train = zenodo.pack("fan", "train/section_03_source_train_normal_0000.wav")
    test = zenodo.pack("fan", "source_test/section_03_source_test_0000.wav")
    contents = (zenodo.pack_dev("fan"), train, test)
    records = (edition.dev, edition.train, edition.test)
    zenodo.records = {r: {n: c} for r, n, c in zip(records, names, contents, strict=True)}
    zenodo.records[edition.train].setdefault("eval_data_fan_train.zip", b"an earlier revision")
    if year == 2020:
        del zenodo.records[edition.train]["eval_data_fan_train.zip"]
    assert tuple(a.name for a in fetch(tmp_path / "data", year=year).new) == names
    assert len(find_dataset(tmp_path / "data").folders) == 4
