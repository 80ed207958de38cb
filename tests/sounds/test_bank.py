import logging
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

import humtune.sounds.bank as bank_writer
from humtune.errors import HumtuneError, UsageError
from humtune.sounds.bank import ClipBank, load_banks
from humtune.sounds.dcase import find_dataset
from humtune.sounds.sound_file import read_recording
from humtune.sounds.table import ANOMALY, Role
from humtune.storage import Storage


class Distant(Storage):
    """A storage that can't be mapped, such as an object store; counts what is fetched."""

    def __init__(self, uri: str | Path) -> None:
        super().__init__(uri)
        self.is_local = False
        self.fetched = 0
        self._fs.create_dir(f"{self._root}/banks/sources")

    def put_folder(self, name: str, folder: Path) -> None:
        self._fs.create_dir(f"{self._root}/{name}")
        super().put_folder(name, folder)

    def fetch_folder(self, name: str, target: Path) -> None:
        self.fetched += 1
        super().fetch_folder(name, target)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "runs")


def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path) -> None:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(bank_writer, "read_recording", read)


def test_a_bank_holds_every_clip(dcase2022: Path, storage: Storage):
    bank = load_banks(dcase2022, storage)["fan"]
    clips = find_dataset(dcase2022).clips("fan")
    assert bank.table.name.tolist() == [clip.path.name for clip in clips]
    assert bank.table.label.tolist() == [clip.label for clip in clips]
    assert ANOMALY in bank.table.label[bank.table.part == "eval"]
    assert isinstance(bank.samples, np.memmap)
    for i, clip in enumerate(clips):
        np.testing.assert_array_equal(bank.clip(i), read_recording(clip.path).samples)
        assert bank.lengths[i] == len(bank.clip(i))
        assert np.shares_memory(bank.clip(i), bank.samples)
    assert len(bank.table.having(Role.SELECT)) == len(bank.table.having(Role.REPORT)) == 4


def test_the_second_call_reads_no_recording(dcase2022: Path, storage: Storage, monkeypatch):
    first = load_banks(dcase2022, storage)["fan"]
    no_reading(monkeypatch)
    second = load_banks(dcase2022, storage)["fan"]
    assert second.hash == first.hash
    np.testing.assert_array_equal(second.samples, first.samples)


@pytest.mark.parametrize("change", ["recording", "truth", "attributes", "new file"])
def test_a_change_makes_another_bank(dcase2022: Path, storage: Storage, wav, change: str):
    first = load_banks(dcase2022, storage)["fan"].hash
    fan = dcase2022 / "dev_data" / "fan"
    if change == "recording":
        wav(next((fan / "train").iterdir()), seed=77)
    elif change == "truth":
        shutil.rmtree(dcase2022 / "ground_truth_domain")
    elif change == "attributes":
        name = "section_00_source_train_normal_0000_m-n_W.wav"
        (fan / "attributes_00.csv").write_text(f"file_name,d1p,d1v\n{name},m-n,Q\n")
    else:
        wav(fan / "train" / "section_00_source_train_normal_0099.wav")
    assert load_banks(dcase2022, storage)["fan"].hash != first


def test_the_hash_is_of_the_content_not_of_the_place(dcase2022: Path, tmp_path: Path, storage: Storage):
    first = load_banks(dcase2022, storage)["fan"]
    shutil.move(dcase2022, tmp_path / "moved")
    second = load_banks(tmp_path / "moved", storage)["fan"]
    assert second.hash == first.hash
    assert storage.list("banks") == sorted([first.hash, "sources"])
    assert not list(storage.path("banks").glob(".draft*"))


def test_a_lost_bank_is_written_again(dcase2022: Path, storage: Storage):
    first = load_banks(dcase2022, storage)["fan"]
    shutil.rmtree(storage.path(first.folder))
    assert load_banks(dcase2022, storage)["fan"].hash == first.hash


def test_unknown_machines_and_bad_recordings_are_named(dcase2022: Path, storage: Storage):
    with pytest.raises(UsageError, match=r"no machine 'pump' in .*there are: fan"):
        load_banks(dcase2022, storage, ["pump"])
    train = dcase2022 / "dev_data" / "fan" / "train"
    for i in range(5):
        (train / f"section_00_source_train_normal_{90 + i:04d}.wav").write_text("no sound")
    with pytest.raises(
        UsageError, match=r"5 of 21 clips of fan can't be used: .*_0090\.wav: .*; …; run humtune data check"
    ):
        load_banks(dcase2022, storage)
    assert storage.list("banks") == []


def test_each_change_is_told_once_a_machine(dcase2022: Path, storage: Storage, caplog):
    train = dcase2022 / "dev_data" / "fan" / "train"
    for i in range(4):
        path = train / f"section_00_source_train_normal_{90 + i:04d}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(i).normal(size=(4410, 1)) * [1, i > 0], 44_100)
    silent = [f"section_00_source_test_normal_{90 + i:04d}.wav" for i in range(4)]
    for name in silent:
        soundfile.write(train.parent / "test" / name, np.zeros(4410), 44_100)
    with caplog.at_level(logging.WARNING):
        load_banks(dcase2022, storage)
    assert sorted(record.getMessage() for record in caplog.records) == [
        "fan: 1 clip: channel 2 of 2 silent, which makes the mix quieter; --channel 1 reads one alone",
        "fan: 4 clips mixed down from 2 channels",
        f"fan: 4 clips silent from end to end: {', '.join(silent[:3])}, …",
        "fan: 8 clips resampled from 44100 Hz to 16000 Hz",
    ]


def test_training_clips_without_sound_are_refused_by_name(dcase2022: Path, storage: Storage):
    train = dcase2022 / "dev_data" / "fan" / "train"
    for i in range(4):
        soundfile.write(train / f"section_00_source_train_normal_{90 + i:04d}.wav", np.zeros(4410), 16_000)
    with pytest.raises(
        UsageError, match=r"4 of 20 clips .*_0090\.wav: silent from .*_0092\.wav: .*; …"
    ) as caught:
        load_banks(dcase2022, storage)
    assert "every sample is 0: delete it, or record it again" in str(caught.value)
    assert "_0093.wav" not in str(caught.value)
    assert storage.list("banks") == []


def test_a_bank_of_one_channel_is_another_bank(dcase2022: Path, storage: Storage):
    mono = load_banks(dcase2022, storage)["fan"]
    for path in dcase2022.rglob("*.wav"):
        samples = soundfile.read(path, dtype="int16")[0]
        soundfile.write(path, np.stack([-samples // 2, samples], axis=1), 16_000)
    mixed, second = (load_banks(dcase2022, storage, channel=channel)["fan"] for channel in (None, 2))
    assert second.hash == mono.hash
    assert mixed.hash not in (second.hash, load_banks(dcase2022, storage, channel=1)["fan"].hash)
    with pytest.raises(UsageError, match=r"has 2 channels, no channel 3; .* data check \S+ --channel 3$"):
        load_banks(dcase2022, storage, channel=3)


def test_a_folder_with_a_recording_s_name_is_told_and_hidden_files_are_not(dcase2022: Path, storage: Storage):
    train = dcase2022 / "dev_data" / "fan" / "train"
    (train / "section_00_source_train_normal_0091.wav").mkdir()
    (train / "._section_00_source_train_normal_0000_m-n_W.wav").write_bytes(b"\0\5\x16\7")
    with pytest.raises(UsageError, match=r"_0091\.wav: ") as caught:
        load_banks(dcase2022, storage)
    assert "._section" not in str(caught.value)


def test_a_distant_bank_is_fetched_once(dcase2022: Path, tmp_path: Path, monkeypatch):
    storage = Distant(tmp_path / "far")
    first = load_banks(dcase2022, storage, cache=tmp_path / "driver")["fan"]
    assert storage.fetched == 0, "the computer that wrote it has it already"
    node = tmp_path / "node"
    opened: list[ClipBank] = []
    threads = [
        threading.Thread(target=lambda: opened.append(ClipBank.open(storage, first.folder, cache=node)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.fetched == 1
    assert len(opened) == 4
    for bank in opened:
        assert bank.hash == first.hash
        np.testing.assert_array_equal(bank.samples, first.samples)
        assert bank.table.to_json() == first.table.to_json()
    no_reading(monkeypatch)
    assert load_banks(dcase2022, storage, cache=node)["fan"].hash == first.hash


def test_a_fetch_that_fails_leaves_nothing_behind(dcase2022: Path, tmp_path: Path, monkeypatch):
    storage = Distant(tmp_path / "far")
    folder = load_banks(dcase2022, storage, cache=tmp_path / "driver")["fan"].folder
    copy = Storage._copy

    def failing(self: Storage, source: str, target: str, *, upload: bool) -> None:
        if source.endswith("samples.npy"):
            raise OSError("the line is dead")
        copy(self, source, target, upload=upload)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "_copy", failing)
        with pytest.raises(OSError, match="dead"):
            ClipBank.open(storage, folder, cache=tmp_path / "node")
    assert [path.suffix for path in (tmp_path / "node").iterdir()] in ([], [".lock"])
    assert len(ClipBank.open(storage, folder, cache=tmp_path / "node").table) == 16


def test_a_torn_bank_is_an_error_not_a_traceback(dcase2022: Path, storage: Storage):
    bank = load_banks(dcase2022, storage)["fan"]
    path = storage.path(f"{bank.folder}/samples.npy")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(HumtuneError, match="can't open this bank"):
        ClipBank.open(storage, bank.folder)
    np.save(path, np.zeros(10, dtype=np.int16))
    with pytest.raises(HumtuneError, match="torn"):
        ClipBank.open(storage, bank.folder)


def test_real_recordings_fill_a_bank(storage: Storage, real_data: Path):
    bank = load_banks(real_data / "dcase2023", storage, ["ToyCar"])["ToyCar"]
    assert len(bank.table) == 320
    assert set(bank.lengths) == {12 * 16_000}
    assert len(bank.table.having(Role.HELD_OUT)) == 22
    assert len(bank.table.having(Role.SELECT)) == 100
