"""What lies where: read, or told in a sentence, and by `data check` and a search alike."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from humtune.errors import UsageError
from humtune.sounds.bank import load_banks
from humtune.sounds.check import CheckReport, check_dataset
from humtune.sounds.dcase import find_dataset
from humtune.sounds.survey import survey
from humtune.sounds.table import ANOMALY, NORMAL, TARGET
from humtune.storage import Storage

TRAIN = "section_00_source_train_normal_0000_a_1"
MORE = [
    f"fan/train/section_00_{d}_train_normal_{i:04d}_a_1.wav" for d in ("source", "target") for i in (0, 1)
]
TEST = [
    f"fan/test/section_00_{d}_test_{y}_0000_a_1.wav"
    for d in ("source", "target")
    for y in ("normal", "anomaly")
]
FAN = [*MORE, *TEST]
FILES = {"wav": "WAV", "flac": "FLAC", "WAV": "WAV"}


def put(folder: Path, *names: str) -> None:
    """Write 0.2 s of noise a name, each of its own; other suffixes get a few bytes."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind := FILES.get(name.rpartition(".")[2]):
            wave = np.random.default_rng(list(name.encode())).normal(0, 0.1, 3_200)
            soundfile.write(path, wave, 16_000, format=kind, subtype="PCM_16")
        else:
            path.write_text("something")


def below(top: str, names: list[str]) -> list[str]:
    return [f"{top}/{name}" for name in names]


@dataclass(frozen=True)
class Layout:
    """Files, what has to be said of them, and how many clips are read."""

    files: list[str]
    bad: str = ""  # a pattern of what both commands say; empty: none is bad
    note: str = ""  # a pattern of what is said beside the counts
    clips: int | None = None
    change: Callable[[Path], object] = field(default=lambda data: None)
    machines: tuple[str, ...] | None = None


SPOKEN = [name.replace("fan/", "Fan/", 1) for name in FAN]
LAYOUTS = {
    "as it should be": Layout(FAN, clips=8),
    "capitals in the names of splits": Layout(
        [n.replace("/train/", "/Train/").replace("/test/", "/TEST/") for n in FAN], clips=8
    ),
    "one split in two spellings": Layout(
        [MORE[0], *(n.replace("/train/", "/Train/") for n in MORE[1:]), *TEST], clips=8
    ),
    "capitals in the names of parts": Layout(
        [*below("Dev_Data", FAN), *below("EVAL_DATA", [n.replace("section_00", "section_03") for n in FAN])],
        clips=16,
    ),
    "capitals in suffixes": Layout([n.replace(".wav", ".WAV") for n in FAN], clips=8),
    "a level called raw": Layout(
        [
            *below("dev_data/raw", FAN),
            *below("eval_data/raw", [n.replace("section_00", "section_03") for n in FAN]),
        ],
        clips=16,
    ),
    "data sets of one year below": Layout(below("data/dcase2023t2/dev_data/raw", FAN), clips=8),
    "names that end with _": Layout([n.replace("_a_1.wav", "_.wav") for n in FAN], clips=8),
    "names of 2021": Layout(
        [*MORE, *(f"fan/{d}_test/section_00_{d}_test_0000.wav" for d in ("source", "target"))], clips=6
    ),
    "names of 2020": Layout(
        [f"fan/{s}/normal_id_0{i}_00000000.wav" for s in ("train", "test") for i in (0, 2)], clips=4
    ),
    "recordings in a machine's folder": Layout(
        [*FAN, "fan/x.wav"],
        r"fan: 1 recording not read; training clips belong in .*/fan/train, test clips in",
    ),
    "recordings below a split": Layout(
        [*FAN, f"fan/train/new/{TRAIN}.wav"],
        r"fan/train/new: 1 recording not read, .* move them up into .*/train",
    ),
    "recordings in a folder of another name": Layout(
        [*FAN, "fan/normal/x.wav", "fan/normal/y.flac"],
        r"fan/normal: 2 recordings not read; training clips belong",
    ),
    "machines in a part and in raw": Layout(
        [*below("dev_data", FAN), *(n.replace("fan/", "dev_data/raw/pump/") for n in FAN)],
        r"raw/pump/train: 4 recordings not read, .* too deep; move .*/pump into .*dev_data$",
    ),
    "a machine without a split": Layout(
        [*FAN, "pump/x.wav"], r"pump: 1 recording not read; training clips belong in .*/pump/train"
    ),
    "another machine without a split": Layout([*FAN, "pump/x.wav"], clips=8, machines=("fan",)),
    "recordings in the root": Layout(
        [*FAN, "x.wav"], r"1 recording in no machine's folder; they belong in <machine>/train"
    ),
    "recordings in a part": Layout(
        [*below("dev_data", FAN), "dev_data/x.wav"], r"dev_data: 1 recording in no machine's folder"
    ),
    "no machine at all": Layout(
        ["fan/x.wav"],
        r"no recordings found; expected .*; sound files lie in .*/fan: humtune learn .*/fan --out MODEL ",
    ),
    "a third root": Layout(
        [*below("dev_data", FAN), *below("old", FAN)],
        note=r"old: sound files in 2 folders left out; this data set is dev_data alone",
        clips=8,
    ),
    "recordings beside the parts": Layout(
        [*below("dev_data", FAN), "x.wav", "notes/y.mp3"], note=r"notes: 1 .mp3 file left out", clips=8
    ),
    "sound that isn't read": Layout(
        [*FAN, f"fan/train/{TRAIN}.mp3"], r"_a_1\.mp3: not a \.wav or \.flac file; convert it"
    ),
    "a split of sound that isn't read": Layout(
        [*MORE, "fan/test/x.m4a", "fan/test/y.ogg"],
        r"fan/test: 2 \.m4a files in it, none of them .*; convert them",
    ),
    "text among the recordings": Layout(
        [*FAN, "fan/train/readme.txt"], note=r"train: 1 file of no sound left out \(readme\.txt\)", clips=8
    ),
    "wav and flac of one clip": Layout(
        [*FAN, f"fan/train/{TRAIN}.flac"], rf"{TRAIN}\.wav: the same clip as {TRAIN}\.flac; delete one"
    ),
    "one number twice": Layout(
        [*FAN, "fan/train/section_00_source_train_normal_0000_a_2.wav"],
        r"_a_2\.wav: the same section, domain, label and index as .*_a_1\.wav; delete one, or",
    ),
    "a clip in two folders": Layout(
        [
            *MORE,
            *(f"fan/{f}/section_00_source_test_000{i}.wav" for f in ("test", "source_test") for i in (0, 1)),
        ],
        r"fan/test: 2 clips of the same numbers as in .*/fan/source_test .*; delete the one or the other",
    ),
    "a test clip's name in both parts": Layout(
        [*below("dev_data", FAN), *below("eval_data", TEST)],
        r"eval_data/fan/test: 4 clips of the same numbers as",
    ),
    "a name that says nothing": Layout(
        [*FAN, "fan/train/hello.wav"], r"hello\.wav: can't read the file's name"
    ),
    "renamed test clips": Layout(
        [
            *below("eval_data", MORE),
            *(f"eval_data/fan/test/section_00_000{i}.wav" for i in range(4)),
            *below("eval_data", [n.replace("/test/", "/test_rename/") for n in TEST]),
        ],
        note=r"eval_data/fan/test: 4 recordings left out: .*/test_rename holds the same clips",
        clips=8,
    ),
    "too few renamed test clips": Layout(
        [
            *MORE,
            *(f"fan/test/section_00_000{i}.wav" for i in range(4)),
            *(n.replace("/test/", "/test_rename/") for n in TEST[:3]),
        ],
        r"test_rename: 3 clips, while there are 4 to rename; rename again, or delete the folder",
    ),
    "renamed clips of 2024, without the split": Layout(
        [*MORE, "fan/test_rename/section_00_source_anomaly_0014_weight10_BckgA.wav"], clips=5
    ),
    "supplemental sounds": Layout(
        [*FAN, "fan/supplemental/section_00_machine_0001_.wav"],
        note=r"fan/supplemental: 1 recording left out: the machine or the noise alone",
        clips=8,
    ),
    "hidden files, and what a Mac leaves": Layout(
        [
            *FAN,
            "__MACOSX/fan/train/._x.wav",
            "__MACOSX/fan/train/x.wav",
            ".old/fan/x.wav",
            "fan/train/._y.wav",
        ],
        clips=8,
    ),
    "links that lead in a circle": Layout(
        FAN,
        clips=8,
        change=lambda data: [
            (data / "fan/again").symlink_to(data / "fan"),
            (data / "fan/all").symlink_to(data / "fan/train"),
        ],
    ),
    "links to folders": Layout(
        [
            *below("away/2022d", FAN),
            *below("away/2022e", [n.replace("section_00", "section_03") for n in FAN]),
        ],
        clips=16,
        change=lambda data: [
            shutil.move(data / "away", data.with_name("away")),
            (data / "dev_data").symlink_to(data.with_name("away") / "2022d"),
            (data / "eval_data").symlink_to(data.with_name("away") / "2022e"),
        ],
    ),
    "a link that leads nowhere": Layout(
        FAN,
        r"_0007\.wav: a link that leads nowhere; delete it",
        change=lambda data: (data / "fan/train/section_00_source_train_normal_0007.wav").symlink_to("gone"),
    ),
    "a folder of a file's name": Layout(
        FAN,
        r"_0007\.wav: can't be opened \(Is a directory\)",
        change=lambda data: (data / "fan/train/section_00_source_train_normal_0007.wav").mkdir(),
    ),
    "an empty file": Layout(
        FAN,
        r"_0007\.wav: an empty file",
        change=lambda data: (data / "fan/train/section_00_source_train_normal_0007.wav").touch(),
    ),
    "a machine without recordings": Layout(
        FAN,
        note=r"pump: no recordings in it",
        clips=8,
        change=lambda data: (data / "pump/train").mkdir(parents=True),
    ),
    "a machine with test clips only": Layout(
        [*FAN, "pump/test/section_00_0000.wav"],
        r"pump: no training clips; a search needs some in .*pump/train",
    ),
    "a machine with training clips only": Layout(
        MORE, note=r"no labelled test clips in dev_data; a search judges trials by pseudo-Ω", clips=4
    ),
    "one machine in two spellings": Layout(
        [*below("dev_data", FAN), *below("eval_data", SPOKEN)],
        r"dev_data/fan: one machine, spelt another way in .*eval_data/Fan; rename one",
    ),
    "one section in both parts": Layout(
        [*below("dev_data", FAN), *below("eval_data", MORE[2:])],
        note=r"section 00 is in dev_data and in eval_data",
        clips=10,
    ),
    "test clips of another section": Layout(
        [*FAN, "fan/test/section_01_0000.wav"],
        note=r"section 01 has test clips, but no training clips",
        clips=9,
    ),
    "no anomalies in a domain": Layout(
        FAN[:-1], note=r"section 00 target has no anomalous test clips, which Ω needs", clips=7
    ),
    "one section without attributes": Layout(
        [n.replace("_a_1", "_noAttribute") for n in FAN], note=r"one section and no attributes", clips=8
    ),
    "one section with the same attributes": Layout(
        FAN, note=r"one section and the same attributes: a classifier finds", clips=8
    ),
    "a table that is none": Layout(
        [*FAN, "fan/attributes_00.csv"], r"attributes_00\.csv: expected the header file_name"
    ),
    "truth that contradicts itself": Layout(
        FAN,
        r"test\.csv: line 2: section_00_0001\.wav is 0 here and 1 in an earlier row",
        change=lambda data: tell(data, "section_00_0001.wav,1\nsection_00_0001.wav,0\n"),
    ),
    "truth of clips that aren't there": Layout(
        [*FAN, "fan/test/section_00_0000.wav", "fan/test/section_00_0001.wav"],
        note=r"truth files name 1 clip that can't be found \(section_00_0009\)",
        clips=10,
        change=lambda data: tell(data, "section_00_0000.wav,1\nsection_00_0009.wav,0\n"),
    ),
    "a clip without its truth": Layout(
        [*FAN, "fan/test/section_00_0000.wav", "fan/test/section_00_0001.wav"],
        note=r"1 test clip without a row in the truth \(section_00_0001\.wav\)",
        clips=10,
        change=lambda data: tell(data, "section_00_0000.wav,1\n"),
    ),
    "a training clip among the test clips": Layout(
        FAN,
        note=r"byte for byte the training clip",
        clips=8,
        change=lambda data: shutil.copy(data / MORE[0], data / TEST[0]),
    ),
}


def tell(data: Path, text: str) -> None:
    (data / "ground_truth_data").mkdir()
    (data / "ground_truth_data" / "ground_truth_fan_section_00_test.csv").write_text(text)


def checked(data: Path) -> tuple[CheckReport | None, str]:
    """What `data check` finds, and all that it calls bad."""
    try:
        report = check_dataset(find_dataset(data))
    except UsageError as error:
        return None, str(error)
    return report, "\n".join(f"{path}: {reason}" for path, reason in report.bad)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_check_and_search_agree(tmp_path: Path, layout: Layout, caplog: pytest.LogCaptureFixture):
    data = tmp_path / "data"
    put(data, *layout.files)
    layout.change(data)
    report, bad = checked(data)
    try:
        banks, refused = load_banks(data, Storage(tmp_path / "runs"), layout.machines), ""
    except UsageError as error:
        banks, refused = {}, str(error)
    if layout.bad:
        assert re.search(layout.bad, bad, re.MULTILINE)
        assert re.search(layout.bad, refused, re.MULTILINE)
        return
    assert not refused
    assert sum(len(bank.table) for bank in banks.values()) == layout.clips
    assert report
    if layout.machines is None:
        assert not bad
        assert sum(report.counts.values()) == layout.clips
    assert re.search(layout.note, "\n".join(f"{path}: {reason}" for path, reason in report.notes))
    left_out = survey(find_dataset(data)).notes
    assert [record.getMessage() for record in caplog.records if record.name == "humtune.sounds.bank"] == [
        str(note) for note in left_out
    ]


def test_renamed_clips_bring_their_labels(tmp_path: Path):
    layout = LAYOUTS["renamed test clips"]
    put(tmp_path, *layout.files)
    test = [clip for clip in find_dataset(tmp_path).clips("fan") if clip.split == "test"]
    assert {(clip.part, clip.label) for clip in test} == {("eval", NORMAL), ("eval", ANOMALY)}


def test_where_truth_files_tell_the_labels_the_challenges_names_stay(tmp_path: Path):
    put(tmp_path, *LAYOUTS["renamed test clips"].files)
    tell(tmp_path, "".join(f"section_00_000{i}.wav,{i % 2}\n" for i in range(4)))
    test = [clip for clip in find_dataset(tmp_path).clips("fan") if clip.split == "test"]
    assert [(clip.path.name, clip.label) for clip in test] == [
        (f"section_00_000{i}.wav", i % 2) for i in range(4)
    ]


def test_linked_parts_are_told_apart_by_the_links_names(tmp_path: Path):
    layout = LAYOUTS["links to folders"]
    put(tmp_path / "data", *layout.files)
    layout.change(tmp_path / "data")
    clips = find_dataset(tmp_path / "data").clips("fan")
    assert {(clip.part, clip.section) for clip in clips} == {("dev", 0), ("eval", 3)}
    (tmp_path / "mine").symlink_to(tmp_path / "data" / "eval_data")
    assert {c.part for c in find_dataset(tmp_path / "mine").clips("fan")} == {"dev"}
    (tmp_path / "real" / "eval_data").mkdir(parents=True)
    put(tmp_path / "real" / "eval_data", *FAN)
    (tmp_path / "yours").symlink_to(tmp_path / "real" / "eval_data")
    assert {c.part for c in find_dataset(tmp_path / "yours").clips("fan")} == {"eval"}


def test_what_may_not_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path, *below("dev_data", FAN), "dev_data/fan/kept/x.txt", "lost+found/x.wav")
    scandir = os.scandir

    def refusing(folder: str):
        if Path(folder).name in ("kept", "lost+found"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr("humtune.sounds.folders.os.scandir", refusing)
    found = survey(find_dataset(tmp_path))
    (told,) = found.bad
    assert str(told).endswith("dev_data/fan/kept: can't be listed (Permission denied)")
    assert any("lost+found: can't be listed" in str(note) for note in found.notes)


def test_a_machine_that_is_not_asked_for_keeps_no_other_from_being_searched(tmp_path: Path):
    put(tmp_path, *FAN, *(n.replace("fan/", "pump/") for n in FAN), "pump/x.wav")
    found = survey(find_dataset(tmp_path), ("fan",))
    found.refuse(("fan",))
    with pytest.raises(UsageError, match="pump: 1 recording not read"):
        found.refuse(None)


def test_many_faults_are_counted(tmp_path: Path):
    put(tmp_path, *FAN, *(f"fan/train/x{i}.wav" for i in range(5)))
    with pytest.raises(UsageError, match=r"x2\.wav: .*; … 5 in all, humtune data check .* names them$"):
        survey(find_dataset(tmp_path)).refuse(None)


def test_real_recordings_have_nothing_bad(real_data: Path):
    for name in ("dcase2023", "dcase2023_smoke"):
        found = survey(find_dataset(real_data / name))
        assert found.bad == []
        assert found.notes == []
    clips = survey(find_dataset(real_data / "dcase2023")).clips["ToyCar"]
    assert sum(clip.domain == TARGET for clip in clips) == 60
