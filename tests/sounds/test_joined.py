"""Several machines' recordings as one bank: which clip is whose, and that nothing is copied."""

import numpy as np
import pytest

from humtune.errors import UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.classes import NO_CLASS, class_index, class_labels
from humtune.sounds.joined import join_banks
from humtune.sounds.table import Role
from humtune.testing.recordings import small_bank


@pytest.fixture(scope="module")
def banks() -> list[ClipBank]:
    return [small_bank("valve", sections=2, seed=1), small_bank("fan", attributes=False, seed=2)]


def test_each_clip_is_that_of_its_machine_where_it_lies(banks: list[ClipBank]) -> None:
    joined = join_banks(banks)
    valve, fan = banks
    clips = [*((fan, i) for i in range(len(fan.table))), *((valve, i) for i in range(len(valve.table)))]
    assert len(joined.table) == len(clips) == len(joined.lengths)
    for i, (bank, own) in enumerate(clips):
        np.testing.assert_array_equal(joined.clip(i), bank.clip(own))
        assert np.shares_memory(joined.clip(i), bank.samples)
        assert joined.table.name[i] == bank.table.name[own]
        assert joined.table.machines[i] == bank.table.machine
        assert joined.lengths[i] == len(bank.clip(own))


def test_the_order_of_machines_changes_nothing(banks: list[ClipBank]) -> None:
    one, other = join_banks(banks), join_banks(banks[::-1])
    assert one.hash == other.hash != join_banks(banks[:1]).hash
    assert one.table.to_json() == other.table.to_json()
    np.testing.assert_array_equal(one.offsets, other.offsets)


def test_a_class_is_one_machines(banks: list[ClipBank]) -> None:
    names, index = class_labels(join_banks(banks).table, "section")
    assert names == (
        *(f"fan/section_0{i}" for i in range(3)),
        *(f"valve/section_0{i}" for i in range(2)),
    )
    assert index.tolist() == [s for s in range(5) for _ in range(12)]
    both, _ = class_labels(join_banks(banks).table, "both")
    assert both == (
        *(f"fan/section_0{i},none" for i in range(3)),
        *(f"valve/section_0{i},load_{a}" for i in range(2) for a in range(2)),
    )


def test_a_machine_of_one_class_has_others_to_be_told_from(banks: list[ClipBank]) -> None:
    alone = small_bank("pump", sections=1, attributes=False)
    with pytest.raises(UsageError, match="only one class"):
        class_labels(alone.table, "section")
    names, _ = class_labels(join_banks([alone, banks[1]]).table, "section")
    assert "pump/section_00" in names


def test_a_machine_finds_its_own_classes_among_all(banks: list[ClipBank]) -> None:
    names, index = class_labels(join_banks(banks).table, "section")
    for bank, mine in zip(banks, (slice(36, None), slice(36)), strict=True):
        np.testing.assert_array_equal(class_index(bank.table, "section", names), index[mine])
    stranger = small_bank("pump", sections=1)
    assert set(class_index(stranger.table, "section", names).tolist()) == {NO_CLASS}


def test_roles_stay(banks: list[ClipBank]) -> None:
    joined = join_banks(banks)
    for role in Role:
        own = sum(len(bank.table.having(role)) for bank in banks)
        assert len(joined.table.having(role)) == own
