"""What Ray Tune's processes import: the coat's steps are tested with the trial in test_trial.py."""

import subprocess
import sys


def test_the_coat_brings_no_torch_before_a_trial_begins() -> None:
    """A process that waits for its first trial, and one of a benchmark's, stay small."""
    heavy = "('torch', 'optuna', 'mlflow')"
    told = f"import sys, humtune.search.actor; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
