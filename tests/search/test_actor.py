"""What Ray Tune's processes import: the coat's steps are tested with the trial in test_trial.py."""

import subprocess
import sys


def test_the_coat_brings_no_torch_before_a_trial_begins() -> None:
    """A process that waits for its first trial, and one of a benchmark's, stay small."""
    assert brought_by("humtune.search.actor", "torch", "optuna", "mlflow") == "[]"


def test_a_search_starts_without_what_only_its_trials_and_reports_need() -> None:
    assert brought_by("humtune.search.run", "torch", "sklearn", "scipy.stats", "matplotlib") == "[]"


def brought_by(module: str, *heavy: str) -> str:
    told = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return found.stdout.strip()
