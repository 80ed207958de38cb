"""Whatever takes long shows that it goes on: on a terminal at once, in a log after seconds."""

import subprocess
import sys
from pathlib import Path

import pytest
from searches import Bench
from terminal import Terminal, held
from waiting import wait_for

COMMANDS = [
    "data import in --out data",
    "data check data",
    "learn in --out model",
    "search quick --data data",
    "resume first",
    "report first",
    "show first",
    "ensemble first",
    "export first",
    "track first",
    "optuna first",
    "score model in",
    "threshold model",
    "evaluate scores",
]
HUMTUNE = (sys.executable, "-m", "humtune.cli.main")
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@pytest.mark.integration
@pytest.mark.parametrize("command", COMMANDS)
def test_slow_imports_are_seen(tmp_path: Path, command: str) -> None:
    """The first large package is held back until the screen has moved; then each ends with what is wrong."""
    env, until = held(tmp_path, "numpy")
    with Terminal(*HUMTUNE, *command.split(), cwd=tmp_path, env=env) as screen:
        wait_for(lambda: len({s for s in SPINNER if f"{s} loading humtune" in screen.text}) > 3)
        until.touch()
        assert screen.wait() in (1, 2)
        assert screen.text.count("humtune: ") == 1, screen.text


@pytest.mark.integration
def test_slow_imports_are_a_line_in_a_log(tmp_path: Path) -> None:
    env, until = held(tmp_path, "numpy")
    words = (*HUMTUNE, "resume", "first")
    with subprocess.Popen(words, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert process.stderr.readline() == "loading humtune: 2 s so far\n"
        until.touch()
        assert process.stderr.read().startswith("humtune: ")
    assert process.returncode == 2


@pytest.mark.integration
@pytest.mark.parametrize(
    ("command", "title"), [("search quick --data data", "loading humtune"), ("resume fans", "reading fans")]
)
def test_what_a_space_names_is_imported_in_sight(
    bench: Bench, tmp_path: Path, command: str, title: str
) -> None:
    bench.search(space={"trials": 1, "search": {"head.mu": [5, 10]}})
    env, until = held(tmp_path, "torch")
    words = (*command.split(), "--storage", bench.storage.uri)
    with Terminal(*HUMTUNE, *words, cwd=tmp_path, env=env) as screen:
        screen.wait_for(until.with_name("until.reached").exists, "the import")
        before = len(screen.text)
        wait_for(lambda: len({s for s in SPINNER if f"{s} {title}" in screen.text[before:]}) > 3, title)
