from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humtune.errors import UsageError
from humtune.sounds.table import (
    ANOMALY,
    NORMAL,
    SCORED,
    SOURCE,
    TARGET,
    UNKNOWN,
    ClipTable,
    Role,
    assign_roles,
)

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


def test_roles_are_those_that_a_search_began_with():
    clips = table([*train(40), *labelled()])
    began = assign_roles(clips, seed=7, holdout=0.3)
    scored = began.take(began.having(*SCORED))
    np.testing.assert_array_equal(assign_roles(clips).with_roles_of(scored).role, began.role)


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


CELLS = [(s, d, y) for s in (0, 1) for d in (SOURCE, TARGET) for y in (NORMAL, ANOMALY)]


def labelled(per_cell: int = 10) -> list[Row]:
    return [("dev", "test", *cell, "") for cell in CELLS for _ in range(per_cell)]


def hidden(clips: ClipTable) -> Counter:
    chosen = clips.take(clips.having(Role.HIDDEN))
    return Counter(zip(chosen.section.tolist(), chosen.domain.tolist(), chosen.label.tolist(), strict=True))


@pytest.mark.parametrize(("share", "count"), [(0.5, 5), (0.3, 3), (0.8, 8)])
def test_a_holdout_hides_its_share_of_every_cell_and_nothing_else(share: float, count: int):
    rows = [*train(40), *labelled(), ("dev", "test", 0, SOURCE, UNKNOWN, ""), ("eval", "test", 3, 0, 1, "")]
    before, after = assign_roles(table(rows)), assign_roles(table(rows), holdout=share)
    assert hidden(after) == dict.fromkeys(CELLS, count)
    assert not hidden(before)
    changed = before.role != after.role
    assert set(before.role[changed]) == {Role.SELECT}
    assert set(after.role[changed]) == {Role.HIDDEN}


def test_what_is_hidden_does_not_depend_on_order_and_differs_from_cell_to_cell():
    clips = table([*train(20), *labelled()])
    first = assign_roles(clips, holdout=0.5)
    order = np.random.default_rng(1).permutation(len(clips))
    np.testing.assert_array_equal(assign_roles(clips.take(order), holdout=0.5).role, first.role[order])
    np.testing.assert_array_equal(assign_roles(first, holdout=0.5).role, first.role)
    assert not np.array_equal(assign_roles(clips, holdout=0.5, seed=1).role, first.role)
    by_cell = (first.role[20:] == Role.HIDDEN).reshape(len(CELLS), -1)
    assert len(np.unique(by_cell, axis=0)) > 4


@pytest.mark.parametrize(
    ("gone", "share", "words"),
    [
        (7, 0.5, r"fan section 01 target: --holdout 0.5 hides 2 of 3 anomalous clips.*4 or more are needed"),
        (0, 0.1, r"fan section 00 source: --holdout 0.1 hides 1 of 10 normal clips.*closer to 0.5"),
        (0, 0.9, r"hides 9 of 10 normal clips; both sides need 2"),
        (0, 1.0, r"--holdout 1: it is a share"),
        (0, -0.5, r"--holdout -0.5: it is a share"),
    ],
)
def test_a_holdout_that_leaves_a_side_too_small_is_refused(gone: int, share: float, words: str):
    rows = labelled()
    with pytest.raises(UsageError, match=words):
        assign_roles(table(rows[: len(rows) - gone]), holdout=share)


def labelled_recordings(normal: int, anomaly: int) -> list[Row]:
    return [
        ("dev", "test", 0, SOURCE, label, f"recording={label}-{i}")
        for label, count in ((NORMAL, normal), (ANOMALY, anomaly))
        for i in range(count)
        for _ in range(6)
    ]


def test_whole_recordings_are_hidden():
    clips = table([*train(20), *labelled_recordings(10, 6)])
    roles = assign_roles(clips, holdout=0.5)
    assert hidden(roles) == {(0, SOURCE, NORMAL): 30, (0, SOURCE, ANOMALY): 18}
    gone, kept = (set(roles.attributes[roles.having(role)]) for role in (Role.HIDDEN, Role.SELECT))
    assert (len(gone), len(kept)) == (8, 8)


def test_a_holdout_needs_two_recordings_on_each_side():
    with pytest.raises(UsageError, match=r"hides 2 of 3 anomalous recordings; both.*4 or more are needed"):
        assign_roles(table(labelled_recordings(10, 3)), holdout=0.5)


def test_without_labels_there_is_nothing_to_hide():
    with pytest.raises(UsageError, match="fan has no labelled dev test clips to hide; leave out --holdout"):
        assign_roles(table(train(20)), holdout=0.5)


def recordings(count: int, clips: int, **rest) -> list[Row]:
    return [row for i in range(count) for row in train(clips, attributes=f"recording=r{i:02d}", **rest)]


def test_whole_recordings_are_held_out():
    rows = recordings(30, 6)
    roles = assign_roles(table(rows))
    count = held(roles)
    assert sorted(count.values()) == [6, 6, 6]
    kept = roles.take(roles.having(Role.TRAIN))
    assert not {attributes for *_, attributes in count} & set(kept.attributes)
    assert held(assign_roles(table(rows), seed=1)) != count


def test_each_class_keeps_a_recording_to_train_on():
    rows = [
        row
        for i in range(4)
        for row in train(5, attributes=f"recording=r{i},folder={'slow' if i else 'fast'}")
    ]
    for seed in range(5):
        roles = assign_roles(table(rows), seed=seed)
        (only,) = held(roles)
        assert only[2].endswith("folder=slow")


def test_of_a_single_recording_clips_are_held_out():
    assert sum(held(assign_roles(table(recordings(1, 20)))).values()) == 2


def test_a_clip_that_names_no_recording_is_one_by_itself():
    clips = table(recordings(12, 10) + train(8))
    for seed in range(5):
        roles = assign_roles(clips, seed=seed)
        out = roles.role == str(Role.HELD_OUT)
        named = roles.attributes != ""
        assert set(roles.attributes[out & named]).isdisjoint(roles.attributes[~out])
        assert len(set(roles.attributes[out & named])) + (out & ~named).sum() == 2
