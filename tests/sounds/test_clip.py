import contextlib
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from humtune.errors import UsageError
from humtune.sounds.clip import Clip, join_attributes
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
