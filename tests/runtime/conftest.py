"""Model folders made by hand, recordings of a known loudness, and a user whom permissions bind."""

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from models import RATE, make_graph, make_info, write_model

NOBODY = 65_534  # a user id that owns nothing


@pytest.fixture
def model(tmp_path) -> Path:
    """A model folder with the threshold 0.1."""
    folder = tmp_path / "models" / "fan"
    write_model(folder, make_info())
    return folder


@pytest.fixture
def tools():
    """The makers above, for tests that need another model."""
    return {"info": make_info, "graph": make_graph, "write": write_model}


@pytest.fixture
def record(tmp_path):
    """Write a square wave of that loudness, whose root mean square it is; the file."""

    def write(name, loudness, *, samples=8_000, rate=RATE, channels=1) -> Path:
        path = tmp_path / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = loudness * np.where(np.arange(samples) % 2, 1.0, -1.0)
        soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate, subtype="PCM_16")
        return path

    return write


@pytest.fixture
def as_nobody(tmp_path):
    """Be a user whom permissions bind, for a while: root may read everything. Others are it already."""

    @contextmanager
    def change():
        if os.geteuid():
            yield
            return
        for folder in [tmp_path, *tmp_path.parents[:3]]:  # pytest's own folders are root's alone
            before.append((folder, folder.stat().st_mode))
            folder.chmod(folder.stat().st_mode | 0o055)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    before: list[tuple[Path, int]] = []
    yield change
    for folder, mode in before:
        folder.chmod(mode)
