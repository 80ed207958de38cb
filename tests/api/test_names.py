"""The public names: all of them documented, none imported before it is asked for."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import humtune


def test_each_name_is_where_it_says_and_has_a_docstring() -> None:
    assert set(humtune.__all__) == set(humtune._PLACES)
    for name in humtune.__all__:
        assert getattr(humtune, name).__doc__, name
    assert {*humtune.__all__, "__version__"} == set(dir(humtune))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = humtune.nothing
    with pytest.raises(ImportError):
        from humtune import nothing  # noqa: F401


def test_the_documented_names_are_the_public_ones() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, flags=re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"\w+", row)) == sorted(humtune.__all__)


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, humtune; print([m for m in sys.modules if m.startswith('humtune.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_all_other_modules_are_found_as_before() -> None:
    assert import_module("humtune.errors") is humtune.errors
