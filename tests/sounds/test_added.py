"""Recordings that come later take their place beside those there, which stay where they are."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from humtune.errors import UsageError
from humtune.sounds.added import Given, Grown, grow, import_window, reviewed
from humtune.sounds.bank import ClipBank, load_banks
from humtune.sounds.groups import recording_names
from humtune.sounds.importing import import_folder
from humtune.sounds.loose import find_loose
from humtune.sounds.table import ANOMALY, NORMAL, UNKNOWN, ClipTable, Role, assign_roles
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


def added(bank: ClipBank, storage: Storage, *, window: float = 10.0, **found: Path) -> Grown:
    """With the recordings of a folder for each thing that can be known of them."""
    labels = {Given.BAD: ANOMALY, Given.UNSURE: UNKNOWN}
    loose = {
        (given := Given[name]): [
            replace(loose, label=labels.get(given, NORMAL)) for loose in find_loose(folder)
        ]
        for name, folder in found.items()
    }
    return grow(bank, loose, storage, held_out=0.25, window=window)


def roles_of(table: ClipTable) -> dict[str, str]:
    return dict(zip(table.name.tolist(), table.role.tolist(), strict=True))


def test_what_is_there_stays_and_new_ones_are_on_one_side_by_recording(
    bank: ClipBank, storage: Storage, tmp_path: Path
) -> None:
    grown = added(bank, storage, NEW=record(tmp_path / "new", *range(10, 18)))
    table = grown.bank.table
    assert roles_of(table).items() >= roles_of(bank.table).items()
    assert len(table) == 16 + 16
    assert grown.recordings(Given.NEW) == 8
    assert grown.seconds(Given.NEW) == 160.0
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
    first = added(bank, storage, NEW=new)
    again = added(first.bank, storage, NEW=new)
    assert not again.is_new
    assert again.bank is first.bank
    assert sorted(again.known) == ["take 11.wav", "take 12.wav", "under another name.wav"]
    mixed = added(bank, storage, NEW=record(tmp_path / "pump", 20))  # the folder of old ones, and one more
    assert (mixed.recordings(Given.NEW), len(mixed.known)) == (1, 8)
    assert added(bank, storage, NEW=new).bank.hash == first.bank.hash


def test_bad_ones_choose_and_get_held_out_ones_to_be_held_against(
    bank: ClipBank, storage: Storage, tmp_path: Path
) -> None:
    grown = added(bank, storage, BAD=record(tmp_path / "bad", 30), HEALTHY=record(tmp_path / "well", 31))
    table = grown.bank.table
    select, was_held_out = table.having(Role.SELECT), bank.table.having(Role.HELD_OUT)
    assert sorted(table.label[select].tolist()) == [NORMAL, NORMAL, ANOMALY, ANOMALY]
    assert len(table.having(Role.HELD_OUT)) == len(was_held_out) - 2
    assert len(table.having(Role.TRAIN)) == len(bank.table.having(Role.TRAIN)) + 2
    tested = recording_names(table.attributes)[select][table.label[select] == NORMAL]
    assert len(set(tested.tolist())) == 1  # a whole recording
    assert not set(tested) & set(recording_names(table.attributes[table.having(Role.HELD_OUT)]))
    more = added(grown.bank, storage, BAD=record(tmp_path / "more", 32))  # there are healthy ones by now
    assert (more.bank.table.label[more.bank.table.having(Role.SELECT)] == NORMAL).sum() == 2


def test_one_that_is_called_bad_teaches_no_more(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    grown = added(bank, storage, BAD=record(tmp_path / "said", 3))
    assert grown.relabelled == ("take 3.wav",)
    table, names = grown.bank.table, recording_names(grown.bank.table.attributes)
    assert len(table) == 16
    assert "recording=take 3.wav" not in names
    assert set(table.label[names == "recording=bad: take 3.wav"].tolist()) == {ANOMALY}
    back = added(grown.bank, storage, HEALTHY=tmp_path / "said")
    assert back.relabelled == ("take 3.wav",)
    assert set(back.bank.table.label.tolist()) == {NORMAL}


def test_same_names_are_other_recordings(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    record(tmp_path / "new", 50)
    (tmp_path / "new" / "take 50.wav").rename(tmp_path / "new" / "take 0.wav")
    table = added(bank, storage, NEW=tmp_path / "new").bank.table
    names = recording_names(table.attributes)
    assert not set(names[:16]) & set(names[16:])


def test_sections_are_not_guessed(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    section = bank.table.section.copy()
    section[0] = 1
    several = ClipBank(bank.table.with_columns(section=section), bank.samples, bank.offsets, bank.hash)
    with pytest.raises(UsageError, match="pump: its recordings tell sections or domains apart"):
        added(several, storage, NEW=record(tmp_path / "new", 10))


def test_nothing_to_hold_bad_ones_against(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    roles = ["held_out"] + ["train"] * 15
    lone = ClipBank(bank.table.with_columns(role=roles), bank.samples, bank.offsets, bank.hash)
    with pytest.raises(UsageError, match="too little healthy sound that trained nothing"):
        added(lone, storage, BAD=record(tmp_path / "bad", 30))


def test_what_a_person_called_healthy_teaches_and_sets_no_limit(
    bank: ClipBank, storage: Storage, tmp_path: Path
) -> None:
    table = added(bank, storage, HEALTHY=record(tmp_path / "well", *range(40, 48))).bank.table
    assert Counter(table.role[16:].tolist()) == {"train": 16}
    assert reviewed(table).tolist() == [False] * 16 + [True] * 16


def test_one_of_which_nobody_is_sure_teaches_no_more(
    bank: ClipBank, storage: Storage, tmp_path: Path
) -> None:
    record(tmp_path / "said", 3, 60)  # one that is there, and one that isn't
    grown = added(bank, storage, UNSURE=tmp_path / "said")
    assert grown.is_new
    assert grown.relabelled == ("take 3.wav",)
    names = set(recording_names(grown.bank.table.attributes).tolist())
    assert names == {f"recording=take {i}.wav" for i in range(8) if i != 3}
    assert not added(grown.bank, storage, UNSURE=tmp_path / "said").is_new
    copied = record(tmp_path / "new", 60, 61)
    assert added(bank, storage, UNSURE=tmp_path / "said", NEW=copied).recordings(Given.NEW) == 1


def grow_file(folder: Path, seed: int, *, seconds: float) -> Path:
    """The recording of that seed, and some seconds more of it."""
    first, _ = soundfile.read(record(folder, seed) / f"take {seed}.wav", dtype="int16")
    more = np.random.default_rng(1000 + seed).integers(-3000, 3000, round(seconds * RATE), dtype="int16")
    soundfile.write(folder / f"take {seed}.wav", np.concatenate([first, more]), RATE)
    return folder


@pytest.mark.parametrize("given", [Given.NEW, Given.HEALTHY])
@pytest.mark.parametrize("seed", range(3))
def test_of_a_recording_that_went_on_what_is_new_joins_it(
    bank: ClipBank, storage: Storage, tmp_path: Path, seed: int, given: Given
) -> None:
    grown = added(bank, storage, **{given.name: grow_file(tmp_path / "longer", seed, seconds=10.0)})
    table = grown.bank.table
    assert len(table) == 17
    assert (grown.recordings(given), grown.seconds(given)) == (1, 10.0)
    of_it = table.take(recording_names(table.attributes) == f"recording=take {seed}.wav")
    assert len(of_it) == len(set(of_it.name.tolist())) == 3
    assert len(set(of_it.role.tolist())) == 1
    assert not reviewed(table).any()
    assert not added(grown.bank, storage, NEW=tmp_path / "longer").is_new


def test_a_recording_that_went_on_and_is_called_bad_is_bad_as_a_whole(
    bank: ClipBank, storage: Storage, tmp_path: Path
) -> None:
    grown = added(bank, storage, BAD=grow_file(tmp_path / "longer", 3, seconds=10.0))
    table = grown.bank.table
    assert grown.relabelled == ("take 3.wav",)
    assert Counter(table.label.tolist()) == {NORMAL: 14, ANOMALY: 3}


def test_windows_are_as_long_as_those_there(storage: Storage, tmp_path: Path) -> None:
    import_folder(record(tmp_path / "pump", *range(8)), tmp_path / "data", window=5.0)
    found = load_banks(tmp_path / "data", storage)["pump"]
    short = replace(found, table=assign_roles(found.table, held_out=0.25))
    window = import_window(tmp_path / "data", "pump")
    grown = added(short, storage, window=window, BAD=record(tmp_path / "said", 3))
    assert grown.relabelled == ("take 3.wav",)
    assert len(grown.bank.table) == len(short.table) == 32
    assert "recording=take 3.wav" not in recording_names(grown.bank.table.attributes)


def test_an_import_that_did_not_keep_its_window(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    for place, window in ((data, 10.0), (other, 5.0)):
        import_folder(record(tmp_path / "pump", *range(8)), place, window=window)
        path = place / "dev_data/pump/import.json"
        kept = json.loads(path.read_text())
        del kept["window"]
        path.write_text(json.dumps(kept))
    assert import_window(data, "pump") == 10.0
    with pytest.raises(UsageError, match=r"import.json: doesn't say how long its windows are; delete .*pump"):
        import_window(other, "pump")
    with pytest.raises(
        UsageError, match=r"fan/import.json: isn't there, so nothing says how new recordings are cut"
    ):
        import_window(data, "fan")


def test_all_called_bad(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pump: too little healthy sound"):
        added(bank, storage, BAD=record(tmp_path / "said", *range(8)))


def test_one_sound_of_two_labels_is_of_the_table(bank: ClipBank, storage: Storage, tmp_path: Path) -> None:
    loose = {
        given: [replace(one, label=label) for one in find_loose(record(tmp_path / given, 70))]
        for given, label in ((Given.HEALTHY, NORMAL), (Given.BAD, ANOMALY))
    }
    with pytest.raises(UsageError, match=r"take 70.wav: the same sound as .*; change its label in said.csv"):
        grow(bank, loose, storage, held_out=0.25, window=10.0, labels=Path("said.csv"))
