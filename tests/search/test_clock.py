"""A search's time: what it allows, what trials are foretold to take of it, and what is then begun."""

from collections.abc import Callable
from typing import Any

import pytest

from humtune.detectors.noop import Noop
from humtune.ledger import Ledger
from humtune.plan import MOST_TRIALS
from humtune.records import TrialRecord, TrialState
from humtune.search.clock import Clock, Forecast
from humtune.search.run import want
from humtune.search.studies import Studies

Make = Callable[..., Any]

FAMILIES = {"quick": {"family": "noop", "steps": 2}, "slow": {"family": "noop", "steps": 4}}
GRID: dict[str, Any] = {
    "machines": ("fan",),
    "sampler": "grid",
    "trials": None,
    "seeds": 2,
    "fixed": {},
    "search": {"family": {"presets": FAMILIES}},
}


def timed(ledger: Ledger, **seconds: float) -> Ledger:
    """The search as it is once its trials have been timed; by preset."""
    known = {f"{preset} noop": taken for preset, taken in seconds.items()}
    ledger.write_plan(ledger.plan.model_copy(update={"seconds": {"fan": known}}))
    return ledger


def long(record: TrialRecord) -> TrialRecord:
    """The trial with more steps than are played."""
    return record.model_copy(update={"config": record.config | {"training": {"epochs": 9}}})


def end(search: Any, studies: Studies, record: TrialRecord, *, seconds: float = 1.0) -> None:
    done = {"state": TrialState.COMPLETE, "omega": {"own": 0.6}, "seconds": seconds, "ended": 1e9}
    record = record.model_copy(update=done)
    search.ledger.write(record)
    studies.end(record)


def test_a_clock_allows_what_ends_before_it_is_over_or_anything_while_there_is_too_little() -> None:
    assert Clock().allows(1e9)
    clock = Clock(60.0)
    assert (clock.allows(30.0), clock.allows(90.0), clock.allows(None), clock.is_over) == (
        True,
        False,
        True,
        False,
    )
    over = Clock(-1.0)
    assert (over.left, over.is_over, over.allows(None)) == (0.0, True, False)
    assert Clock(-1.0, lambda: False).allows(90.0)


def test_earlier_runs_have_used_a_searchs_time(bench: Make) -> None:
    search = bench(**GRID)
    studies = search.studies()
    record, _ = search.epoch(
        studies, studies.ask().model_copy(update={"config": {"training": {"epochs": 9}}})
    )
    assert record.seconds == 2.0
    assert Clock.of(search.ledger, 1.0, spent=8.0).left == pytest.approx(3590.0, abs=1.0)


def test_what_is_foretold_is_what_was_timed_and_later_what_trials_took(bench: Make) -> None:
    search = bench(**GRID)
    forecast = Forecast(timed(search.ledger, quick=10.0, slow=100.0).plan)
    studies = search.studies()
    quick, slow = (studies.ask() for _ in range(2))

    def told() -> list[float | None]:
        return [forecast.seconds(record) for record in (quick, slow)]

    assert told() == [10.0, 100.0]
    assert forecast.seconds(slow, done=3) == 25.0
    assert forecast.of_preset("fan", "slow") == 100.0
    assert forecast.seconds(quick.model_copy(update={"machine": "valve"})) is None
    took = {"state": TrialState.COMPLETE, "seconds": 30.0}
    forecast.take(quick.model_copy(update=took))
    assert told() == [30.0, 300.0]  # a busy computer slows all alike
    forecast.take(slow.model_copy(update=took))
    assert told() == [30.0, 30.0]
    assert forecast.of_preset("fan", "slow") == 30.0


def test_a_preset_whose_name_begins_with_anothers_is_a_kind_of_its_own(bench: Make) -> None:
    presets = {"quick": FAMILIES["quick"], "quick long": FAMILIES["slow"]}
    search = bench(**GRID | {"search": {"family": {"presets": presets}}})
    forecast = Forecast(timed(search.ledger, **{"quick": 10.0, "quick long": 100.0}).plan)
    assert [forecast.of_preset("fan", preset) for preset in presets] == [10.0, 100.0]


def test_what_ended_before_trials_were_timed_corrects_what_is_foretold(bench: Make) -> None:
    search = bench(**GRID)
    studies = search.studies()
    end(search, studies, studies.ask(), seconds=30.0)
    studies = search.studies()
    studies.planned(timed(search.ledger, quick=10.0, slow=100.0).plan)
    assert studies.forecast.of_preset("fan", "slow") == 300.0


def test_hours_that_come_later_are_used_up_by_kinds_that_share_them(bench: Make) -> None:
    families = {"search": {"family": {"presets": FAMILIES}}, "fixed": {}, "machines": ("fan",)}
    free = bench(name="free", **families | {"sampler": "bandit", "trials": None})
    counted = bench(name="counted", **families | {"sampler": "bandit", "trials": 3})
    for search, trials in ((free, MOST_TRIALS), (counted, 3)):
        want(search.ledger, hours=4.0)
        assert (search.ledger.plan.asked.trials, search.ledger.plan.asked.hours) == (trials, 4.0)
    want(free.ledger, trials=30)
    want(free.ledger, hours=8.0)
    assert free.ledger.plan.asked.trials == 30


def test_nothing_is_begun_that_can_not_end_and_a_later_run_with_more_time_does(bench: Make) -> None:
    search = bench(**GRID)
    timed(search.ledger, quick=10.0, slow=100.0)
    studies = Studies(search.ledger, search.space, Clock(60.0))
    begun = [studies.ask() for _ in range(3)]
    assert [record and record.params["family"] for record in begun] == ["quick", "quick", None]
    assert studies.over
    for record in begun[:2]:
        end(search, studies, record, seconds=10.0)
    assert studies.machines["fan"].left == 2
    later = Studies(search.ledger, search.space, Clock(600.0))
    ids = [later.ask().id for _ in range(2)]
    assert ids == ["fan-00002", "fan-00003"]
    assert [record.record.params["family"] for record in later.machines["fan"].running.values()] == [
        "slow"
    ] * 2
    assert later.ask() is None


def test_what_an_earlier_run_left_is_gone_on_with_where_the_rest_of_it_can_end(bench: Make) -> None:
    search = bench(**GRID)
    timed(search.ledger, quick=10.0, slow=100.0)
    first = search.studies()
    slow = next(r for r in (first.ask() for _ in range(2)) if r.params["family"] == "slow")
    for _ in range(3):
        slow, _ = search.epoch(first, long(slow))
    search.ledger.write(slow.model_copy(update={"config": Noop(steps=4).model_dump(mode="json")}))
    asked = Studies(search.ledger, search.space, Clock(30.0)).ask()
    assert (asked.id, len(asked.epochs)) == (slow.id, 3)
    other = Studies(search.ledger, search.space, Clock(20.0)).ask()
    assert other.params["family"] == "quick"


def test_a_sampler_looks_for_a_while_for_what_is_short_enough(bench: Make) -> None:
    search = bench(**GRID | {"sampler": "random", "trials": 6, "seeds": 1})
    timed(search.ledger, quick=10.0, slow=100.0)
    studies = Studies(search.ledger, search.space, Clock(60.0))
    asked = [studies.ask() for _ in range(6)]
    assert {record.params["family"] for record in asked} == {"quick"}
    assert [record.number for record in asked] == list(range(6))
    timed(search.ledger, quick=100.0, slow=100.0)
    assert Studies(search.ledger, search.space, Clock(60.0)).ask() is None
