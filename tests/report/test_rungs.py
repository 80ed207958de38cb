"""What rungs foretold: ρ over trials that ran to their end, by hand-made records."""

from collections.abc import Sequence

import pytest

from humtune.detectors.classifier.recipe import Classifier
from humtune.records import Epoch, TrialRecord, TrialState
from humtune.report.rungs import Rung, rungs, rungs_block, rungs_line

CONFIG = Classifier.model_validate({"training": {"epochs": 4}})


def trial(
    number: int, figures: Sequence[float | None], state: TrialState = TrialState.COMPLETE, **keys: object
) -> TrialRecord:
    """A trial whose Ω was such after each epoch, None where it wasn't measured."""
    epochs = tuple(
        Epoch(epoch=i, ended=1.0, seconds=1.0, metrics={} if f is None else {"omega": f, "pseudo": 1 - f})
        for i, f in enumerate(figures, 1)
    )
    last = figures[-1]
    judged = {} if last is None else {"omega": {"nll": last}, "pseudo": {"nll": 1 - last}}
    record = TrialRecord(
        id=f"fan-{number:05d}",
        machine="fan",
        number=number,
        origin="sampler",
        params={},
        config=CONFIG,
        state=state,
        started=0.0,
        epochs=epochs,
    )
    return record.model_copy(update=judged | keys)


def test_each_rung_is_compared_with_the_end() -> None:
    records = [
        trial(i, [None, at, early, end])
        for i, (at, early, end) in enumerate(
            [(1, 4, 0.1), (2, 3, 0.2), (3, 2, 0.3), (4, 1, 0.4), (4, 1, 0.4)]
        )
    ]
    assert rungs("fan", records) == [
        Rung("fan", 2, 4, 5, pytest.approx(1.0)),  # in the same order as the end
        Rung("fan", 3, 4, 5, pytest.approx(-1.0)),
    ]


def test_stopped_failed_and_confirming_trials_are_left_out() -> None:
    records = [trial(i, [None, f, None, f]) for i, f in enumerate((0.5, 0.6, 0.7, 0.8))]
    others = [
        trial(4, [None, 0.9], TrialState.PRUNED),
        trial(5, [None, 0.9, None], TrialState.FAILED),
        trial(6, [None, 0.9, None, 0.1], origin="confirm"),
    ]
    assert rungs("fan", [*records, *others]) == rungs("fan", records)
    assert rungs("fan", records)[0].trials == 4


def test_too_few_or_equal_trials_say_nothing() -> None:
    assert rungs("fan", [trial(i, [0.5 + i / 10, None, None, 0.5 + i / 10]) for i in range(3)]) == []
    assert rungs("fan", [trial(i, [0.5, None, None, 0.5 + i / 10]) for i in range(6)]) == []
    assert rungs("fan", [trial(i, [None, None, None, i / 10]) for i in range(6)]) == []
    assert rungs_block([]) == []
    assert rungs_line([]) is None


def test_pseudo_omega_is_compared_where_it_judges() -> None:
    records = [
        trial(i, [f, None, None, 1 - f], judged_by="pseudo") for i, f in enumerate((0.1, 0.2, 0.3, 0.4))
    ]
    assert [r.rank_correlation for r in rungs("fan", records)] == [pytest.approx(-1.0)]


def test_the_report_and_the_terminal_say_it() -> None:
    found = [Rung("fan", 2, 8, 20, 0.5), Rung("fan", 4, 8, 12, 0.7), Rung("valve", 2, 8, 20, 0.3)]
    text = "\n".join(rungs_block(found))
    assert "| fan | 2 of 8 | 20 | +0.50 |" in text
    assert rungs_line(found) == (
        "rank correlation with the end: +0.40 after epoch 2, +0.70 after epoch 4 (of 8)"
    )
