"""What tests of several folders share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings and scores, which is no part of the project."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HUMTUNE_REAL_DATA", beside))
    if not (folder / "dcase2023").is_dir():
        pytest.skip(f"no real recordings in {folder}; HUMTUNE_REAL_DATA names another folder")
    return folder
