"""A search from a script, in a Ray of the script's own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SCRIPT = """
import os, ray
from humtune import Search, data

print("begins")
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
data.synth("recordings", machines=["fan"], sections=1, clips=6, target_clips=2, test_per_cell=2, seconds=1.0)
found = Search.start(
    {"trials": 2, "fixed": {"family": "gaussian_mixture"}, "search": {"components": [1, 2]}}, "recordings"
)
assert ray.is_initialized(), "it was the script's"
assert ray.get(ray.remote(lambda: 7).remote()) == 7
print(found.name, found.trials()["state"].tolist())
"""


def test_a_script_needs_no_guard_and_keeps_its_own_ray(
    tmp_path: Path, mlflow_ready: Callable[[Path], Path]
) -> None:
    mlflow_ready(tmp_path / "humtune-runs")
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("begins") == 1  # Ray's processes don't run the script
    assert lines[-1] == "search ['complete', 'complete']"
    ended = [line for line in lines if line.startswith("fan-0000")]  # a line a trial, without a terminal
    assert len(ended) == 2
