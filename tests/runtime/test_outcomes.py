"""What comes of recordings, counted."""

from pathlib import Path

import pytest

from humtune.runtime.outcomes import STRANGEST, Failed, Scored, Tally
from humtune.runtime.scale import Scale

BAD = Failed(Path("bad.wav"), "no sound")


def of_score(score: float, *notes: str) -> Scored:
    return Scored(Path(f"{score}.wav"), score, Scale(1.0), seconds=2.0, notes=notes)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        ([of_score(0.5)], 0),
        ([of_score(0.5), BAD], 1),
        ([of_score(0.5), of_score(2)], 3),
        ([BAD, of_score(2), BAD], 3),
    ],
)
def test_the_exit_code_says_the_worst_an_anomaly_before_what_could_not_be_heard(outcomes, code):
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    assert tally.exit_code == code


def test_only_the_strangest_are_remembered_in_the_order_they_came_where_equal():
    tally = Tally()
    for i in range(1_000):
        tally.add(of_score(float(i % 500)))
    wanted = [499 - i // 2 for i in range(STRANGEST)]
    assert [clip.score for clip in tally.strangest] == wanted
    assert (tally.scored, tally.anomalies, tally.failed, tally.sound) == (1_000, 996, 0, 2_000)


def test_speed_is_that_of_the_clock():
    tally = Tally()
    assert tally.real_time_factor is None
    for _ in range(4):
        tally.add(of_score(0.5, "clipped"))
    tally.end()
    seconds = tally.seconds
    assert seconds == tally.seconds > 0
    assert tally.clips_per_second == 4 / seconds
    assert tally.real_time_factor == seconds / 8
    assert tally.notes == {"clipped": 4}
