"""Fetching, from a server on this computer that answers as Zenodo does."""

import hashlib
import io
import json
import logging
import re
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
from filelock import FileLock
from typer.testing import CliRunner

from humtune.cli.data import app
from humtune.config import SAMPLE_RATE
from humtune.errors import HumtuneError, UsageError
from humtune.sounds import fetch as module
from humtune.sounds import transfer
from humtune.sounds.dcase import find_dataset
from humtune.sounds.editions import EDITIONS
from humtune.sounds.fetch import fetch


@dataclass
class Zenodo:
    """Records, the faults to show, and what was asked."""

    site: str = ""
    records: dict[int, dict[str, bytes]] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)  # instead of the true ones
    breaks: dict[str, list[int]] = field(
        default_factory=dict
    )  # file -> bytes after which each answer breaks off
    busy: dict[str, int] = field(default_factory=dict)  # path -> times to answer 503
    takes_ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # file, Range

    def record(self, number: int) -> bytes:
        files = [
            {
                "key": name,
                "size": len(data),
                "checksum": f"md5:{self.checksums.get(name) or hashlib.md5(data).hexdigest()}",
                "links": {"self": f"{self.site}/api/records/{number}/files/{name}/content"},
            }
            for name, data in self.records[number].items()
        ]
        return json.dumps({"id": number, "files": files}).encode()


def handler(zenodo: Zenodo) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = re.fullmatch(r"/api/records/(\d+)(?:/files/([^/]+)/content)?", self.path)
            number, name = (int(found[1]), found[2]) if found else (0, None)
            if zenodo.busy.get(self.path, 0) > 0:
                zenodo.busy[self.path] -= 1
                self._answer(503, b"")
            elif number not in zenodo.records or (name and name not in zenodo.records[number]):
                self._answer(404, b"{}")
            elif name is None:
                self._answer(200, zenodo.record(number))
            else:
                self._file(name, zenodo.records[number][name])

        def _file(self, name: str, data: bytes) -> None:
            wanted = self.headers["Range"]
            zenodo.asked.append((name, wanted))
            begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and zenodo.takes_ranges else 0
            breaks = zenodo.breaks.get(name)
            count = breaks.pop(0) if breaks else None
            extra = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
            self._answer(206 if begin else 200, data[begin:], count, extra)

        def _answer(
            self, status: int, body: bytes, count: int | None = None, extra: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **(extra or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body[:count])

        def log_message(self, *words: object) -> None:
            pass

    return Handler


def sounds(machine: str, *names: str, seed: int = 0) -> bytes:
    """A zip of noise, about 16 kB a second and file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as content:
        for i, name in enumerate(names):
            samples = np.random.default_rng([seed, i]).integers(-9000, 9000, 4 * SAMPLE_RATE).astype(np.int16)
            wav = io.BytesIO()
            soundfile.write(wav, samples, SAMPLE_RATE, format="WAV", subtype="PCM_16")
            content.writestr(f"{machine}/{name}", wav.getvalue())
        content.writestr(f"{machine}/attributes_00.csv", "file_name,d1p,d1v\n")
    return packed.getvalue()


def dev(machine: str) -> bytes:
    train, test = "section_00_source_train_normal_0000_a_1.wav", "section_00_target_test_anomaly_0000_a_1.wav"
    return sounds(machine, f"train/{train}", f"test/{test}")


@pytest.fixture
def zenodo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zenodo]:
    """DCASE 2022 with fan and valve."""
    made, year = Zenodo(), EDITIONS[2022]
    machines = ("fan", "valve")
    made.records = {
        year.dev: {"readme.md": b"-"} | {f"dev_{m}.zip": dev(m) for m in machines},
        year.train: {
            f"eval_data_{m}_train.zip": sounds(m, "train/section_03_source_train_normal_0000_a_1.wav", seed=1)
            for m in machines
        },
        year.test: {
            f"eval_data_{m}_test.zip": sounds(m, "test/section_03_0000.wav", seed=2) for m in machines
        },
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(made)) as server:
        made.site = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("HUMTUNE_ZENODO", made.site)
        monkeypatch.setattr(transfer, "_PAUSE", 0.0)
        yield made
        server.shutdown()
        thread.join()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


DEV_FAN = {
    "dev_data/fan/train/section_00_source_train_normal_0000_a_1.wav",
    "dev_data/fan/test/section_00_target_test_anomaly_0000_a_1.wav",
    "dev_data/fan/attributes_00.csv",
}


def test_an_unknown_year_lists_the_known(tmp_path: Path):
    with pytest.raises(UsageError, match=r"year 2019: .*: 2020, 2021, 2022, 2023, 2024$"):
        fetch(tmp_path / "data", year=2019)


def test_an_unknown_machine_lists_the_known(tmp_path: Path, zenodo: Zenodo):
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


def test_a_wrong_checksum_removes_the_file_and_a_new_call_fetches_it(tmp_path: Path, zenodo: Zenodo):
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


def test_too_little_room_is_told_before_anything_is_transferred(
    tmp_path: Path, zenodo: Zenodo, monkeypatch: pytest.MonkeyPatch
):
    size = len(zenodo.records[EDITIONS[2022].dev]["dev_fan.zip"])
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=2 * size - 1))
    needed, free = (f"{n / 1000:.1f} kB" for n in (2 * size, 2 * size - 1))
    with pytest.raises(HumtuneError, match=f"takes about {needed}, but {free} are free; choose fewer"):
        fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert zenodo.asked == []
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=2 * size))
    monkeypatch.setattr("humtune.sounds.unpack.shutil.disk_usage", lambda path: usage)
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert files(tmp_path / "data") == DEV_FAN


def test_no_server_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening
        monkeypatch.setattr("humtune.sounds.zenodo._RETRIES", 0)
        with pytest.raises(HumtuneError, match="no connection, or it broke off; is this computer online"):
            fetch(tmp_path / "data", site=f"http://127.0.0.1:{taken.getsockname()[1]}")


def test_a_record_that_is_gone(tmp_path: Path, zenodo: Zenodo):
    del zenodo.records[EDITIONS[2022].train]
    with pytest.raises(HumtuneError, match=r"api/records/6462969: the server answers 404 Not Found"):
        fetch(tmp_path / "data")


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"files": [{}]}', b'{"message": "moved"}'])
def test_an_answer_that_is_no_record(
    tmp_path: Path, zenodo: Zenodo, monkeypatch: pytest.MonkeyPatch, answer: bytes
):
    monkeypatch.setattr(Zenodo, "record", lambda self, number: answer)
    with pytest.raises(HumtuneError, match="api/records/6355122: not the description of a record"):
        fetch(tmp_path / "data")


def test_a_record_without_usable_checksums(tmp_path: Path, zenodo: Zenodo):
    zenodo.checksums["dev_fan.zip"] = "unknown"
    with pytest.raises(HumtuneError, match=r"dev_fan\.zip has the checksum 'md5:unknown'"):
        fetch(tmp_path / "data")


def test_a_busy_server_is_asked_again(tmp_path: Path, zenodo: Zenodo):
    zenodo.busy[f"/api/records/{EDITIONS[2022].dev}"] = 1
    assert [a.name for a in fetch(tmp_path / "data", machines=["fan"], evaluation=False).new] == [
        "dev_fan.zip"
    ]


def test_all_of_a_year_is_found_by_the_finder(tmp_path: Path, zenodo: Zenodo):
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


def test_what_is_there_is_not_fetched_again(tmp_path: Path, zenodo: Zenodo):
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


def test_kept_zips_are_used_again(tmp_path: Path, zenodo: Zenodo):
    data = tmp_path / "data"
    fetch(data, machines=["fan"], evaluation=False, keep_zips=True)
    kept = data / "zips/dev_fan.zip"
    assert kept.read_bytes() == zenodo.records[EDITIONS[2022].dev]["dev_fan.zip"]
    module.shutil.rmtree(data / "dev_data")
    zenodo.asked.clear()
    fetch(data, machines=["fan"], evaluation=False, keep_zips=True)
    assert zenodo.asked == []
    assert files(data) >= DEV_FAN


def test_a_transfer_that_breaks_off_goes_on_by_itself(tmp_path: Path, zenodo: Zenodo):
    zenodo.breaks["dev_fan.zip"] = [100_000, 70_000]
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    names, ranges = zip(*zenodo.asked, strict=True)
    assert names == ("dev_fan.zip",) * 3
    begins = [int(wanted.removeprefix("bytes=").rstrip("-")) for wanted in ranges[1:]]
    assert ranges[0] is None
    assert 0 < begins[0] <= 100_000 < begins[1] <= 170_000
    assert files(tmp_path / "data") == DEV_FAN


def test_the_next_call_goes_on_with_a_broken_transfer(tmp_path: Path, zenodo: Zenodo):
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


def test_a_server_without_ranges_sends_the_whole_again(tmp_path: Path, zenodo: Zenodo):
    zenodo.takes_ranges = False
    zenodo.breaks["dev_fan.zip"] = [100_000]
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert [bool(wanted) for _, wanted in zenodo.asked] == [False, True]
    assert files(tmp_path / "data") == DEV_FAN


def test_a_part_that_is_longer_than_the_archive_is_thrown_away(tmp_path: Path, zenodo: Zenodo):
    zips = tmp_path / "data/zips"
    zips.mkdir(parents=True)
    (zips / "dev_fan.zip.part").write_bytes(bytes(1_000_000))
    fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert zenodo.asked == [("dev_fan.zip", None)]
    assert files(tmp_path / "data") == DEV_FAN


def test_a_hostile_archive_writes_nothing(tmp_path: Path, zenodo: Zenodo):
    packed = io.BytesIO(dev("fan"))
    with zipfile.ZipFile(packed, "a") as content:
        content.writestr("../../../outside.wav", b"evil")
    zenodo.records[EDITIONS[2022].dev]["dev_fan.zip"] = packed.getvalue()
    with pytest.raises(HumtuneError, match=r"refused, its member '\.\./\.\./\.\./outside\.wav'"):
        fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert files(tmp_path) == {"data/zips/dev_fan.zip"}


def test_unpacking_that_was_killed_needs_no_second_transfer(
    tmp_path: Path, zenodo: Zenodo, monkeypatch: pytest.MonkeyPatch
):
    def killed(*words: object) -> None:
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


def test_a_full_disk_is_one_sentence(tmp_path: Path, zenodo: Zenodo, monkeypatch: pytest.MonkeyPatch):
    def full(*words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("humtune.sounds.unpack.shutil.copyfileobj", full)
    with pytest.raises(HumtuneError, match="data: the disk is full; make room, the same command goes on"):
        fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert files(tmp_path / "data") == {"zips/dev_fan.zip"}


def test_one_fetch_at_a_time(tmp_path: Path, zenodo: Zenodo):
    zips = tmp_path / "data/zips"
    zips.mkdir(parents=True)
    with (
        FileLock(zips / ".lock"),
        pytest.raises(HumtuneError, match="another humtune data fetch is at work there"),
    ):
        fetch(tmp_path / "data", machines=["fan"], evaluation=False)
    assert zenodo.asked == []


def test_a_record_that_lacks_a_machine_is_named(
    tmp_path: Path, zenodo: Zenodo, caplog: pytest.LogCaptureFixture
):
    """From 2023 on, dev_data and eval_data have different machines."""
    year = EDITIONS[2023]
    zenodo.records = {
        year.dev: {"dev_fan.zip": dev("fan")},
        year.train: {
            "eval_data_saw_train.zip": sounds("saw", "train/section_00_source_train_normal_0000.wav")
        },
        year.test: {"eval_data_saw_test.zip": sounds("saw", "test/section_00_0000.wav")},
    }
    with caplog.at_level(logging.WARNING):
        result = fetch(tmp_path / "data", year=2023, machines=["saw"])
    assert [a.name for a in result.new] == ["eval_data_saw_train.zip", "eval_data_saw_test.zip"]
    assert caplog.messages == ["saw: record 7882613 has no dev archive of it"]
    assert [a.name for a in fetch(tmp_path / "data", year=2023).new] == ["dev_fan.zip"]


@pytest.mark.parametrize(
    ("year", "names"),
    [
        (2020, ("dev_data_fan.zip", "eval_data_train_fan.zip", "eval_data_test_fan.zip")),
        (2021, ("dev_data_fan.zip", "eval_data_fan_train.zip", "eval_data_fan_test.zip")),
        (2024, ("dev_fan.zip", "eval_data_fan_train_r2.zip", "eval_data_fan_test.zip")),
    ],
)
def test_the_names_of_other_years(tmp_path: Path, zenodo: Zenodo, year: int, names: tuple[str, str, str]):
    edition = EDITIONS[year]
    train = sounds("fan", "train/section_03_source_train_normal_0000.wav")
    test = sounds("fan", "source_test/section_03_source_test_0000.wav")
    contents = (dev("fan"), train, test)
    records = (edition.dev, edition.train, edition.test)
    zenodo.records = {r: {n: c} for r, n, c in zip(records, names, contents, strict=True)}
    zenodo.records[edition.train].setdefault("eval_data_fan_train.zip", b"an earlier revision")
    if year == 2020:
        del zenodo.records[edition.train]["eval_data_fan_train.zip"]
    assert tuple(a.name for a in fetch(tmp_path / "data", year=year).new) == names
    assert len(find_dataset(tmp_path / "data").folders) == 4


def test_the_command(tmp_path: Path, zenodo: Zenodo):
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
