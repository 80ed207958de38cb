"""What is told of trials of which none completed."""

import pytest

from humtune.detectors.classifier.recipe import Classifier
from humtune.records import Epoch, TrialRecord, TrialState, seconds_worked, trial_id, why_none


def record(number: int, state: TrialState, reason: str | None = None) -> TrialRecord:
    return TrialRecord(
        id=trial_id("fan", number),
        machine="fan",
        number=number,
        origin="sampler",
        params={},
        config=Classifier(),
        state=state,
        reason=reason,
        started=1e9,
    )


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ([], "no trial has run its whole budget yet"),
        ([(TrialState.RUNNING, None)], "no trial has run its whole budget yet"),
        ([(TrialState.FAILED, "torn"), (TrialState.COMPLETE, None)], ""),
        (
            [(TrialState.FAILED, why) for why in ("torn", "no\n memory", "no memory")],
            "no trial completed: 3 failed, 'no memory' (2 of them)",
        ),
        (
            [(TrialState.FAILED, "torn"), (TrialState.PRUNED, "stopped"), (TrialState.RUNNING, None)],
            "no trial completed: 1 failed, 'torn' (1 of them), 1 stopped early, 1 unfinished",
        ),
    ],
)
def test_why_none_completed(ends: list[tuple[TrialState, str | None]], told: str) -> None:
    assert why_none(record(i, state, reason) for i, (state, reason) in enumerate(ends)) == told


@pytest.mark.parametrize(
    ("trials", "seconds"),
    [
        ([], 0.0),
        ([[]], 0.0),
        ([[(10, 20), (20, 30)]], 20.0),
        ([[(10, 40)], [(10, 40)]], 30.0),  # two at once
        ([[(10, 20), (20, 45)], [(15, 40)]], 35.0),
        ([[(10, 60)], [(20, 30), (30, 40)]], 50.0),  # one within another
        ([[(10, 20), (500, 510)], [(15, 25)]], 25.0),  # killed at 25, and resumed at 500
    ],
)
def test_seconds_of_two_trials_at_once_count_once(
    trials: list[list[tuple[float, float]]], seconds: float
) -> None:
    records = [
        record(i, TrialState.COMPLETE).model_copy(
            update={
                "epochs": tuple(
                    Epoch(epoch=n, ended=ended, seconds=ended - began, metrics={})
                    for n, (began, ended) in enumerate(steps, start=1)
                )
            }
        )
        for i, steps in enumerate(trials)
    ]
    assert seconds_worked(records) == seconds
    assert seconds_worked(reversed(records)) == seconds
