"""Lesson: what a machine's students learn, and of whom; written whole or not at all."""

from itertools import pairwise

import numpy as np

from humtune.config import Frozen, Stored
from humtune.errors import HumtuneError
from humtune.ledger import Ledger, read_stored
from humtune.metrics.cells import Array
from humtune.names import command
from humtune.results.ensembles.record import Member
from humtune.sounds.bank import ClipBank
from humtune.sounds.joined import append_bank
from humtune.sounds.lessons import TaughtBank, teach


class Teacher(Frozen):
    """A weighting of calibrated scores; its score is their weighted sum."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]


class Lesson(Stored):
    """What teachers say of a machine's training clips and lessons.

    The first teacher is the ensemble. Two more for each split are what its choice gives by either half of the
    labelled clips, in the order of `metrics.cross_fitting.halves`.
    """

    made: str  # folder of the bank of lessons, relative to the storage
    per_kind: int  # lessons
    ensemble: str  # hash of its scores
    teachers: tuple[Teacher, ...]
    targets: tuple[tuple[float, ...], ...]  # a row a teacher, of training clips and then lessons
    note: str = ""  # why no half of the labels taught

    @property
    def splits(self) -> int:
        """Of the labelled clips."""
        return len(self.teachers) // 2

    def halves(self, scores: Array) -> list[tuple[Array, Array]]:
        """Those rows of scores [T, N], one a teacher, that halves of the labels taught, by split."""
        return list(pairwise(scores[1:]))[::2]


def write_lesson(ledger: Ledger, machine: str, lesson: Lesson) -> None:
    """Keep what a machine's students learn."""
    ledger.storage.write(ledger.layout.lesson(machine), lesson.model_dump_json().encode())


def find_lesson(ledger: Ledger, machine: str) -> Lesson | None:
    """What a machine's students learn; None where nobody has asked a teacher."""
    try:
        return read_stored(ledger.storage, ledger.layout.lesson(machine), Lesson)
    except FileNotFoundError:
        return None


def taught_bank(ledger: Ledger, bank: ClipBank) -> TaughtBank:
    """A machine's bank with its lessons; HumtuneError where there are none."""
    machine = bank.table.machine
    lesson = find_lesson(ledger, machine)
    if lesson is None:
        of = ledger.plan.asked.taught_by or "NAME"
        raise HumtuneError(
            f"{machine}: {ledger.storage.uri}/{ledger.layout.lesson(machine)} is missing; "
            f"make it with {command('distill', of, storage=ledger.storage.option)}"
        )
    made = ClipBank.open(ledger.storage, lesson.made)
    return teach(append_bank(bank, made), np.array(lesson.targets))
