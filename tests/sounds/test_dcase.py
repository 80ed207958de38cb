import shutil
from collections import Counter
from pathlib import Path

import pytest

from humtune.errors import UsageError
from humtune.sounds.clip import clip_key, read_attributes, read_truth
from humtune.sounds.dcase import find_dataset, find_datasets
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN


def test_dev_and_eval_are_one_data_set(dcase2022: Path):
    dataset = find_dataset(dcase2022)
    clips = dataset.clips("fan")
    assert dataset.machines == ("fan",)
    assert Counter((c.part, c.split, c.section) for c in clips) == {
        ("dev", "train", 0): 4,
        ("dev", "test", 0): 4,
        ("eval", "train", 3): 4,
        ("eval", "test", 3): 4,
    }
    assert clips == find_dataset(dcase2022).clips("fan")


@pytest.mark.parametrize("place", [".", "eval_data"])
def test_truth_is_found_beside_and_inside_the_roots(dcase2022: Path, place: str):
    for folder in ("ground_truth_data", "ground_truth_domain"):
        shutil.move(dcase2022 / folder, dcase2022 / place / folder)
    clips = find_dataset(dcase2022).clips("fan")
    test = [c for c in clips if (c.part, c.split) == ("eval", "test")]
    assert [c.label for c in test] == [NORMAL, ANOMALY, NORMAL, ANOMALY]
    assert [c.domain for c in test] == [SOURCE, SOURCE, TARGET, TARGET]


def test_truth_of_2021_is_a_file_per_domain(tmp_path: Path):
    for kind in ("ground_truth_data", "ground_truth_domain"):
        (tmp_path / kind).mkdir()
    for domain in ("source", "target"):
        path = tmp_path / "ground_truth_data" / f"ground_truth_fan_section_03_{domain}_test.csv"
        path.write_text(f"section_03_{domain}_test_0000.wav,0\nsection_03_{domain}_test_0001.wav,1\n")
    truth = read_truth([tmp_path], "label", "fan")
    names = [f"section_03_{d}_test_000{i}.wav" for d in ("source", "target") for i in (0, 1)]
    assert [truth[clip_key(name)] for name in names] == [0, 1, 0, 1]


def test_truth_beside_a_single_root_is_found(dcase2022: Path):
    dataset = find_dataset(dcase2022 / "eval_data")
    assert {c.part for c in dataset.clips("fan")} == {"eval"}
    assert ANOMALY in {c.label for c in dataset.clips("fan")}


def test_without_truth_labels_stay_unknown(dcase2022: Path):
    shutil.rmtree(dcase2022 / "ground_truth_data")
    test = [c for c in find_dataset(dcase2022).clips("fan") if (c.part, c.split) == ("eval", "test")]
    assert {c.label for c in test} == {UNKNOWN}
    assert {c.domain for c in test} == {SOURCE, TARGET}


def test_a_bad_line_of_truth_is_named(dcase2022: Path):
    path = dcase2022 / "ground_truth_data" / "ground_truth_fan_section_03_test.csv"
    path.write_text("section_03_0000.wav,0\nsection_03_0001.wav,anomaly\n")
    with pytest.raises(UsageError, match=r"_test\.csv, line 2: expected file,0 or file,1"):
        find_dataset(dcase2022).clips("fan")


def test_attributes_come_from_the_table_first(dcase2022: Path):
    table = dcase2022 / "dev_data" / "fan" / "attributes_00.csv"
    first = "section_00_source_train_normal_0000_m-n_W.wav"
    table.write_text(f"file_name,d1p,d1v,d2p,d2v\nfan/train/{first},m-n,W,spd,3\n")
    found = {c.path.name: c.attributes for c in find_dataset(dcase2022).clips("fan")}
    assert found[first] == "m-n=W,spd=3"
    assert found["section_00_target_train_normal_0000_m-n_X.wav"] == "m-n=X"
    assert found["section_03_0000.wav"] == ""


def test_a_table_without_its_header_is_named(tmp_path: Path):
    (tmp_path / "attributes_00.csv").write_text("a.wav,m-n,W\n")
    with pytest.raises(UsageError, match=r"attributes_00\.csv: expected the header"):
        read_attributes(tmp_path)


def test_keys_join_names_across_folders_and_years():
    assert (
        clip_key("fan/test/section_03_test_0000.wav") == clip_key("section_03_0000.flac") == "section_03_0000"
    )


def test_the_folders_of_2021_are_test_folders(tmp_path: Path, wav):
    wav(tmp_path / "fan" / "source_test" / "section_00_source_test_normal_0000.wav")
    wav(tmp_path / "fan" / "target_test" / "section_00_target_test_0000.wav")
    assert [c.split for c in find_dataset(tmp_path).clips("fan")] == ["test", "test"]


def test_several_data_sets_are_not_guessed_between(tmp_path: Path, wav):
    for name in ("one", "two"):
        wav(tmp_path / name / "fan" / "train" / "normal_id_00_00000000.wav")
    with pytest.raises(UsageError, match=r"2 data sets .*one.*two.*name one"):
        find_dataset(tmp_path)
    assert [dataset.path.name for dataset in find_datasets(tmp_path)] == ["one", "two"]


def test_a_single_root_below_is_taken(tmp_path: Path, wav):
    wav(tmp_path / "mine" / "fan" / "train" / "normal_id_00_00000000.wav")
    dataset = find_dataset(tmp_path)
    assert dataset.roots == (tmp_path / "mine",)
    assert {c.part for c in dataset.clips("fan")} == {"dev"}


def test_a_root_beside_the_parts_is_a_data_set_of_its_own(dcase2022: Path, wav):
    wav(dcase2022 / "old" / "pump" / "train" / "normal_id_00_00000000.wav")
    assert [d.machines for d in find_datasets(dcase2022)] == [("fan",), ("pump",)]
    assert find_dataset(dcase2022).machines == ("fan",)


def test_wrong_folders_are_told_apart(dcase2022: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="no such folder"):
        find_dataset(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"one machine; name the folder above it, .*dev_data"):
        find_dataset(dcase2022 / "dev_data" / "fan")
    (tmp_path / "bare").mkdir()
    for find in (find_dataset, find_datasets):
        with pytest.raises(UsageError, match=r"no recordings found; expected <machine>/train/\*\.wav"):
            find(tmp_path / "bare")


def test_an_unknown_machine_gets_the_list(dcase2022: Path):
    with pytest.raises(UsageError, match=r"no machine 'pump' in .*; there are: fan"):
        find_dataset(dcase2022).clips("pump")


def test_real_recordings_are_found(real_data: Path):
    clips = find_dataset(real_data / "dcase2023").clips("ToyCar")
    cells = Counter((c.split, c.domain, c.label) for c in clips)
    assert cells == {
        ("train", SOURCE, NORMAL): 210,
        ("train", TARGET, NORMAL): 10,
        ("test", SOURCE, NORMAL): 25,
        ("test", SOURCE, ANOMALY): 25,
        ("test", TARGET, NORMAL): 25,
        ("test", TARGET, ANOMALY): 25,
    }
    assert all(c.attributes.startswith("car=") and ",spd=" in c.attributes for c in clips)
    assert len(find_datasets(real_data)) == 2
