"""Lessons are made of training clips alone, and no fold knows another's."""

from pathlib import Path

import numpy as np
import pytest

from humtune.errors import UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.joined import append_bank
from humtune.sounds.lessons import FOLDS, lesson_table, make_lessons, origins, teach
from humtune.sounds.probes import rms
from humtune.sounds.table import Role
from humtune.storage import Storage
from humtune.testing.recordings import small_bank


@pytest.fixture(scope="module")
def bank() -> ClipBank:
    return small_bank()


def test_lessons_come_of_training_clips_alone(bank: ClipBank) -> None:
    found = origins(bank.table, per_kind=40)
    train = bank.table.having(Role.TRAIN)
    assert set(found.first) | set(found.second) <= set(train)
    assert set(found.first[:40]) == set(found.first[40:]) == set(train)  # all, before any again
    assert (found.fold >= 0).nonzero()[0].tolist() == train.tolist()


def test_what_is_mixed_is_two_clips_of_one_fold(bank: ClipBank) -> None:
    found = origins(bank.table, per_kind=40)
    assert 2 <= len(np.unique(found.fold)) - 1 <= FOLDS
    assert (found.fold[found.first] == found.fold[found.second]).all()
    assert (found.first[:40] == found.second[:40]).all()
    assert (found.first[40:] != found.second[40:]).all()


def test_clips_of_one_recording_are_of_one_fold(bank: ClipBank) -> None:
    recordings = [f"recording={i // 3}" for i in range(len(bank.table))]
    table = bank.table.with_columns(attributes=recordings)
    fold = origins(table, per_kind=4).fold
    for recording in set(recordings):
        mine = fold[(table.attributes == recording) & (table.role == Role.TRAIN)]
        assert len(np.unique(mine)) <= 1


def test_clips_of_the_only_recording_stand_for_themselves(bank: ClipBank) -> None:
    table = bank.table.with_columns(attributes="recording=1")
    assert len(np.unique(origins(table, per_kind=4).fold)) > 2


def test_one_training_clip_is_too_few(bank: ClipBank) -> None:
    table = bank.table.take(np.concatenate([[0], bank.table.having(Role.HELD_OUT)]))
    with pytest.raises(UsageError, match="small: a network learns of two training clips or more, there are"):
        origins(table)


def test_the_same_recordings_make_the_same_lessons_that_differ_from_their_origins(
    bank: ClipBank, tmp_path: Path
) -> None:
    found = origins(bank.table, per_kind=10)
    one, other = (make_lessons(bank, found, Storage(tmp_path / name)) for name in "ab")
    assert one.hash == other.hash
    assert one.lengths.tolist() == bank.lengths[found.first].tolist()
    assert one.table.role.tolist() == [str(Role.LESSON)] * 20
    assert len(set(one.table.name)) == 20
    for lesson, clip in enumerate(found.first.tolist()):
        made, own = (x.astype(np.float64) for x in (one.clip(lesson), bank.clip(clip)))
        assert rms(made - own) > 0.02 * rms(own), one.table.name[lesson]


def test_targets_lie_on_training_clips_and_lessons(bank: ClipBank, tmp_path: Path) -> None:
    found = origins(bank.table, per_kind=3)
    joined = append_bank(bank, make_lessons(bank, found, Storage(tmp_path)))
    train = len(bank.table.having(Role.TRAIN))
    told = teach(joined, np.arange(train + 6, dtype=float)[None])
    known = np.flatnonzero(np.isfinite(told.targets[0]))
    assert known.tolist() == joined.table.having(Role.TRAIN, Role.LESSON).tolist()
    assert told.targets[0, -6:].tolist() == list(range(train, train + 6))
    assert lesson_table(bank.table, found).section.tolist() == bank.table.section[found.first].tolist()
