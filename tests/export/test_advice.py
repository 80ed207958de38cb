"""What a model's card says of a computer that only scores, done there word by word."""

import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small import link_packages

from humtune.config import SAMPLE_RATE
from humtune.export.search import export_machine
from humtune.runtime.info import CARD, NEEDS

HOUSE = Path(__file__).parents[2]


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """The programs of an environment that has nothing yet but pip.

    Beside it lie the packages that pip would fetch, and what builds a wheel.
    """
    venv.create(tmp_path / "venv", with_pip=True)
    [site] = (tmp_path / "venv").glob("lib/*/site-packages")
    link_packages(site, (*NEEDS, "hatchling"))
    return tmp_path / "venv" / "bin"


@pytest.mark.integration
def test_a_card_leads_from_an_empty_environment_to_a_score(ledger, tmp_path, empty) -> None:
    here = tmp_path / "models"
    export_machine(ledger, "fan", here / "fan", product="single")
    (here / "humtune").symlink_to(HOUSE)
    (here / "recordings").mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE)
    soundfile.write(here / "recordings" / "a.wav", noise, SAMPLE_RATE)

    def done(line: str) -> str:
        path = f"{empty}:/usr/bin:/bin"
        env = {"PATH": path, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # 0: without isolation
        found = subprocess.run(shlex.split(line), cwd=here, env=env, capture_output=True, text=True)
        assert found.returncode in ((0, 3) if line.startswith("humtune score") else (0,)), found.stderr
        return found.stdout

    card = (here / "fan" / CARD).read_text().partition("## Run it")[2].partition("Without humtune")[0]
    lines = [line for block in re.findall(r"```\n(.*?)```", card, re.DOTALL) for line in block.splitlines()]
    score, requirements, humtune = lines
    [wheel] = re.findall(r"`(pip wheel [^`]+)`", card)
    done(requirements)
    done(humtune)
    assert done(score).count("a.wav") == 1
    assert (here / "scores" / "anomaly_score_fan.csv").read_text().startswith("a.wav,")

    done("pip uninstall --yes humtune")
    done(wheel)
    [built] = here.glob("humtune-*.whl")
    done(f"pip install --no-deps {built.name}")
    place = done(f"{empty}/python -c 'import humtune; print(humtune.__file__)'")
    assert Path(place).is_relative_to(empty.parent)
    assert not str(place).startswith(sys.prefix)
