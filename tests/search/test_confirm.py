"""Confirmation: the best again with new seeds, after the search, once each, whatever died in between."""

from collections.abc import Callable
from typing import Any

import pytest
from ray.tune.search import Searcher

from humtune.records import CONFIRM, TrialState
from humtune.search.machine_study import FIRST_SEED
from humtune.search.studies import Studies
from humtune.search.tune import MachineSearcher

Make = Callable[..., Any]
OMEGAS = (0.6, 0.9, 0.7, 0.8)


def wish(search: Any, confirm: int, seeds: int) -> None:
    plan = search.ledger.plan.asking(confirm=confirm, confirm_seeds=seeds)
    search.ledger.write_plan(plan)


def searched(search: Any) -> Studies:
    """One machine's search at its end."""
    studies = search.studies()
    for omega in OMEGAS:
        search.play(studies, studies.ask(), omega)
    return studies


@pytest.fixture
def search(bench: Make) -> Any:
    made = bench(machines=("fan",), trials=len(OMEGAS), seed=7)
    searched(made)
    return made


def test_without_a_wish_nothing_is_confirmed(search: Any) -> None:
    studies = search.studies()
    assert studies.ask() is None
    assert studies.over


def test_the_best_run_again_with_the_same_new_seeds(search: Any) -> None:
    wish(search, 2, 3)
    best = {r.number: r.params for r in search.ledger.records("fan")}
    studies = search.studies()
    asked = [studies.ask() for _ in range(6)]
    assert studies.ask() is None
    assert [r.number for r in asked] == [4, 5, 6, 7, 8, 9]
    assert {r.origin for r in asked} == {CONFIRM}
    assert [r.params for r in asked] == [best[1], best[3]] * 3  # Ω 0.9 and 0.8
    assert [r.seed for r in asked] == [7 + FIRST_SEED + i for i in (0, 0, 1, 1, 2, 2)]
    assert (
        asked[0].config["head"]
        == next(r for r in search.ledger.records("fan") if r.number == 1).config["head"]
    )


def test_confirmation_waits_for_the_last_trial_of_the_search(bench: Make) -> None:
    search = bench(machines=("fan",), trials=2)
    wish(search, 1, 2)
    studies = search.studies()
    searcher = MachineSearcher(studies, cpus=1)
    one, other = studies.ask(), studies.ask()
    search.play(studies, one, 0.6)
    assert searcher.suggest("x") is None  # not FINISHED: there is more to come
    assert not studies.over
    search.play(studies, other, 0.7)
    again = [studies.ask() for _ in range(2)]
    assert [r.params for r in again] == [other.params] * 2
    assert studies.over
    for record in again:
        search.play(studies, record, 0.7)
    assert searcher.suggest("x") == Searcher.FINISHED


def test_optuna_hears_nothing_of_it_and_the_search_goes_on_as_before(search: Any) -> None:
    before = len(search.studies().machines["fan"].study.get_trials())
    wish(search, 2, 2)
    studies = search.studies()
    for _ in range(4):
        search.play(studies, studies.ask(), 0.1)
    assert len(studies.machines["fan"].study.get_trials()) == before
    again = search.studies()
    assert len(again.machines["fan"].study.get_trials()) == before
    assert again.over
    search.quota(5)
    more = search.studies().ask()
    assert (more.origin, more.number) == ("sampler", 8)


def test_a_resumed_confirmation_runs_nothing_twice_and_takes_up_what_was_cut(search: Any) -> None:
    wish(search, 2, 2)
    studies = search.studies()
    done, failed, cut = (studies.ask() for _ in range(3))
    search.play(studies, done, 0.2)
    search.end(studies, failed, TrialState.FAILED, "torn clip")
    cut, _ = search.epoch(studies, cut)
    again = search.studies()
    assert again.machines["fan"].confirmations == (2, 4)
    taken, new = again.ask(), again.ask()
    assert taken == cut
    assert (new.number, new.seed) == (7, done.seed + 1)
    assert again.ask() is None
    assert again.over


def test_more_seeds_are_added_to_those_there_are(search: Any) -> None:
    wish(search, 1, 1)
    studies = search.studies()
    search.play(studies, studies.ask(), 0.2)
    wish(search, 1, 3)
    studies = search.studies()
    assert [studies.ask().seed - 7 - FIRST_SEED for _ in range(2)] == [1, 2]
    assert studies.ask() is None


def test_what_is_confirmed_is_never_stopped_early(bench: Make) -> None:
    search = bench(machines=("fan",), trials=4, pruner="successive_halving", first=[])
    studies = search.studies()
    while (record := studies.ask()) is not None:
        search.play(studies, record, 0.9)
    wish(search, 1, 2)
    studies = search.studies()
    for _ in range(2):
        assert search.play(studies, studies.ask(), 0.2).state == TrialState.COMPLETE


def test_seeds_of_a_grid_count_as_one_configuration(bench: Make) -> None:
    space = {"sampler": "grid", "search": {"head.mu": [5, 10]}, "seeds": 2, "trials": None}
    search = bench(machines=("fan",), **space)
    studies = search.studies()
    for omega in (0.9, 0.7, 0.5, 0.75):  # 5, 10, 5, 10: the mean of 10 is higher
        search.play(studies, studies.ask(), omega)
    wish(search, 1, 2)
    studies = search.studies()
    assert [studies.ask().params for _ in range(2)] == [{"head.mu": 10}] * 2
    assert search.studies().machines["fan"].started == 4


def test_the_machine_whose_search_is_over_does_not_wait_for_others(bench: Make) -> None:
    search = bench(trials=1)
    wish(search, 1, 1)
    studies = search.studies()
    fan, other = studies.ask(), studies.ask()
    search.play(studies, fan, 0.6)
    assert studies.ask().machine == "fan"
    assert studies.ask() is None
    search.play(studies, other, 0.6)
    assert studies.ask().machine == "fan-2"


def test_the_time_left_counts_what_is_to_be_confirmed(search: Any) -> None:
    wish(search, 2, 2)
    studies = search.studies()
    assert studies.machines["fan"].left == 4
    search.play(studies, studies.ask(), 0.5)
    assert studies.machines["fan"].left == 3
    assert studies.seconds_left(1) == 3 * 8 * 2
