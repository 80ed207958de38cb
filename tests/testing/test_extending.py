"""What docs/extending.md prints runs as it stands, and keeps the contract."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from humtune.detectors.recipe import recipe_of
from humtune.search.space import check_space
from humtune.testing import contract
from humtune.testing.recordings import small_bank

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
SMALL = {"n_fft": 256, "chunk_frames": 64, "n_mels": 32}
CLASSIFIER: dict[str, Any] = {
    "spectrogram": SMALL,
    "backbone": {"width": 0.125, "embedding": 16},
    "training": {"epochs": 2, "batch_size": 8},
    "scores": ["cosine"],
}
RECIPES: dict[str, dict[str, Any]] = {
    "my_backbone": CLASSIFIER | {"backbone": {"kind": "my_backbone:Bands", "embedding": 16}},
    "my_branches": CLASSIFIER
    | {
        "spectrogram": SMALL | {"kind": "my_frontend:Contrast"},
        "backbone": {"kind": "my_branches:TwoBranches", "width": 0.125, "embedding": 16},
    },
    "my_score": CLASSIFIER
    | {"scores": ["my_score:MeanDistance"], "scoring": {"my_score:MeanDistance": {"power": 2.0}}},
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module", autouse=True)
def _modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The page's files, where Python finds them."""
    folder = tmp_path_factory.mktemp("mine")
    files = {re.match(r"# (\w+\.py)\n", block)[1]: block for block in blocks("python")}  # type: ignore[index]
    for name, text in files.items():
        (folder / name).write_text(text)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in files:
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_other_example_keeps_the_contract(name: str) -> None:
    contract.check_recipe(recipe_of(RECIPES[name]), small_bank())


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_space_of_the_page_is_one(text: str) -> None:
    raw = yaml.safe_load(text)
    check_space({"search": {"scoring.neighbours": [1, 2]}} | raw, where="page")


@pytest.mark.slow
def test_the_tests_of_the_page_pass() -> None:
    import test_mine  # type: ignore[import-not-found]

    test_mine.test_my_family()
    test_mine.test_my_head()
