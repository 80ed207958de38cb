import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.recipe import recipe_of
from humtune.ledger import Ledger
from humtune.tracking import sync

pytestmark = pytest.mark.integration


def test_the_pictures_are_pictures_and_the_configuration_is_the_trials(
    ledger: Ledger, uri: str, named: Callable[[str], dict[str, Any]]
) -> None:
    sync(ledger, uri=uri)
    folder = Path(urlsplit(named(uri)["fan"]["info"]["artifact_uri"]).path) / "best"
    assert (folder / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "roc.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((folder / "config.json").read_bytes())
    assert config == ledger.read("fan-00000").config
    assert isinstance(recipe_of(config), Classifier)
