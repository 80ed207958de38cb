"""Any folder of recordings becomes a data set: everything in it is used, once, and on one side."""

import hashlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError
from humtune.sounds import importing
from humtune.sounds.bank import load_banks
from humtune.sounds.classes import class_labels
from humtune.sounds.importing import import_folder, read_record
from humtune.sounds.loose import bounds
from humtune.sounds.pieces import day_of
from humtune.sounds.sound_file import read_recording
from humtune.sounds.table import ANOMALY, NORMAL, ClipTable
from humtune.storage import Storage

Run = Callable[..., tuple[int, str, str]]


def record(path: Path, seconds: float = 3.0, *, seed: int | None = None, rate: int = 8000, channels: int = 1):
    """Noise under any name, in the format that its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = int(hashlib.sha256(path.name.encode()).hexdigest()[:8], 16) if seed is None else seed
    noise = 0.1 * np.random.default_rng(number).standard_normal((round(seconds * rate), channels))
    soundfile.write(path, noise, rate)


@pytest.fixture
def pump(tmp_path: Path) -> Path:
    """Eight healthy recordings, at two depths."""
    for i in range(8):
        record(tmp_path / "pump" / ("deep/er" if i % 2 else "") / f"take {i}.wav", 20.0)
    return tmp_path / "pump"


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    record(tmp_path / "bad" / "take 1.wav", 21.0, seed=1)
    return tmp_path / "bad"


def table_of(data: Path, tmp_path: Path, machine: str = "pump") -> ClipTable:
    return load_banks(data, Storage(tmp_path / "runs"))[machine].table


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def recording_of(table: ClipTable) -> np.ndarray:
    return np.array([text.split("recording=")[1].split(",")[0] for text in table.attributes])


@pytest.mark.parametrize(
    ("seconds", "windows"), [(2, [2]), (14.9, [14.9]), (15, [7.5] * 2), (60, [10] * 6), (64, [64 / 6] * 6)]
)
def test_windows_are_equal_and_leave_nothing_out(seconds: float, windows: list[float]) -> None:
    cut = bounds(round(seconds * SAMPLE_RATE))
    assert [(end - begin) / SAMPLE_RATE for begin, end in cut] == pytest.approx(windows, abs=1e-4)
    assert cut[0][0] == 0
    assert cut[-1][1] == round(seconds * SAMPLE_RATE)
    assert all(one[1] == two[0] for one, two in pairwise(cut))


def test_any_format_rate_and_number_of_channels(tmp_path: Path) -> None:
    for i, (name, rate) in enumerate(
        [("a.wav", 8000), ("b.flac", 44_100), ("c.ogg", 48_000), ("d.mp3", 22_050)]
    ):
        record(tmp_path / "mixed" / name, 24.0, rate=rate, channels=1 + i % 2)
    record(tmp_path / "mixed" / "e.WAV", 4.0)
    imported = import_folder(tmp_path / "mixed", tmp_path / "data")
    assert (imported.machine, imported.record.recordings("train")) == ("mixed", 5)
    bank = load_banks(imported.data, Storage(tmp_path / "runs"))["mixed"]
    names = recording_of(bank.table)
    for path in (tmp_path / "mixed").iterdir():
        windows = [bank.clip(i) for i in np.flatnonzero(names == path.name)]
        whole = read_recording(path).samples
        assert len(windows) == (1 if path.suffix == ".WAV" else 2)
        assert np.array_equal(np.concatenate(windows), whole)
    notes = " ".join(imported.record.notes)
    assert "2 recordings (b.flac, d.mp3): mixed down from 2 channels" in notes
    assert "compressed (mp3)" in notes


def test_one_channel_is_read_alone(tmp_path: Path) -> None:
    for i in range(5):
        record(tmp_path / "pump" / f"{i}.wav", channels=2)
    import_folder(tmp_path / "pump", tmp_path / "data", channel=2)
    bank = load_banks(tmp_path / "data", Storage(tmp_path / "runs"))["pump"]
    assert np.array_equal(bank.clip(0), read_recording(tmp_path / "pump" / "0.wav", channel=2).samples)


def test_without_bad_ones_everything_is_to_learn_from(pump: Path, tmp_path: Path) -> None:
    imported = import_folder(pump, tmp_path / "data")
    assert imported.record.windows("train") == 16
    assert not (tmp_path / "data" / "dev_data" / "pump" / "test").exists()


def test_no_recording_is_on_both_sides(pump: Path, bad: Path, tmp_path: Path) -> None:
    import_folder(pump, tmp_path / "data", bad=bad)
    table = table_of(tmp_path / "data", tmp_path)
    names = recording_of(table)
    test = table.split == "test"
    assert np.count_nonzero(test & (table.label == ANOMALY)) == 2
    assert np.count_nonzero(test & (table.label == NORMAL)) == 2  # as many, of one recording
    assert not set(names[test]) & set(names[~test])
    assert len(set(names)) == 9


def test_bad_ones_may_lie_among_the_healthy(pump: Path, tmp_path: Path) -> None:
    record(pump / "broken" / "x.wav", 20.0)
    imported = import_folder(pump, tmp_path / "data", bad=pump / "broken")
    assert imported.record.recordings("train", "normal") == 8
    assert imported.record.recordings("anomaly") == 1


def test_the_same_files_give_the_same_data_set(pump: Path, bad: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        assert import_folder(pump, tmp_path / out, bad=bad).is_new
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    assert not import_folder(pump, tmp_path / "one", bad=bad).is_new
    assert one == contents(tmp_path / "one")


def test_new_recordings_leave_the_others_on_their_sides(pump: Path, bad: Path, tmp_path: Path) -> None:
    def sides() -> dict[str, str]:
        table = table_of(tmp_path / "data", tmp_path)
        return dict(zip(recording_of(table).tolist(), table.split.tolist(), strict=True))

    import_folder(pump, tmp_path / "data", bad=bad)
    before = sides()
    for i in range(6):
        record(pump / f"new {i}.wav", 20.0)
    record(bad / "take 2.wav", 40.0, seed=2)
    assert import_folder(pump, tmp_path / "data", bad=bad).is_new
    after = sides()
    assert before.items() <= after.items()
    assert len(after) == len(before) + 7
    assert list(after.values()).count("test") > list(before.values()).count("test") + 1


def test_healthy_ones_are_tested_once_there_are_bad_ones(pump: Path, bad: Path, tmp_path: Path) -> None:
    import_folder(pump, tmp_path / "data")
    assert import_folder(pump, tmp_path / "data", bad=bad).record.recordings("normal") == 1


def parts_of(data: Path, machine: str = "pump") -> dict[str, str]:
    return {p.recording: p.part for p in read_record(data / "dev_data" / machine).pieces}


def test_where_the_tested_one_is_gone_a_known_one_is_tested(pump: Path, bad: Path, tmp_path: Path) -> None:
    first = import_folder(pump, tmp_path / "data", bad=bad).record
    (gone,) = (piece for piece in first.pieces if piece.part == "normal")
    (pump / gone.file).unlink()
    made = import_folder(pump, tmp_path / "data", bad=bad).record
    (tested,) = (piece for piece in made.pieces if piece.part == "normal")
    assert tested.sound != gone.sound
    assert f"{tested.recording}: tested now, trained with before" in made.notes
    assert made.windows("train") == 12


def test_where_only_tested_ones_are_left_one_is_trained_with(pump: Path, bad: Path, tmp_path: Path) -> None:
    record(bad / "take 2.wav", 40.0, seed=2)
    first = import_folder(pump, tmp_path / "data", bad=bad).record
    for piece in first.pieces:
        if piece.part == "train":
            (pump / piece.file).unlink()
    made = import_folder(pump, tmp_path / "data", bad=bad).record
    assert {piece.part for piece in made.pieces} == {"train", "normal", "anomaly"}
    assert any("trained with now, tested before" in note for note in made.notes)


@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 3), (4, 5), (4, 8)])
@pytest.mark.parametrize("name", ["take {}.wav", "2024-05-1{}.wav"])
def test_what_was_cut_into_blocks_stays_so(
    first: int, then: int, name: str, bad: Path, tmp_path: Path
) -> None:
    for i in range(first):
        record(tmp_path / "pump" / name.format(i), 60.0)
    import_folder(tmp_path / "pump", tmp_path / "data", bad=bad)
    before = parts_of(tmp_path / "data")
    assert "normal" in before.values()
    for i in range(first, then):
        record(tmp_path / "pump" / name.format(i), 60.0)
    made = import_folder(tmp_path / "pump", tmp_path / "data", bad=bad).record
    assert before.items() <= parts_of(tmp_path / "data").items()
    assert not any("before" in note for note in made.notes)


@pytest.mark.parametrize("long", range(8))
def test_no_more_than_a_third_is_tested(long: int, pump: Path, bad: Path, tmp_path: Path) -> None:
    [path] = pump.rglob(f"take {long}.wav")
    record(path, 200.0, seed=7)
    made = import_folder(pump, tmp_path / "data", bad=bad).record
    assert made.windows("normal") == 2


def test_where_all_are_long_the_smallest_is_tested(bad: Path, tmp_path: Path) -> None:
    for i, seconds in enumerate((40.0, 30.0)):
        record(tmp_path / "pump" / f"{i}.wav", seconds)
    made = import_folder(tmp_path / "pump", tmp_path / "data", bad=bad).record
    assert 1 <= made.windows("normal") <= 2


def test_a_long_recording_trains_with_its_first_part(tmp_path: Path, bad: Path) -> None:
    record(tmp_path / "pump" / "night.wav", 100.0)
    imported = import_folder(tmp_path / "pump", tmp_path / "data", bad=bad)
    parts = [(p.recording, p.part, p.windows) for p in imported.record.pieces if p.part != "anomaly"]
    assert parts == [
        *((f"night.wav {i}/5", "train", 2) for i in range(1, 5)),
        ("night.wav 5/5", "normal", 2),
    ]


def test_one_short_recording_is_too_little_to_compare_with(tmp_path: Path, bad: Path) -> None:
    record(tmp_path / "pump" / "a.wav")
    with pytest.raises(UsageError, match="the only healthy recording"):
        import_folder(tmp_path / "pump", tmp_path / "data", bad=bad)
    assert import_folder(tmp_path / "pump", tmp_path / "data").record.windows("train") == 1


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("2024-05-17 pump.wav", "2024-05-17"),
        ("rec_20240517_101500.m4a", "2024-05-17"),
        ("20240517101500.wav", "2024-05-17"),
        ("17.05.2024/a.wav", "2024-05-17"),
        ("monday_01.wav", ""),
        ("120240517.wav", ""),
        ("20241317.wav", ""),
    ],
)
def test_the_day_that_a_name_tells(name: str, day: str) -> None:
    assert day_of(name) == day


def test_the_recordings_of_a_day_stay_together(tmp_path: Path, bad: Path) -> None:
    for day in range(1, 7):
        for take in "ab":
            record(tmp_path / "pump" / f"2024-05-0{day}{take}.wav", seed=ord(take) * day)
    import_folder(tmp_path / "pump", tmp_path / "data", bad=bad)
    table = table_of(tmp_path / "data", tmp_path)
    names = recording_of(table)
    healthy = table.label == NORMAL
    assert set(names[healthy]) == {f"2024-05-0{day}" for day in range(1, 7)}
    assert not set(names[healthy & (table.split == "test")]) & set(names[table.split == "train"])


def test_sub_folders_are_classes_and_recordings_are_not(tmp_path: Path) -> None:
    for load in ("full", "idle, cold"):
        for i in range(3):
            record(tmp_path / "pump" / load / f"{i}.wav", seed=hash((load, i)) % 1000)
    import_folder(tmp_path / "pump", tmp_path / "data")
    names, index = class_labels(table_of(tmp_path / "data", tmp_path), "attributes")
    assert names == ("folder=full", "folder=idle; cold")
    assert np.bincount(index).tolist() == [3, 3]


def test_without_sub_folders_there_are_no_classes(pump: Path, tmp_path: Path) -> None:
    for path in [*pump.rglob("deep/er/*")]:
        path.rename(pump / path.name)
    import_folder(pump, tmp_path / "data")
    with pytest.raises(UsageError, match="only one class"):
        class_labels(table_of(tmp_path / "data", tmp_path), "attributes")


def test_what_cannot_be_used_is_named_and_the_rest_taken(pump: Path, tmp_path: Path, humtune: Run) -> None:
    (pump / "text.wav").write_text("no sound at all, but longer than a header")
    (pump / ".hidden.wav").write_text("")
    (pump / "notes.txt").write_text("")
    (pump / "empty.mp3").touch()
    (pump / "gone.wav").symlink_to(pump / "nowhere.wav")
    soundfile.write(pump / "silent.wav", np.zeros(50_000), 8000)
    soundfile.write(pump / "loud.wav", np.clip(np.random.default_rng(0).standard_normal(50_000), -1, 1), 8000)
    record(pump / "short.wav", 1.0)
    (pump / "twin.wav").write_bytes((pump / "take 0.wav").read_bytes())
    code, out, err = humtune("data", "import", pump, "--out", tmp_path / "data")
    assert code == 0, err
    left = sorted(line.partition(": ")[2] for line in err.splitlines() if line.startswith("left out"))
    assert [line.removeprefix(f"{pump}/").partition(":")[0] for line in left] == [
        "empty.mp3", "gone.wav", "short.wav", "silent.wav", "text.wav", "twin.wav"
    ]  # fmt: skip
    assert "1.0 s long, and 2 s are needed" in err
    assert "twin.wav: the same sound as take 0.wav" in err
    assert "1 recording (loud.wav): clipped" in out
    assert "to learn from: 9 recordings, 3 min, in 17 windows" in out


def test_nothing_usable_is_a_failure_that_leaves_nothing(tmp_path: Path, humtune: Run) -> None:
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "a.wav").write_text("text")
    code, _, err = humtune("data", "import", tmp_path / "pump", "--out", tmp_path / "data")
    assert code == 1
    assert f"{tmp_path / 'pump'}: no recording that can be used; {tmp_path / 'pump' / 'a.wav'}: can't" in err
    assert [p.name for p in (tmp_path / "data").rglob("*")] == ["dev_data"]


def test_an_import_is_whole_or_not_there(pump: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_folder(pump, tmp_path / "data")
    before = contents(tmp_path / "data")
    record(pump / "new.wav")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "replace_folder", die)
    with pytest.raises(KeyboardInterrupt):
        import_folder(pump, tmp_path / "data")
    assert contents(tmp_path / "data") == before


def test_two_machines_share_a_data_set(pump: Path, tmp_path: Path) -> None:
    for i in range(5):
        record(tmp_path / "fan" / f"{i}.wav")
    import_folder(pump, tmp_path / "data")
    import_folder(tmp_path / "fan", tmp_path / "data", machine="big fan")
    assert set(load_banks(tmp_path / "data", Storage(tmp_path / "runs"))) == {"pump", "big fan"}


def test_no_other_folder_is_written_over(pump: Path, bad: Path, tmp_path: Path) -> None:
    import_folder(pump, tmp_path / "data")
    with pytest.raises(UsageError, match=r"holds the recordings of .*pump; choose another --machine"):
        import_folder(bad, tmp_path / "data", machine="pump")
    (tmp_path / "other" / "dev_data" / "pump" / "train").mkdir(parents=True)
    with pytest.raises(UsageError, match="no import made it"):
        import_folder(pump, tmp_path / "other")


def test_a_data_set_in_its_own_folder_is_no_recording(pump: Path) -> None:
    import_folder(pump, pump / "data")
    assert not import_folder(pump, pump / "data").is_new


def test_a_data_set_may_lie_around_the_recordings(pump: Path, bad: Path, tmp_path: Path) -> None:
    for out in (tmp_path, pump):
        made = import_folder(pump, out, bad=bad)
        assert made.record.recordings("train", "normal") == 8
        assert not import_folder(pump, out, bad=bad).is_new


def test_a_data_set_is_not_made_of_itself(pump: Path, tmp_path: Path) -> None:
    import_folder(pump, tmp_path)
    with pytest.raises(UsageError, match=r"train: lies in the data set .* that it goes to"):
        import_folder(tmp_path / "dev_data" / "pump" / "train", tmp_path, machine="again")


def test_anomalies_are_not_called_healthy(pump: Path, bad: Path, tmp_path: Path) -> None:
    record(pump / "section_00_source_test_anomaly_0000.wav")
    with pytest.raises(UsageError, match="anomalies by their names"):
        import_folder(pump, tmp_path / "data")
    (pump / "section_00_source_test_anomaly_0000.wav").unlink()
    (bad / "again.wav").write_bytes((pump / "take 0.wav").read_bytes())
    with pytest.raises(UsageError, match=r"the same sound as .*take 0\.wav, and only one of them"):
        import_folder(pump, tmp_path / "data", bad=bad)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere", "--out", "data"], "nowhere: no such folder"),
        (["pump", "--out", "data", "--window", "0.5"], "--window 0.5: it should be 2 to 60 s"),
        (["pump", "--out", "data", "--machine", ".x"], "begins with a dot"),
        (["pump", "--out", "data", "--bad", "empty"], "empty: no sound files in it"),
        (
            ["pump", "--out", "data", "--bad", "pump"],
            "--bad pump: the healthy recordings lie there; move the bad",
        ),
        (["pump", "--out", "data", "--bad", "."], "--bad .: the healthy recordings lie there"),
        (["pump/take 0.wav", "--out", "data"], "a file; name the folder that it lies in"),
    ],
)
def test_wrong_words(words: list[str], told: str, pump: Path, tmp_path: Path, humtune: Run) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = humtune("data", "import", *words)
    assert code == 2
    assert told in err
