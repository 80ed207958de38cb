"""Recordings that come later take their place beside those there, which stay where they are."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from humtune.errors import UsageError
from humtune.sounds.added import Grown, grow
from humtune.sounds.bank import ClipBank, load_banks
from humtune.sounds.groups import recording_names
from humtune.sounds.importing import import_folder
from humtune.sounds.loose import find_loose
from humtune.sounds.table import ANOMALY, NORMAL, ClipTable, Role, assign_roles
from humtune.storage import Storage

RATE = 16_000


def record(folder: Path, *seeds: int, seconds: float = 20.0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        noise = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
        soundfile.write(folder / f"take {seed}.wav", noise, RATE)
    return folder


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "runs")


@pytest.fixture
def bank(tmp_path: Path, storage: Storage) -> ClipBank:
    """Eight recordings of two windows, a quarter of them held out."""
    import_folder(record(tmp_path / "pump", *range(8)), tmp_path / "data")
    found = load_banks(tmp_path / "data", storage)["pump"]
    return ClipBank(assign_roles(found.table, held_out=0.25), found.samples, found.offsets, found.hash)


def added(bank: ClipBank, storage: Storage, **found: Path) -> Grown:
    """With the recordings of a folder for each role."""
    labels = {Role.SELECT: ANOMALY}
    roles = {Role[name]: folder for name, folder in found.items()}
    loose = {role: find_loose(folder, labels.get(role, NORMAL)) for role, folder in roles.items()}
    return grow(bank, loose, storage, held_out=0.25)


def roles_of(table: ClipTable) -> dict[str, str]:
    return dict(zip(table.name.tolist(), table.role.tolist(), strict=True))


def test_what_is_there_stays_and_new_ones_are_on_one_side_by_recording(
    bank: ClipBank, storage: Storage, tmp_path: Path
) -> None:
    grown = added(bank, storage, TRAIN=record(tmp_path / "new", *range(10, 18)))
    table = grown.bank.table
    assert roles_of(table).items() >= roles_of(bank.table).items()
    assert len(table) == 16 + 16
    assert grown.recordings(Role.TRAIN) == 8
    assert grown.seconds(Role.TRAIN) == 160.0
    sides: dict[str, set[str]] = {}
    for name, role in zip(recording_names(table.attributes[16:]), table.role[16:], strict=True):
        sides.setdefault(str(name), set()).add(str(role))
    assert sorted(map(len, sides.values())) == [1] * 8
    assert list(sides.values()).count({"held_out"}) == 2
    for i in range(16):
        assert np.array_equal(grown.bank.clip(i), bank.clip(i))
    whole = np.concatenate([grown.bank.clip(16), grown.bank.clip(17)])
    written, _ = soundfile.read(tmp_path / "new" / "take 10.wav", dtype="int16")
    assert np.array_equal(whole, written)


def test_the_same_ones_again_change_nothing(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    new = record(tmp_path / "new", 10, 11, 12)
    (new / "take 10.wav").rename(new / "under another name.wav")
    first = added(bank, storage, TRAIN=new)
    again = added(first.bank, storage, TRAIN=new)
    assert not again.is_new
    assert again.bank is first.bank
    assert sorted(again.known) == ["take 11.wav", "take 12.wav", "under another name.wav"]
    mixed = added(bank, storage, TRAIN=record(tmp_path / "pump", 20))  # the folder of old ones, and one more
    assert (mixed.recordings(Role.TRAIN), len(mixed.known)) == (1, 8)
    assert added(bank, storage, TRAIN=new).bank.hash == first.bank.hash


def test_bad_ones_choose_and_get_held_out_ones_to_be_held_against(
    bank: ClipBank, storage: Storage, tmp_path: Path
) -> None:
    grown = added(bank, storage, SELECT=record(tmp_path / "bad", 30), HELD_OUT=record(tmp_path / "well", 31))
    table = grown.bank.table
    select, was_held_out = table.having(Role.SELECT), bank.table.having(Role.HELD_OUT)
    assert sorted(table.label[select].tolist()) == [NORMAL, NORMAL, ANOMALY, ANOMALY]
    assert len(table.having(Role.HELD_OUT)) == len(was_held_out) + 2 - 2
    assert np.array_equal(table.having(Role.TRAIN), bank.table.having(Role.TRAIN))
    tested = recording_names(table.attributes)[select][table.label[select] == NORMAL]
    assert len(set(tested.tolist())) == 1  # a whole recording
    assert not set(tested) & set(recording_names(table.attributes[table.having(Role.HELD_OUT)]))
    more = added(grown.bank, storage, SELECT=record(tmp_path / "more", 32))  # there are healthy ones by now
    assert (more.bank.table.label[more.bank.table.having(Role.SELECT)] == NORMAL).sum() == 2


def test_one_that_is_called_bad_teaches_no_more(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    grown = added(bank, storage, SELECT=record(tmp_path / "said", 3))
    assert grown.relabelled == ("take 3.wav",)
    table, names = grown.bank.table, recording_names(grown.bank.table.attributes)
    assert len(table) == 16
    assert "recording=take 3.wav" not in names
    assert set(table.label[names == "recording=bad: take 3.wav"].tolist()) == {ANOMALY}
    back = added(grown.bank, storage, HELD_OUT=tmp_path / "said")
    assert back.relabelled == ("take 3.wav",)
    assert set(back.bank.table.label.tolist()) == {NORMAL}


def test_same_names_are_other_recordings(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    record(tmp_path / "new", 50)
    (tmp_path / "new" / "take 50.wav").rename(tmp_path / "new" / "take 0.wav")
    table = added(bank, storage, TRAIN=tmp_path / "new").bank.table
    names = recording_names(table.attributes)
    assert not set(names[:16]) & set(names[16:])


def test_sections_are_not_guessed(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    section = bank.table.section.copy()
    section[0] = 1
    several = ClipBank(bank.table.with_columns(section=section), bank.samples, bank.offsets, bank.hash)
    with pytest.raises(UsageError, match="pump: its recordings tell sections or domains apart"):
        added(several, storage, TRAIN=record(tmp_path / "new", 10))


def test_nothing_to_hold_bad_ones_against(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    roles = ["held_out"] + ["train"] * 15
    lone = ClipBank(bank.table.with_columns(role=roles), bank.samples, bank.offsets, bank.hash)
    with pytest.raises(UsageError, match="too little healthy sound that trained nothing"):
        added(lone, storage, SELECT=record(tmp_path / "bad", 30))
