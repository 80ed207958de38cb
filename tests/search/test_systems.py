"""The published systems: each is carried at full size and as a small one, and makes trials."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from humtune.config import SHARED
from humtune.search.space import Space, read_space
from humtune.search.space.fit import check_all
from humtune.search.space.grid import grid
from humtune.sounds.bank import ClipBank
from humtune.sounds.joined import expose, join_banks
from humtune.testing.recordings import small_bank

FOLDER = Path(__file__).parents[2] / "search_spaces" / "systems"
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.yaml"))


@lru_cache
def two_machines(seconds: int) -> dict[str, ClipBank]:
    return {name: small_bank(name, seconds=seconds) for name in ("small", "other")}


def system(name: str) -> Space:
    return read_space(f"systems/{name}")[1]


def test_each_system_has_a_tiny_one_and_no_tiny_one_stands_alone() -> None:
    assert NAMES
    assert [path.stem for path in sorted((FOLDER / "tiny").glob("*.yaml"))] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_system_says_where_it_comes_from_and_what_was_published(name: str) -> None:
    said = system(name).description
    assert "et al. 20" in said
    assert "Published" in said
    assert "urs" in said  # what is ours, where the publication is silent


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "seconds"), [("", 10), ("tiny/", 4)])
def test_a_system_fits_the_recordings_that_it_is_made_for(name: str, size: str, seconds: int) -> None:
    check_all(system(size + name), two_machines(seconds))


@pytest.mark.parametrize("size", ["", "/tiny"])
def test_the_folders_name_is_a_space_of_every_point_of_every_system(size: str) -> None:
    name, together = read_space(f"systems{size}")
    assert name == (size[1:] or "systems")
    alone = [system(f"{size[1:]}/{one}".removeprefix("/")) for one in NAMES]
    assert together.seeds == max(space.seeds for space in alone)
    recipes = [together.recipe(run.params, seed=run.seed) for run in together.runs("fan")]
    first = recipes[: len(recipes) // together.seeds]
    assert first == [
        space.recipe(point)
        for space in alone
        if space.trials != 0
        for point in space.chosen_by("fan", grid(space.search))
    ]
    shared = [together.recipe(run.params, machine=SHARED, seed=run.seed) for run in together.runs(SHARED)]
    sharing = [space for space in alone if space.shared_trials]
    each = [
        space.recipe(r.params, machine=SHARED, seed=r.seed) for space in sharing for r in space.runs(SHARED)
    ]
    assert shared == sorted(each, key=lambda recipe: recipe.seed)
    assert len(shared) == together.quota(SHARED) == sum(space.quota(SHARED) for space in sharing)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", NAMES)
def test_every_point_of_a_tiny_system_trains_and_scores_and_one_score_can_be_exported(name: str) -> None:
    space, bank = system(f"tiny/{name}"), small_bank(seconds=1.1)
    others = [small_bank("other", seconds=1.1, seed=1)]
    for run in space.runs("small"):
        recipe = space.recipe(run.params, machine="small", seed=run.seed)
        shared = None
        if recipe.starts_shared:
            shared = space.recipe(space.runs(SHARED)[-1].params, machine=SHARED)
            recipe = recipe.starting_from(shared)
        fit = recipe.start(expose(bank, others) if recipe.exposed else bank)
        if shared:
            fit.start_from(shared.start(join_banks([bank, *others])).encoder)
        assert all(np.isfinite(value) for value in fit.step().values())
        detector = fit.finish()
        clips = bank.table.having("select")
        found = detector.score(detector.encode(bank, clips))
        assert set(found) == set(recipe.score_types)
        assert all(np.isfinite(scores).all() and scores.std() > 0 for scores in found.values())
        assert any(recipe.can_be_exported(name) for name in found)
