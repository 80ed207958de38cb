import contextlib
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from humtune.errors import UsageError
from humtune.sounds.clip import Clip, clip_key, join_attributes, read_attributes, read_truth
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN

sections = st.integers(0, 99)
indices = st.integers(0, 9999)
suffixes = st.sampled_from([".wav", ".flac", ".WAV"])
words = st.text(string.ascii_letters + string.digits + ".-", min_size=1, max_size=6).filter(
    "noAttribute".__ne__
)
tails = st.lists(st.tuples(words, words), max_size=4)
domains = st.sampled_from([("source", SOURCE), ("target", TARGET)])
labels = st.sampled_from([("normal", NORMAL), ("anomaly", ANOMALY)])

HEADER = "file_name,d1p,d1v,d2p,d2v\n"
CLIP = "section_00_source_train_normal_0000"


def parse(name: str, split: str = "test") -> Clip:
    return Clip.parse(Path("fan") / split / name, machine="fan", part="dev", split=split)  # type: ignore[arg-type]


@given(sections, domains, labels, indices, tails, suffixes)
def test_a_labelled_name_says_everything(section, domain, label, index, tail, suffix):
    ending = "".join(f"_{key}_{value}" for key, value in tail)
    clip = parse(f"section_{section:02d}_{domain[0]}_test_{label[0]}_{index:04d}{ending}{suffix}")
    assert (clip.section, clip.domain, clip.label, clip.index) == (section, domain[1], label[1], index)
    assert clip.attributes == ",".join(f"{key}={value}" for key, value in tail)


@given(sections, domains, indices, tails)
def test_a_training_name_is_normal(section, domain, index, tail):
    ending = "".join(f"_{key}_{value}" for key, value in tail)
    clip = parse(f"section_{section:02d}_{domain[0]}_train_normal_{index:04d}{ending}.wav", "train")
    assert (clip.section, clip.domain, clip.label, clip.index) == (section, domain[1], NORMAL, index)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("section_00_source_test_normal_0000_.wav", ""),
        ("section_00_source_test_normal_0000_car_B1_.wav", "car=B1"),
        ("section_00_source_test_normal_0000_car__spd_31V.wav", "spd=31V"),
        ("section_00_source_test_normal_0000_strength_1_ambient_.wav", "strength=1,ambient"),
        ("section_00_source_normal_0047_weight20_BckgF.wav", "weight20=BckgF"),
    ],
)
def test_names_as_later_years_write_them(name, attributes):
    clip = parse(name)
    assert (clip.section, clip.domain, clip.label, clip.attributes) == (0, SOURCE, NORMAL, attributes)


@given(sections, indices, st.sampled_from(["", "test_"]), suffixes)
def test_an_evaluation_name_keeps_its_label_back(section, index, split, suffix):
    clip = parse(f"section_{section:02d}_{split}{index:04d}{suffix}")
    assert (clip.section, clip.domain, clip.label, clip.index) == (section, UNKNOWN, UNKNOWN, index)


@given(sections, domains, indices)
def test_an_evaluation_name_of_2021_tells_its_domain(section, domain, index):
    clip = parse(f"section_{section:02d}_{domain[0]}_test_{index:04d}.wav")
    assert (clip.section, clip.domain, clip.label, clip.index) == (section, domain[1], UNKNOWN, index)


@given(sections, st.one_of(labels, st.none()), st.integers(0, 10**8 - 1), suffixes)
def test_a_name_of_2020_has_no_domain(section, label, index, suffix):
    clip = parse(f"{label[0] + '_' if label else ''}id_{section:02d}_{index:08d}{suffix}")
    assert (clip.section, clip.domain, clip.index, clip.attributes) == (section, UNKNOWN, index, "")
    assert clip.label == (label[1] if label else UNKNOWN)


@given(st.text(min_size=1).filter(lambda name: "/" not in name and "\0" not in name), st.booleans())
@example("section_٠٠_0000.wav", False)
@example("section_00_0000", False)
@example("section_00_source_test_normal_0000_.wav", False)
def test_garbage_is_a_usage_error_or_a_clip(name, train):
    with contextlib.suppress(UsageError):
        assert parse(name, "train" if train else "test").index >= 0


@pytest.mark.parametrize(
    ("name", "split", "reason"),
    [
        ("fan_0001.wav", "test", "section_SS_"),
        ("section_00_source_test_normal_0000.mp3", "test", ".wav or .flac"),
        ("section_00_source_test_normal_0000.wav", "train", "lies in a train folder"),
        ("section_00_source_train_normal_0000.wav", "test", "lies in a test folder"),
        ("section_00_0000.wav", "train", "carries its label"),
        ("section_00_source_train_anomaly_0000.wav", "train", "anomaly among the training clips"),
        ("anomaly_id_00_00000000.wav", "train", "anomaly among the training clips"),
    ],
)
def test_a_wrong_name_is_told_with_its_reason(name, split, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        parse(name, split)
    assert f"fan/{split}/{name}" in str(caught.value)


def test_no_attribute_means_none():
    assert parse("section_00_source_test_normal_0000_noAttribute.wav").attributes == ""
    assert join_attributes(["noAttribute", ""]) == ""
    assert join_attributes(["strength", "1", "ambient"]) == "strength=1,ambient"


def read(folder: Path, *tables: str | bytes) -> dict[str, str]:
    for i, table in enumerate(tables):
        data = table if isinstance(table, bytes) else table.encode()
        (folder / f"attributes_{i:02d}.csv").write_bytes(data)
    return read_attributes(folder)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (f"{HEADER}fan/train/{CLIP}.wav,spd,3,load,x\n", "spd=3,load=x"),
        (f"{HEADER}{CLIP}.wav,spd,,load,x\n", "load=x"),
        (f"{HEADER}{CLIP}.wav,spd,3,load,\n", "spd=3"),
        (f"{HEADER}{CLIP}.wav,,,load,x\n", "load=x"),
        (f"{HEADER}{CLIP}.wav,spd,3,load\n", "spd=3"),
        (f"{HEADER}{CLIP}.wav,spd,3\n", "spd=3"),
        (f"{HEADER}{CLIP}.wav\n", ""),
        (f"{HEADER}{CLIP}.wav,spd,3,load,x,,\n", "spd=3,load=x"),
        (f"{HEADER}{CLIP}.wav,spd,noAttribute,load,x\n", "load=x"),
        (f'{HEADER}"{CLIP}.wav","spd","3","load"," x "\n', "spd=3,load=x"),
        (f"\ufeff{HEADER}{CLIP}.wav,spd,3,load,x\n", "spd=3,load=x"),
        (f"{HEADER}\n{CLIP}.wav, spd , 3,,\n,,,,\n".replace("\n", "\r\n"), "spd=3"),
        (f"{HEADER}{CLIP}.wav,spd,3,load,x\n".replace(",", ";"), "spd=3,load=x"),
        (f"{HEADER}{CLIP}.wav,spd,0,5,load\n".replace(",", "\t"), "spd=0,5=load"),
        (f"File_Name,d1p,d1v\nfan\\train\\{CLIP}_.WAV,spd,3\n", "spd=3"),
        (f"{HEADER}{CLIP},spd,3,,\n", "spd=3"),
        (f"{HEADER}{CLIP}.wav,spd,3,,\n{CLIP}.flac,spd,3,,\n", "spd=3"),
    ],
)
def test_a_table_is_read_pair_by_pair(tmp_path: Path, table: str, expected: str):
    assert read(tmp_path, table) == {CLIP: expected}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([f"{HEADER}{CLIP}.wav,,3,load,x\n"], r"00\.csv, line 2: the value '3' has no name; fill in d1p$"),
        ([f"{HEADER}{CLIP}.wav,spd,3,load,x,y,z\n"], r"line 2: 7 cells, the header has 5; quote a cell with"),
        (
            [f"{HEADER}{CLIP}.wav,spd,3,,\n{CLIP}.wav,spd,4,,\n"],
            r"line 3: .*\.wav is 'spd=4' here and 'spd=3' in an earlier row; delete one of them$",
        ),
        (
            [f"{HEADER}{CLIP}.wav,spd,3,,\n", f"{HEADER}{CLIP}.wav,spd,4,,\n"],
            r"01\.csv, line 2: .* is 'spd=4'",
        ),
        (
            [f"{HEADER}{CLIP}.wav,spd,3\u00b5,,\n".encode("latin-1")],
            r"00\.csv: not UTF-8 text .* CSV in UTF-8$",
        ),
        ([HEADER.encode("utf-16")], r"00\.csv: not UTF-8 text"),
        ([f'{HEADER}"{CLIP}.wav,spd,3,,\n{CLIP}1.wav,spd,3,,\n'], r"00\.csv: can't be read as a table \("),
        ([""], r"00\.csv: expected the header file_name,d1p,d1v,…, found ''"),
        (["name,spd\n"], r"00\.csv: expected the header .*, found 'name,spd'"),
    ],
)
def test_what_can_not_be_read_is_one_sentence(tmp_path: Path, tables: list[str | bytes], message: str):
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, *tables)
    assert "\n" not in str(caught.value)


def test_capitals_and_characters_with_a_meaning_in_patterns(tmp_path: Path):
    (tmp_path / "Attributes_00.CSV").write_text(f"{HEADER}{CLIP}.wav,spd,3,,\n")
    assert read_attributes(tmp_path) == {CLIP: "spd=3"}
    (tmp_path / "ground_truth_data").mkdir()
    (tmp_path / "ground_truth_data" / "ground_truth_fan[1]_section_03_test.csv").write_text(
        "section_03_0000.wav; 1\n"
    )
    assert read_truth([tmp_path], "label", "fan[1]") == {"section_03_0000": 1}


def test_the_key_of_a_name_keeps_points_that_begin_no_suffix():
    assert clip_key("section_00_source_test_normal_0000_ac_0.08") == "section_00_source_normal_0000_ac_0.08"
    assert (
        clip_key("x/section_00_source_test_normal_0000_ac_0.08.WAV")
        == "section_00_source_normal_0000_ac_0.08"
    )
    assert clip_key("section_03_0000") == "section_03_0000"
