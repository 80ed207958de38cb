"""What is told of trials of which none completed."""

import pytest

from humtune.detectors.classifier.recipe import Classifier
from humtune.records import TrialRecord, TrialState, trial_id, why_none


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
