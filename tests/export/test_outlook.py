"""What a limit would have caught of labelled test recordings, in words."""

import numpy as np
from models import make_info

from humtune.export.outlook import caught
from humtune.runtime.info import Evidence, ModelInfo
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, ClipTable, Role

HELD_OUT = tuple(np.linspace(0, 1, 100).tolist())  # each of one window


def judged() -> ModelInfo:
    """A model whose limit for one window, of 10 % false alarms, is about 0.9."""
    return make_info(evidence=Evidence(held_out=HELD_OUT, clip_samples=4_000)).with_threshold(0.1)


def windows(*recordings: tuple[str, int, Role, int]) -> ClipTable:
    """Windows of recordings: each one's name, label and role, and how many it has."""
    each = [recording for recording in recordings for _ in range(recording[3])]
    return ClipTable.from_columns(
        machine="fan",
        name=[f"{i}.wav" for i in range(len(each))],
        part=["dev"] * len(each),
        split=["test"] * len(each),
        section=[0] * len(each),
        domain=[SOURCE] * len(each),
        label=[label for _, label, _, _ in each],
        attributes=[f"recording={name}" for name, *_ in each],
        role=[str(role) for _, _, role, _ in each],
    )


def test_recordings_are_counted_not_their_windows_and_each_by_the_limit_of_its_length():
    info = judged()
    assert 0.85 < info.threshold.value < 0.93
    clips = windows(
        ("bad one", ANOMALY, Role.SELECT, 3),
        ("bad two", ANOMALY, Role.SELECT, 1),
        ("long", NORMAL, Role.SELECT, 3),
        ("short", NORMAL, Role.SELECT, 1),
    )
    scores = np.array([0.1, 2.0, 0.1, 0.2, 0.94, 0.94, 0.94, 0.94])
    told = " ".join(caught(info, scores, clips))
    assert told == (
        "It would have caught 1 of 2 bad recordings (not bad two), and called 1 of 2 healthy ones strange "
        "that it did not learn from. These helped to choose it: expect less of new ones."
    )
    assert "helped" not in " ".join(caught(info, scores, clips, chose=False))


def test_recordings_that_chose_nothing_say_it_alone():
    clips = windows(
        ("a", ANOMALY, Role.SELECT, 1), ("b", ANOMALY, Role.HIDDEN, 1), ("c", NORMAL, Role.HIDDEN, 1)
    )
    told = " ".join(caught(judged(), np.array([2.0, 0.1, 0.1]), clips))
    assert told == (
        "It would have caught 0 of 1 bad recording, and called 0 of 1 healthy one strange that it did not "
        "learn from."
    )


def test_without_bad_recordings_nothing_is_said():
    assert not list(caught(judged(), np.array([2.0]), windows(("a", NORMAL, Role.SELECT, 1))))
