from dataclasses import replace

import numpy as np
import pytest

from humtune.errors import UsageError
from humtune.sounds.classes import class_attributes, class_index, class_labels
from humtune.sounds.joined import JoinedTable
from humtune.sounds.table import ClipTable


def table(sections: list[int], attributes: list[str], roles: list[str]) -> ClipTable:
    n = len(sections)
    return ClipTable.from_columns(
        machine="fan",
        name=[f"{i}.wav" for i in range(n)],
        part=["dev"] * n,
        split=["train" if role in ("train", "held_out") else "test" for role in roles],
        section=sections,
        domain=[0] * n,
        label=[0] * n,
        attributes=attributes,
        role=roles,
    )


@pytest.fixture
def clips() -> ClipTable:
    roles = ["train", "held_out", "train", "select", "select", "report"]
    return table([3, 0, 0, 3, 7, 0], ["a=2", "a=1", "a=2", "a=2", "a=9", ""], roles)


def test_sections_are_classes(clips: ClipTable):
    names, index = class_labels(clips, "section")
    assert names == ("section_00", "section_03")
    assert index.tolist() == [1, 0, 0, 1, -1, 0]


def test_attributes_are_classes(clips: ClipTable):
    names, index = class_labels(clips, "attributes")
    assert names == ("a=1", "a=2")
    assert index.tolist() == [1, 0, 1, 1, -1, -1]


def test_both_together_are_classes(clips: ClipTable):
    names, index = class_labels(clips, "both")
    assert names == ("section_00,a=1", "section_00,a=2", "section_03,a=2")
    assert index.tolist() == [2, 0, 1, 2, -1, -1]


def test_attributes_that_are_not_there_are_told():
    clips = table([0, 1], ["", ""], ["train", "train"])
    with pytest.raises(UsageError, match=r"fan: labels: attributes gives only one class \(none\).*use auto"):
        class_labels(clips, "attributes")


def test_unsaid_classes_are_sections_and_of_a_machine_with_one_its_attributes(clips: ClipTable):
    assert class_labels(clips, "auto")[0] == ("section_00", "section_03")
    one = table([0, 0, 1], ["a=1", "a=2", "a=3"], ["train", "train", "select"])
    names, index = class_labels(one, "auto")
    assert names == ("a=1", "a=2")
    assert index.tolist() == [0, 1, -1]
    assert class_index(one.take(np.array([1])), "auto", names).tolist() == [1]
    assert class_index(clips.take(np.array([0])), "auto", ("section_00", "section_03")).tolist() == [1]


def test_unsaid_classes_of_machines_joined_are_each_machines_own(clips: ClipTable):
    one = replace(table([0, 0], ["a=1", "a=2"], ["train", "train"]), machine="valve")
    joined = JoinedTable(
        machine="shared",
        machines=np.array(["fan"] * len(clips) + ["valve"] * len(one)),
        **{c: np.concatenate([getattr(clips, c), getattr(one, c)]) for c in vars(one) if c != "machine"},
    )
    names, index = class_labels(joined, "auto")
    assert names == ("fan/section_00", "fan/section_03", "valve/a=1", "valve/a=2")
    assert index.tolist() == [1, 0, 0, 1, -1, 0, 2, 3]
    assert class_index(one, "auto", names).tolist() == [2, 3]


def test_where_no_kind_of_class_is_enough_families_that_need_none_are_named():
    for labels in ("auto", "section", "attributes"):
        with pytest.raises(UsageError, match="search a family that needs no classes"):
            class_labels(table([0, 0], ["", ""], ["train", "train"]), labels)


def test_one_class_is_not_enough():
    clips = table([0, 0, 1], ["a=1", "a=2", "a=3"], ["train", "train", "select"])
    with pytest.raises(UsageError, match=r"only one class \(section_00\).*use auto"):
        class_labels(clips, "section")
    alike = table([0, 1], ["a=1", "a=1"], ["train", "train"])
    with pytest.raises(UsageError, match=r"only one class \(a=1\).*use auto"):
        class_labels(alike, "attributes")


def test_no_training_clips_is_told():
    with pytest.raises(UsageError, match=r"fan: .*no class"):
        class_labels(table([0], [""], ["select"]), "section")


def test_attributes_are_found_in_the_names_of_classes():
    names, has = class_attributes(
        ["section_00,car=A1,spd=28V", "section_01,car=B1,spd=28V", "section_02,none"]
    )
    assert names == ("car=A1", "car=B1", "spd=28V")
    assert has.tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]


def test_attributes_of_two_machines_are_two_and_a_slash_in_a_value_is_no_machine():
    names, has = class_attributes(["fan/load=1", "valve/load=1,v=2"])
    assert names == ("fan/load=1", "valve/load=1", "valve/v=2")
    assert has.tolist() == [[1, 0, 0], [0, 1, 1]]
    assert class_attributes(["rate=1/2,car=A"])[0] == ("car=A", "rate=1/2")


def test_sections_have_no_attributes():
    names, has = class_attributes(["section_00", "fan/section_01"])
    assert names == ()
    assert has.shape == (2, 0)
