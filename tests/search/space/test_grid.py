"""Grids and lists: every point once with each seed, whatever dies meanwhile; what can't be run is refused."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from humtune.errors import UsageError
from humtune.records import TrialRecord, TrialState
from humtune.search.space import Space, check_space
from humtune.search.space import grid as grid_module
from humtune.search.space.fit import corners

Make = Callable[..., Any]

MU_SIGMA2 = {"head.mu": [5, 10], "head.sigma2": [0.02, 0.1, 0.5]}
HEADS = {
    "head": {
        "presets": {"variational": {}, "ce": {"kind": "cross_entropy"}, "arcface": {"kind": "arcface"}},
        "search": {
            "variational": {"mu": [5, 10], "sigma2": {"low": 0.1, "high": 0.3, "step": 0.1}},
            "arcface": {"margin": [0.2, 0.5]},
        },
    },
    "backbone.embedding": {"low": 8, "high": 9},
}
LISTED = [
    {"machine": "fan", "head.mu": 5, "head.sigma2": 0.1},
    {"machine": "fan-2", "head.mu": 10, "head.sigma2": 0.5},
    {"machine": "fan", "head.mu": 10, "head.sigma2": 0.02},
]


def grid(**keys: Any) -> Space:
    raw = {"sampler": "grid", "search": MU_SIGMA2}
    return check_space(raw | keys, where="here")


def key(params: dict[str, Any], seed: int) -> tuple[Any, ...]:
    return (*sorted(params.items()), seed)


def had(records: list[TrialRecord]) -> Counter[tuple[Any, ...]]:
    return Counter(key(r.params, r.seed) for r in records)


# --- what is refused

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a range without a step": (
        {"search": {"head.sigma2": {"low": 0.02, "high": 0.5}}},
        "here: search.head.sigma2 is 0.02 to 0.5: a grid wants a list of values, or a step",
    ),
    "a logarithmic range": (
        {"search": {"head.mu": {"low": 1, "high": 9, "log": True}}},
        "here: search.head.mu is 1 to 9, whole: a grid wants a list of values, or a step",
    ),
    "a wide range": ({"search": {"head.mu": {"low": 1, "high": 102}}}, "search.head.mu is 1 to 102, whole: "),
    "a range that a preset opens": (
        {"search": {"head": {"presets": {"a": {}}, "search": {"a": {"mu": {"low": 1.0, "high": 2}}}}}},
        "here: search.head.mu is 1.0 to 2: a grid wants",
    ),
    "a value that stands twice": (
        {"search": {"head.mu": [5, 10, 5.0]}},
        "here: search.head.mu: 5.0 stands twice; `seeds` runs points again",
    ),
    "first points": ({"first": [{"head.mu": 5}]}, "here: first: a grid runs all of its points; leave it out"),
    "seeds of a sampler": (
        {"sampler": "tpe", "seeds": 2},
        "here: seeds = 2: tpe spends its trials better on new points than on the same again; leave it out",
    ),
    "no seeds": ({"seeds": 0}, "here: seeds = 0: should be greater than or equal to 1"),
    "a list without points": (
        {"sampler": "listed"},
        "here: first: sampler: listed runs the points of `first`",
    ),
    "a listed point with something open": (
        {"sampler": "listed", "first": [{"head.mu": 5}]},
        "here: first point 1: head.sigma2 is open; a listed point says all that is searched",
    ),
    "a listed point that stands twice": (
        {"sampler": "listed", "first": [*LISTED, {"head.mu": 10, "head.sigma2": 0.5}]},
        "here: first point 4 is point 2 again; `seeds` runs points again",
    ),
    "early stopping of a list": (
        {"sampler": "listed", "first": LISTED, "pruner": "median"},
        "here: pruner = 'median': the points of a list run to their end; leave it out",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_run_is_refused(name: str) -> None:
    keys, said = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        grid(**keys)
    assert str(caught.value).startswith(said) or said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_grid_too_large_to_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_module, "MOST_POINTS", 6)
    assert len(grid().runs("fan")) == 6
    with pytest.raises(
        UsageError, match=r"^here: search: a grid of more than 6 points; search fewer values$"
    ):
        grid(search={**MU_SIGMA2, "backbone.activation": ["relu", "prelu"]})


# --- which trials there are


def test_a_grid_is_every_combination_with_what_presets_open() -> None:
    runs = grid(search=HEADS).runs("any")
    assert [run.params for run in runs] == [
        point | {"backbone.embedding": k}
        for point in (
            *(
                {"head": "variational", "head.mu": mu, "head.sigma2": s}
                for mu in (5, 10)
                for s in (0.1, 0.2, 0.3)
            ),
            {"head": "ce"},
            *({"head": "arcface", "head.margin": margin} for margin in (0.2, 0.5)),
        )
        for k in (8, 9)
    ]


def test_all_points_come_with_the_first_seed_before_the_next() -> None:
    runs = grid(seeds=3, seed=7).runs("fan")
    assert [run.seed for run in runs] == [7] * 6 + [8] * 6 + [9] * 6
    assert [run.params for run in runs] == [run.params for run in runs[:6]] * 3


def test_a_sampler_says_of_no_trial_before_it_is_asked() -> None:
    space = check_space({"search": MU_SIGMA2, "trials": 7}, where="here")
    assert (space.runs("fan"), space.quota("fan")) == ([], 7)
    assert check_space({"search": MU_SIGMA2}, where="here").quota("fan") == 20


def test_a_list_is_of_its_machine_and_may_be_cut() -> None:
    space = grid(sampler="listed", first=LISTED, seeds=2)
    assert [space.quota(m) for m in ("fan", "fan-2", "drill")] == [4, 2, 0]
    assert [run.params["head.mu"] for run in space.runs("fan")] == [5, 10, 5, 10]
    cut = space.model_copy(update={"trials": 3})
    assert [cut.quota(m) for m in ("fan", "fan-2")] == [3, 2]
    chosen = [params for params, _ in corners(space, "head.mu", machine="fan")]
    assert chosen == [{"head.mu": 5}, {"head.mu": 10}]  # what its points choose, not all that is searched


# --- run


def test_every_point_is_run_once_with_each_seed(bench: Make) -> None:
    search = bench(search=HEADS, sampler="grid", seeds=2, seed=3, trials=None)
    studies = search.studies()
    records = []
    while (record := studies.ask()) is not None:
        records.append(search.play(studies, record, 0.6))
    for machine in ("fan", "fan-2"):
        mine = [r for r in records if r.machine == machine]
        assert had(mine) == Counter(key(run.params, run.seed) for run in search.space.runs(machine))
        assert len(mine) == 36
        assert {r.origin for r in mine} == {"grid"}
        assert [r.number for r in mine] == list(range(36))
    kinds = {r.params["head"]: r.settings["head.kind"] for r in records}
    assert kinds == {"variational": "variational", "ce": "cross_entropy", "arcface": "arcface"}


def test_machines_may_have_lists_of_different_length(bench: Make) -> None:
    search = bench(sampler="listed", first=LISTED, seeds=2, search=MU_SIGMA2)
    studies = search.studies()
    assert [m.quota for m in studies.machines.values()] == [4, 2]
    records = [search.play(studies, studies.ask(), 0.6) for _ in range(6)]
    assert studies.ask() is None
    assert {r.origin for r in records} == {"first"}
    for machine in ("fan", "fan-2"):
        assert had([r for r in records if r.machine == machine]) == Counter(
            key(run.params, run.seed) for run in search.space.runs(machine)
        )
    assert search.studies().ask() is None


def test_a_cut_grid_covers_its_points_first_and_more_may_be_wanted_later(bench: Make) -> None:
    search = bench(machines=("fan",), sampler="grid", search=MU_SIGMA2, seeds=2, trials=7)
    studies = search.studies()
    records = [search.play(studies, studies.ask(), 0.6) for _ in range(7)]
    assert studies.ask() is None
    assert {r.seed for r in records[:6]} == {0}
    assert len(had(records)) == 7
    search.quota(100)
    again = search.studies()
    assert again.machines["fan"].quota == 12  # more than the grid holds is all of it
    while (record := again.ask()) is not None:
        records.append(search.play(again, record, 0.6))
    assert had(records) == Counter(key(run.params, run.seed) for run in search.space.runs("fan"))


@pytest.mark.parametrize("name", ["none", "median"])
def test_a_grid_killed_again_and_again_is_run_exactly_once(bench: Make, name: str) -> None:
    """Two at a time; some die before their first record, some in the middle, some fail."""
    rng = np.random.default_rng(4)
    search = bench(sampler="grid", search={"head": HEADS["head"]}, seeds=2, pruner=name, trials=None)
    for _run in range(200):
        studies = search.studies()
        before = {r.id: r for m in studies.machines.values() for r in m.ended.values()}
        for _ in range(int(rng.integers(1, 6))):
            asked = [r for r in (studies.ask(), studies.ask()) if r is not None]
            for record in asked:
                assert record.id not in before
                fate = rng.random()
                if fate < 0.6:
                    search.play(studies, record, float(rng.uniform(0.4, 0.9)))
                elif fate < 0.7:
                    search.end(studies, record, TrialState.FAILED, "torn clip")
                elif fate < 0.85:
                    search.epoch(studies, record)
        if all(len(m.ended) == m.quota for m in studies.machines.values()):
            break
    for machine in ("fan", "fan-2"):
        records = list(search.ledger.records(machine))
        assert had(records) == Counter(key(run.params, run.seed) for run in search.space.runs(machine))
        assert all(r.state != TrialState.RUNNING for r in records)
