"""A machine of a few short recordings, made in memory, and a teacher who says something simple of them."""

import numpy as np
from numpy.typing import NDArray

from humtune.config import SAMPLE_RATE
from humtune.sounds.bank import ClipBank
from humtune.sounds.joined import append_bank
from humtune.sounds.lessons import TaughtBank, lesson_clips, lesson_table, origins, teach
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, ClipTable, Role

TONES = (700.0, 1900.0, 4300.0)  # Hz, one a section
CLIPS = 12  # of a section: the last six are held out, or test clips


def small_bank(
    machine: str = "small",
    *,
    sections: int = 3,
    attributes: bool = True,
    seconds: float = 0.7,
    seed: int = 0,
) -> ClipBank:
    """A tone in noise a section, of clips that differ in length; of its anomalous clips the tone is another.

    With one section and without `attributes` there is nothing to classify, as in an operator's folder.
    """
    rng = np.random.default_rng(seed)
    rows, clips = [], []
    for number, tone in enumerate(TONES[:sections]):
        for i in range(CLIPS):
            role = Role.TRAIN if i < CLIPS - 6 else Role.HELD_OUT if i < CLIPS - 4 else Role.SELECT
            anomalous = role == Role.SELECT and i % 2 == 1
            samples = int(seconds * SAMPLE_RATE) + int(rng.integers(0, 999))
            phase = 2 * np.pi * tone * (1.1 if anomalous else 1.0) * np.arange(samples) / SAMPLE_RATE
            sound = 2000 * np.sin(phase + rng.uniform(0, 7)) + rng.normal(0, 800, samples)
            clips.append(sound.astype(np.int16))
            rows.append((number, role, ANOMALY if anomalous else NORMAL, TARGET if i % 4 > 1 else SOURCE))
    section, role_of, label, domain = zip(*rows, strict=True)
    table = ClipTable.from_columns(
        machine=machine,
        name=[f"{i:03d}.wav" for i in range(len(rows))],
        part="dev",
        split=["test" if r == Role.SELECT else "train" for r in role_of],
        section=list(section),
        domain=list(domain),
        label=list(label),
        attributes=[f"load_{i % 2}" if attributes else "" for i in range(len(rows))],
        role=[str(r) for r in role_of],
    )
    offsets = np.cumsum([0, *map(len, clips)]).astype(np.int64)
    return ClipBank(table, np.concatenate(clips), offsets, machine)


def taught(bank: ClipBank, teachers: int = 1, *, lessons: int = 12) -> TaughtBank:
    """The bank with so many lessons of each kind, and what teachers say: how loud a clip is, in decibels.

    They differ by the power of the loudness that they give.
    """
    found = origins(bank.table, per_kind=lessons)
    clips = list(lesson_clips(bank, found))
    offsets = np.cumsum([0, *map(len, clips)]).astype(np.int64)
    made = ClipBank(lesson_table(bank.table, found), np.concatenate(clips), offsets, f"{bank.hash} lessons")
    joined = append_bank(bank, made)
    loudness = levels(joined, joined.table.having(Role.TRAIN, Role.LESSON))
    return teach(joined, np.stack([loudness ** (1 + number) for number in range(teachers)]))


def levels(bank: ClipBank, clips: NDArray[np.intp]) -> NDArray[np.float64]:
    """How loud some of a bank's clips are [n], in decibels above one sample's step."""
    return np.array([10 * np.log10(np.mean(bank.clip(int(i)).astype(np.float64) ** 2)) for i in clips])
