"""Scoring where nothing is installed but what a model's requirements.txt names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small import link_packages

import humtune
from humtune.runtime.info import NEEDS

pytestmark = pytest.mark.integration


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with links to the packages of these distributions alone, and to humtune's."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "humtune").symlink_to(Path(humtune.__file__).parent)
    link_packages(folder, NEEDS)
    return folder


COMMAND = "from humtune.cli.main import main; main()"
API = """
import sys
from humtune import Model
model = Model.load(sys.argv[1])
[scored] = model.score(sys.argv[2])
explained = model.explain(sys.argv[2]).scored
print(round(scored.score, 3), explained.score == scored.score, "<table>" in model._repr_html_())
"""


def run(site: Path, *words: object, program: str = COMMAND) -> "subprocess.CompletedProcess[str]":
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


def test_it_is_enough_for_a_model_in_python(model, record, site):
    found = run(site, model, record("a.wav", 0.05), program=API)
    assert (found.stdout, found.stderr) == ("0.05 True True\n", "")


def test_a_command_that_needs_more_says_what_is_missing(tmp_path, site):
    found = run(site, "search", "quick", "--data", tmp_path)
    assert found.returncode == 1
    assert found.stderr.startswith("humtune: this needs "), found.stderr
    assert found.stderr.endswith("; pip install ./humtune, humtune's own folder, brings it\n")
    assert len(found.stderr.splitlines()) == 1
