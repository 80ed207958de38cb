"""A warm start: which trials of an earlier search count, which points come first, what resume knows."""

from collections.abc import Callable
from typing import Any

import pytest

from humtune.detectors.recipe import Recipe
from humtune.errors import UsageError
from humtune.plan import Plan
from humtune.records import TrialState
from humtune.search.space import Space
from humtune.search.space.grid import Point
from humtune.search.warm import MOST_POINTS, PriorTrials, notes, point_of, prior_trials, warm_up

Make = Callable[..., Any]

SMALL = {"n_fft": 256, "chunk_frames": 64, "n_mels": 64, "db": True}
LINEAR = {"n_fft": 256, "chunk_frames": 64, "n_mels": None}


def play_all(search: Any, omegas: list[float]) -> list[Any]:
    """Every machine's trials, the k-th of each with the k-th Ω."""
    studies = search.studies()
    return [
        search.play(studies, record, omegas[record.number % len(omegas)])
        for record in iter(studies.ask, None)
    ]


def warmed(search: Any, earlier: Any) -> Plan:
    """The search's plan, as `prepare` leaves it after a warm start."""
    plan = search.ledger.plan.asking(warm=earlier.ledger.name)
    warm_up(search.ledger, plan, search.space, earlier.ledger)
    search.ledger.write_plan(plan)
    return plan


# --- a recipe in the words of a space


def found(space: Space, recipe: Recipe) -> Point | None:
    """The point of the space that a trial of this recipe is, as its record has it."""
    return point_of(space, recipe.model_dump(mode="json"), "fan")


def test_a_point_is_found_again_by_its_recipe(space: Make) -> None:
    made: Space = space(
        search={
            "labels": ["section", "both"],
            "spectrogram": {
                "presets": {"small": SMALL, "linear": LINEAR},
                "search": {"linear": {"db": [True, False]}},
            },
            "head.sigma2": {"low": 0.02, "high": 0.5, "log": True},
        }
    )
    for point in (
        {"labels": "both", "spectrogram": "small", "head.sigma2": 0.1},
        {"labels": "section", "spectrogram": "linear", "spectrogram.db": False, "head.sigma2": 0.02},
    ):
        assert found(made, made.recipe(point, seed=3)) == point


def test_a_point_whose_values_do_not_go_together_here_is_none(space: Make) -> None:
    hops = {"spectrogram.hop": [64, 256]}
    narrow = space(fixed={"spectrogram.n_fft": 256}, search=hops)
    config = narrow.recipe({"spectrogram.hop": 256}).model_dump(mode="json")
    wide = narrow.model_copy(update={"fixed": {"spectrogram.n_fft": 128}})
    assert point_of(narrow, config, "fan") == {"spectrogram.hop": 256}
    assert point_of(wide, config, "fan") is None


def test_what_a_space_does_not_hold_is_no_point_of_it(space: Make) -> None:
    wide, narrow = space(), space(search={"head.mu": [5, 10], "head.sigma2": [0.1]})
    assert found(narrow, wide.recipe({"head.mu": 20, "head.sigma2": 0.1})) is None
    assert found(narrow, wide.recipe({"head.mu": 10, "head.sigma2": 0.2})) is None
    assert found(narrow, wide.recipe({"head.mu": 10, "head.sigma2": 0.1})) is not None
    other_head = space(fixed={"head": {"kind": "arcface"}}, search={"head.margin": [0.3, 0.5]})
    assert found(narrow, other_head.recipe({"head.margin": 0.3})) is None
    spectrograms = space(search={"spectrogram": {"presets": {"small": SMALL}}})
    assert found(spectrograms, wide.recipe({})) is None


def test_of_two_presets_that_are_true_the_one_that_says_more_is_meant(space: Make) -> None:
    made = space(search={"spectrogram": {"presets": {"any": {}, "small": SMALL}}})
    assert found(made, made.recipe({"spectrogram": "small"})) == {"spectrogram": "small"}
    assert found(made, made.recipe({"spectrogram": "any"})) == {"spectrogram": "any"}


# --- what is taken over


def test_trials_that_the_space_could_have_run_are_observations(bench: Make) -> None:
    earlier = bench(name="earlier", trials=4, pruner="successive_halving")
    records = play_all(earlier, [0.6, 0.8, 0.7, 0.5])
    search = bench(name="later", trials=3, pruner="successive_halving")
    warmed(search, earlier)
    prior = prior_trials(search.ledger, "fan")
    assert [r.id for r in prior.observed] == [r.id for r in records if r.machine == "fan"]
    assert prior.points == ()
    study = search.studies().machines["fan"].study
    known = study.get_trials()
    assert [t.params for t in known] == [r.params for r in prior.observed]
    assert {t.state.name for t in known} == {"COMPLETE", "PRUNED"}
    assert known[1].value == 0.8
    assert known[0].intermediate_values.keys() == {2, 4}  # so that the pruner compares with it
    asked = list(iter(search.studies().ask, None))
    assert [r.number for r in asked if r.machine == "fan"] == [0, 1, 2]  # they are not of its quota


@pytest.mark.parametrize("change", ["budget", "clips", "holdout", "judge"])
def test_where_figures_can_not_be_compared_only_the_best_points_are_tried(bench: Make, change: str) -> None:
    earlier = bench(name="earlier", machines=("fan",), trials=8)
    records = play_all(earlier, [0.5 + 0.01 * i for i in range(8)])
    fixed = {"training": {"epochs": 4}} if change == "budget" else {"training": {"epochs": 8}}
    search = bench(name="later", machines=("fan",), trials=8, fixed=fixed)
    found: dict[str, Any] = {"clips": {"data_hash": "cd34"}, "judge": {"judged_by": "pseudo"}}
    plan = search.ledger.plan.asking(holdout=0.5 if change == "holdout" else 0.0)
    fan = plan.machines["fan"].model_copy(update=found.get(change, {}))
    search.ledger.write_plan(plan.model_copy(update={"machines": {"fan": fan}}))
    warmed(search, earlier)
    prior = prior_trials(search.ledger, "fan")
    assert prior.observed == ()
    best = [r.params for r in reversed(records)]
    assert list(prior.points) == best[:MOST_POINTS]
    asked = list(iter(search.studies().ask, None))
    assert [r.params for r in asked[:MOST_POINTS]] == best[:MOST_POINTS]
    assert [r.origin for r in asked] == ["warm"] * MOST_POINTS + ["sampler"] * 3


def test_a_machine_that_is_new_tries_what_was_best_on_the_others(bench: Make) -> None:
    earlier = bench(name="earlier", machines=("fan", "valve"), trials=3)
    records = play_all(earlier, [0.5, 0.9, 0.7])
    search = bench(name="later", machines=("slider",), trials=8)
    warmed(search, earlier)
    by = {(r.machine, r.number): r.params for r in records}
    order = [("fan", 1), ("valve", 1), ("fan", 2), ("valve", 2), ("fan", 0)]
    assert list(prior_trials(search.ledger, "slider").points) == [by[key] for key in order]


def test_first_points_of_the_space_come_before_and_none_is_tried_twice(bench: Make) -> None:
    earlier = bench(name="earlier", machines=("valve",), trials=2, search={"head.mu": [5, 10, 20]})
    studies = earlier.studies()
    best = earlier.play(studies, studies.ask(), 0.9).params
    search = bench(
        name="later",
        machines=("fan",),
        trials=4,
        search={"head.mu": [5, 10, 20]},
        first=[best],
        pruner="none",
    )
    warmed(search, earlier)
    asked = list(iter(search.studies().ask, None))
    assert [r.origin for r in asked] == ["first", "sampler", "sampler", "sampler"]


def test_resume_knows_what_the_search_started_from(bench: Make) -> None:
    earlier = bench(name="earlier", machines=("fan",), trials=8)
    play_all(earlier, [0.5 + 0.01 * i for i in range(8)])
    search = bench(name="later", machines=("fan",), trials=8, fixed={"training": {"epochs": 8, "mixup": 0}})
    warmed(search, earlier)
    studies = search.studies()
    done = [search.play(studies, studies.ask(), 0.7) for _ in range(2)]
    search.epoch(studies, studies.ask())  # one is killed in its first epoch
    earlier.ledger.storage.delete("earlier/plan.json")  # the earlier search may be gone
    again = list(iter(search.studies().ask, None))
    points = list(prior_trials(search.ledger, "fan").points)
    assert [r.params for r in (*done, *again[:3])] == points
    assert [r.number for r in again] == [2, 3, 4, 5, 6, 7]


def test_failed_and_running_trials_teach_nothing(bench: Make) -> None:
    earlier = bench(name="earlier", machines=("fan",), trials=3)
    studies = earlier.studies()
    earlier.end(studies, studies.ask(), TrialState.FAILED, "torn clip")
    earlier.epoch(studies, studies.ask())
    search = bench(name="later", machines=("fan",))
    with pytest.raises(
        UsageError, match="--from earlier: no trial of it has settings that this space searches"
    ):
        warmed(search, earlier)
    assert prior_trials(search.ledger, "fan") == PriorTrials()


def test_a_grid_learns_nothing_and_says_so(bench: Make) -> None:
    earlier = bench(name="earlier", machines=("fan",), trials=1)
    play_all(earlier, [0.7])
    search = bench(name="later", machines=("fan",), sampler="grid", trials=None, search={"head.mu": [5, 10]})
    with pytest.raises(UsageError, match="--from earlier: a grid asks no sampler"):
        warmed(search, earlier)


def test_what_a_search_starts_with_is_told(bench: Make) -> None:
    earlier = bench(name="earlier", machines=("fan", "valve"), trials=2)
    play_all(earlier, [0.6, 0.7])
    search = bench(name="later", machines=("fan", "slider"))
    assert list(notes(search.ledger)) == []
    warmed(search, earlier)
    assert list(notes(search.ledger)) == [
        "fan: 2 known trials of earlier",
        "slider: 4 points of earlier to be tried first",
    ]
