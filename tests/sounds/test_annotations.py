"""Attribute tables as people save them: read right, or refused in a sentence."""

from pathlib import Path

import pytest

from humtune.errors import UsageError
from humtune.sounds.annotations import clip_key, read_attributes, read_truth

HEADER = "file_name,d1p,d1v,d2p,d2v\n"
CLIP = "section_00_source_train_normal_0000"


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
