"""Run the command in children that kill themselves at given moments: a script, which has no threads to copy.

    python killed.py SPACE

Each line of its input is a job in JSON: a folder to work in, the command's words, and moments. A child runs
for each moment, and one to the end; for each it prints how it ended. A moment is the end of a path: a child
dies when the file or folder there is whole, and about to get its name. Searches run without Ray, and
`humtune learn` searches SPACE.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from loop import search_here
from torch import nn

from humtune import learn
from humtune.cli.main import main
from humtune.export.onnx import _export
from humtune.sounds import probes

SLOW = (
    "humtune.search.run",
    "mlflow.artifacts",
    "mlflow.store.db.utils",
    "mlflow.store.tracking.sqlalchemy_store",
    "onnxruntime",
    "ray.tune",
    "sklearn.cluster",
)


def deadly(move: Callable[[Path, Path], Any], moment: str) -> Callable[[Path, Path], Any]:
    """The same but for a target with that end, before which the process dies."""

    def moved(path: Path, target: Path) -> Any:
        if str(target).endswith(moment):
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return move(path, target)

    return moved


def run(moment: str, words: list[str]) -> str:
    """How a child ended."""
    if not (child := os.fork()):
        for name in ("rename", "replace"):
            setattr(Path, name, deadly(getattr(Path, name), moment))
        sys.argv, code = ["humtune", *words], 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    return "killed" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"


if __name__ == "__main__":
    for slow in SLOW:  # once, and not in each child
        importlib.import_module(slow)
    _export(nn.Identity(), torch.zeros(1), inputs=["x"], outputs=["y"])  # what exports read
    search_here(pytest.MonkeyPatch())
    learn.SPACE, probes.PER_KIND = sys.argv[1], 12
    for line in sys.stdin:
        job = json.loads(line)
        os.chdir(job["folder"])
        for chosen in (*job["moments"], "through"):
            print(f"{chosen}: {run(chosen, job['words'])}", flush=True)
        print("done", flush=True)
