"""Scoring where nothing is installed but what a model's requirements.txt names."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import humtune
from humtune.runtime.info import NEEDS

pytestmark = pytest.mark.integration


def closure(names: tuple[str, ...]) -> set[str]:
    """These distributions and all that they need, as far as they are installed for this Python."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:  # a marker of another system
            continue
        found.add(name)
        parsed = map(Requirement, requires)
        left += [r.name for r in parsed if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with links to the packages of these distributions alone, and to humtune's."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "humtune").symlink_to(Path(humtune.__file__).parent)
    packages = Path(str(distribution("numpy").locate_file("")))
    for name in closure(NEEDS):
        for top in {file.parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(packages / top)
    return folder


def run(site: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    program = "from humtune.cli.main import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-S", "-c", program, *map(str, words)],
        capture_output=True,
        text=True,
        env=environment,
    )


def test_what_a_model_names_is_enough_to_score(model, record, tmp_path, site):
    assert run(site, "score", model, record("a.wav", 0.05), "--out", tmp_path / "scores").returncode == 0
    assert (tmp_path / "scores" / "anomaly_score_fan.csv").read_text().startswith("a.wav,")


def test_a_command_that_needs_more_says_what_is_missing(tmp_path, site):
    found = run(site, "search", "quick", "--data", tmp_path)
    assert found.returncode == 1
    assert found.stderr.startswith("humtune: this needs "), found.stderr
    assert found.stderr.endswith(", which is not installed here; pip install humtune\n")
    assert len(found.stderr.splitlines()) == 1
