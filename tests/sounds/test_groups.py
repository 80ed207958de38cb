import numpy as np

from humtune.sounds.groups import (
    draw_units,
    group_names,
    recording_names,
    split_units,
    without_recording,
)

ATTRIBUTES = ["recording=monday,folder=slow", "folder=slow", "", "recording=tuesday", "prerecording=1"]


def test_the_recording_is_told_from_the_other_attributes():
    assert recording_names(ATTRIBUTES).tolist() == ["recording=monday", "", "", "recording=tuesday", ""]
    assert without_recording(ATTRIBUTES).tolist() == ["folder=slow", "folder=slow", "", "", "prerecording=1"]


def test_what_is_drawn_as_one_is_a_recording_or_a_clip():
    assert draw_units(["r=b", "", "r=a", "r=b", ""]).tolist() == [3, 0, 2, 3, 1]
    assert draw_units(["r=b"] * 3).tolist() == [0, 0, 0]
    assert draw_units([""] * 12).tolist() == list(range(12))


def test_a_single_recording_is_split_by_clips():
    assert split_units(["r=b"] * 3).tolist() == [0, 1, 2]
    assert split_units(["r=b", "r=b", ""]).tolist() == draw_units(["r=b", "r=b", ""]).tolist()


def groups(attributes, section=None, domain=None) -> list[str]:
    zeros = np.zeros(len(attributes), dtype=int)
    columns = (zeros if column is None else np.array(column) for column in (section, domain))
    return group_names(attributes, *columns).tolist()


def test_a_group_is_a_recording_else_a_condition_else_a_clip():
    conditions = [f"speed={i}" for i in range(5)]
    assert groups(["recording=a,speed=1", "recording=a", *conditions, ""]) == [
        "recording=a",
        "recording=a",
        *[f"section_00,speed={i}" for i in range(5)],
        "clip 7",
    ]


def test_few_conditions_are_none():
    assert groups(["speed=1", "speed=1", "speed=2"]) == ["clip 0", "clip 1", "clip 2"]


def test_conditions_are_a_sections_and_count_in_each_domain():
    five = [f"speed={i}" for i in range(5)]
    names = groups([*five, "speed=0", "speed=0"], section=[0] * 5 + [1, 0], domain=[0] * 6 + [1])
    assert names[5:] == ["section_01,speed=0", "clip 6"]
