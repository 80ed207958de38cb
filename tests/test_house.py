"""The house itself: its folders, its import order, what an import does, and the wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]


def python(*words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("folder", ["platform", "mlflow"])
def test_folders_named_like_modules_are_no_packages(folder: str) -> None:
    """With an __init__.py, `platform` would hide the standard module and `mlflow` the library."""
    assert (HOUSE / folder).is_dir()
    assert not (HOUSE / folder / "__init__.py").exists()
    assert not list((HOUSE / "mlflow").rglob("__init__.py"))
    assert not list((HOUSE / "tests").rglob("__init__.py"))


@pytest.mark.integration
def test_the_checkout_hides_no_module() -> None:
    code = "import platform, mlflow; print(platform.python_version(), mlflow.__version__)"
    done = python("-c", code, cwd=HOUSE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3.")


IMPORT_ALL = """
import logging, os, pkgutil, sys, threading
from importlib import import_module

import ray.tune, mlflow, torch, torchaudio, optuna, onnxruntime, sklearn.metrics  # theirs is not ours
handlers, threads, environment = list(logging.root.handlers), threading.active_count(), dict(os.environ)
import humtune
names = [m.name for m in pkgutil.walk_packages(humtune.__path__, "humtune.")]
for name in names:
    import_module(name)
assert len(names) > 40, names
assert logging.root.handlers == handlers, logging.root.handlers
assert logging.getLogger("humtune").handlers == []
assert threading.active_count() == threads, threading.enumerate()
assert dict(os.environ) == environment
assert "matplotlib.pyplot" not in sys.modules
assert not ray.is_initialized()
"""


@pytest.mark.integration
def test_an_import_does_nothing(tmp_path: Path) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    done = python("-W", "error::SyntaxWarning", "-c", IMPORT_ALL, cwd=here, HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert (done.stdout, list(here.iterdir())) == ("", [])
    assert [p.name for p in home.rglob("*") if "humtune" in p.name] == []


@pytest.mark.integration
def test_imports_run_one_way() -> None:
    done = python("-c", "from importlinter.cli import lint_imports_command as c; c()", cwd=HOUSE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


FIND_QUICK = """
import humtune
from humtune.search.space import read_space
print(humtune.__file__)
print(read_space("quick")[1].trials)
print(read_space("paper/mu_sigma2")[1].reproduces)
"""


@pytest.mark.integration
def test_a_wheel_installed_elsewhere_finds_quick(tmp_path: Path) -> None:
    built = python(
        "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", HOUSE, cwd=tmp_path
    )
    assert built.returncode == 0, built.stdout + built.stderr
    [wheel] = (tmp_path / "dist").glob("humtune-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"humtune/py.typed", "humtune/runtime/page.html"} <= set(names)
    for path in (HOUSE / "search_spaces").rglob("*.yaml"):
        assert f"humtune/{path.relative_to(HOUSE).as_posix()}" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"humtune"}  # no tests, no platform/

    site = tmp_path / "site"
    words = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel)
    installed = python(*words, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    found = python("-c", FIND_QUICK, cwd=empty, PYTHONPATH=str(site))
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [str(site / "humtune" / "__init__.py"), "8", "table3"]
    command = python(
        site / "bin" / "humtune", "search", "quik", "--data", ".", cwd=empty, PYTHONPATH=str(site)
    )
    assert command.returncode == 2
    assert command.stderr.startswith(
        "humtune: no search space named 'quik'; there are: auto, heads, operator, paper,"
    )
    assert list(empty.iterdir()) == []
