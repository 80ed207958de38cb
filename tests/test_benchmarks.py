"""Searches of trials that learn nothing, which several benchmarks run, must come to their end."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.integration
def test_trials_that_learn_nothing_run_to_their_end() -> None:
    command = [sys.executable, BENCHMARKS / "overhead.py", "--trials", "4", "--way", "loop"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 trials of 5 steps" in done.stdout
