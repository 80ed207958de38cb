"""--set wins over everything that a space says, and is told in one sentence where it can't."""

from typing import Any

import pytest

from humtune.errors import UsageError
from humtune.search.space import Space, check_space
from humtune.search.space.dimensions import Presets
from humtune.search.space.overrides import override, read_settings

SPECTROGRAMS = {"presets": {"low": {"n_fft": 1024, "n_mels": 64}, "linear": {"n_fft": 256, "db": False}}}
HEADS = {
    "presets": {"variational": {"beta_class": 10}, "ce": {"kind": "cross_entropy"}},
    "search": {"variational": {"mu": [5, 10], "sigma2": [0.1, 0.5]}},
}


def make(**keys: Any) -> Space:
    return check_space({"search": {"head.mu": [5, 10]}, **keys}, where="here")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("head.mu", "--set head.mu: write KEY=VALUE, such as training.epochs=5"),
        ("=5", "--set =5: write KEY=VALUE"),
        ("scores=[cosine", "--set scores=[cosine is not YAML: line 1: expected ',' or ']'"),
    ],
)
def test_words_that_set_nothing_are_told(word: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings([word])
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_values_are_yaml() -> None:
    words = ["training.learning_rate=1e-3", "spectrogram.n_mels=null", "scores=[cosine, nll]", "a==b"]
    assert read_settings(words) == {
        "training.learning_rate": 0.001,
        "spectrogram.n_mels": None,
        "scores": ["cosine", "nll"],
        "a": "=b",
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"head.muu": 5}, "command line: fixed: head.muu = 5: no such setting; did you mean head.mu?"),
        (
            {"spectrogram.nmels": 5},
            "spectrogram.nmels = 5: no such setting; did you mean spectrogram.n_mels?",
        ),
        ({"backbone.width": -1}, "command line: fixed: backbone.width = -1: should be greater than 0"),
        ({"head.mu": [5, 10], "head.sigma2": 0.1}, "search = {}: should not be empty"),
        ({"seed": 3}, "command line: seed: every trial has its own"),
        ({"training": 3, "training.epochs": 3}, "training.epochs = 3: training is 3 already"),
    ],
)
def test_settings_that_can_not_be_are_told(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=r"^[^\n]+$") as caught:
        override(make(), settings=settings)
    assert said in str(caught.value)


def test_what_is_set_goes_before_fixed_machines_search_and_first() -> None:
    space = make(
        fixed={"backbone": {"width": 0.5}, "training.epochs": 9},
        machines={"fan": {"backbone.width": 2, "backbone.embedding": 16}},
        search={"head.mu": [5, 10], "head.sigma2": [0.1, 0.5]},
        first=[{"head.mu": 5, "head.sigma2": 0.1}, {"head.mu": 10, "head.sigma2": 0.1}, {"head.mu": 10}],
    )
    changed = override(space, trials=4, settings={"backbone.width": 1, "head": {"mu": 7}})
    assert changed.trials == 4
    recipe = changed.recipe({"head.sigma2": 0.5}, machine="fan")
    assert (recipe.backbone.width, recipe.backbone.embedding, recipe.head.mu) == (1, 16, 7)
    assert (recipe.head.sigma2, recipe.training.epochs) == (0.5, 9)
    assert list(changed.search) == ["head.sigma2"]
    assert changed.first == ({"head.sigma2": 0.1},)  # two became one, of the third nothing is left
    assert override(space) == space


def test_seeds_are_those_of_a_grid_or_list() -> None:
    grid = override(make(sampler="grid", search={"head.mu": [5, 10]}), seeds=3)
    assert [run.seed for run in grid.runs("fan")] == [0, 0, 1, 1, 2, 2]
    with pytest.raises(UsageError, match="command line: seeds = 3: tpe spends its trials better"):
        override(make(), seeds=3)


def test_presets_that_name_a_key_get_the_value() -> None:
    changed = override(make(search={"spectrogram": SPECTROGRAMS}), settings={"spectrogram.n_mels": 32})
    spectrograms = [changed.recipe({"spectrogram": name}).spectrogram for name in ("low", "linear")]
    assert [(p.n_fft, p.n_mels, p.db) for p in spectrograms] == [(1024, 32, True), (256, 32, False)]
    assert changed.recipe({}).spectrogram.n_mels == 32


def test_presets_that_do_not_know_a_key_are_left_alone() -> None:
    space = make(search={"head": HEADS}, first=[{"head": "variational", "head.mu": 5, "head.sigma2": 0.1}])
    changed = override(space, settings={"head.mu": 7, "head.beta_class": 1})
    variational = changed.recipe({"head": "variational", "head.sigma2": 0.5}).head
    assert variational.model_dump() == {"kind": "variational", "mu": 7, "sigma2": 0.5, "beta_class": 1}
    assert changed.recipe({"head": "ce"}).head.kind == "cross_entropy"
    assert list(changed.distributions()) == ["head", "head.sigma2"]
    assert changed.first == ({"head": "variational", "head.sigma2": 0.1},)
    branch = changed.search["head"]
    assert isinstance(branch, Presets)
    both = override(changed, settings={"head.sigma2": 0.2}).search["head"]
    assert isinstance(both, Presets)
    assert both.search == {}
