from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humtune.sounds.roles import assign_roles
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN, ClipTable, Role

Row = tuple[str, str, int, int, int, str]  # part, split, section, domain, label, attributes


def table(rows: list[Row]) -> ClipTable:
    part, split, section, domain, label, attributes = zip(*rows, strict=True)
    return ClipTable.from_columns(
        machine="fan",
        name=[f"{i:05d}.wav" for i in range(len(rows))],
        part=part,
        split=split,
        section=section,
        domain=domain,
        label=label,
        attributes=attributes,
        role=[""] * len(rows),
    )


def train(count: int, section: int = 0, domain: int = SOURCE, attributes: str = "") -> list[Row]:
    return [("dev", "train", section, domain, NORMAL, attributes)] * count


def held(clips: ClipTable) -> Counter:
    chosen = clips.take(clips.having(Role.HELD_OUT))
    return Counter(
        zip(chosen.section.tolist(), chosen.domain.tolist(), chosen.attributes.tolist(), strict=True)
    )


def test_a_tenth_of_each_section_and_domain_is_held_out_evenly_over_attributes():
    clips = table(
        train(600, 0, SOURCE, "spd=1")
        + train(390, 0, SOURCE, "spd=2")
        + train(10, 0, TARGET, "spd=3")
        + train(400, 1, SOURCE)
        + train(10, 1, TARGET)
    )
    count = held(assign_roles(clips))
    assert count[0, SOURCE, "spd=1"] + count[0, SOURCE, "spd=2"] == 99
    assert abs(count[0, SOURCE, "spd=1"] - 60) <= 1
    assert (count[0, TARGET, "spd=3"], count[1, SOURCE, ""], count[1, TARGET, ""]) == (1, 40, 1)


@pytest.mark.parametrize("sizes", [[1] * 10, [2, 2, 6], [9, 1], [1, 1]])
def test_small_strata_still_give_a_tenth(sizes: list[int]):
    rows = [row for i, size in enumerate(sizes) for row in train(size, 0, TARGET, f"a={i}")]
    roles = assign_roles(table(rows))
    assert sum(held(roles).values()) == 1
    kept = roles.take(roles.having(Role.TRAIN))
    wide = {f"a={i}" for i, size in enumerate(sizes) if size > 1}
    assert wide <= set(kept.attributes)


def test_a_single_clip_is_trained_on():
    assert assign_roles(table(train(1))).role.tolist() == ["train"]


def test_labelled_dev_clips_select_and_the_others_are_reported():
    rows: list[Row] = [
        ("dev", "test", 0, SOURCE, ANOMALY, ""),
        ("dev", "test", 0, UNKNOWN, NORMAL, ""),
        ("dev", "test", 0, SOURCE, UNKNOWN, ""),
        ("eval", "test", 3, SOURCE, ANOMALY, ""),
        ("eval", "test", 3, UNKNOWN, UNKNOWN, ""),
    ]
    assert assign_roles(table(rows)).role.tolist() == ["select", "select", "report", "report", "report"]


def test_roles_do_not_depend_on_order_or_on_other_sections():
    rows = train(50, 0, SOURCE, "a=1") + train(50, 0, SOURCE, "a=2") + train(20, 1)
    clips = table(rows)
    first = assign_roles(clips)
    order = np.random.default_rng(1).permutation(len(clips))
    shuffled = assign_roles(clips.take(order))
    np.testing.assert_array_equal(shuffled.role, first.role[order])
    np.testing.assert_array_equal(assign_roles(clips.take(np.arange(100))).role, first.role[:100])
    np.testing.assert_array_equal(assign_roles(first).role, first.role)
    assert not np.array_equal(assign_roles(clips, seed=1).role, first.role)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 1), st.integers(0, 4)), min_size=1),
    st.floats(0, 0.9),
)
def test_every_cell_keeps_clips_to_train_on(cells, share):
    roles = assign_roles(
        table([("dev", "train", s, d, NORMAL, f"a={a}") for s, d, a in cells]), held_out=share
    )
    sizes, taken = Counter((s, d) for s, d, _ in cells), Counter()
    for (section, domain, _), count in held(roles).items():
        taken[section, domain] += count
    for cell, size in sizes.items():
        assert taken[cell] < size
        assert taken[cell] == (0 if share == 0 or size == 1 else min(max(1, round(share * size)), size - 1))
