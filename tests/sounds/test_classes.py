import pytest

from humtune.errors import UsageError
from humtune.sounds.classes import class_attributes, class_labels
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
    for labels in ("attributes", "both"):
        with pytest.raises(UsageError, match=r"fan: .*no attributes.*labels: section"):
            class_labels(clips, labels)


def test_one_class_is_not_enough():
    clips = table([0, 0, 1], ["a=1", "a=2", "a=3"], ["train", "train", "select"])
    with pytest.raises(UsageError, match=r"only one class \(section_00\).*use attributes"):
        class_labels(clips, "section")
    alike = table([0, 1], ["a=1", "a=1"], ["train", "train"])
    with pytest.raises(UsageError, match=r"only one class \(a=1\).*use section or both"):
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
