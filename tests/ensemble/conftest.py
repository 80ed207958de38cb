"""Searches made by hand, as the tests of the report make them."""

import importlib.util
from pathlib import Path

_path = Path(__file__).parents[1] / "report" / "conftest.py"
_spec = importlib.util.spec_from_file_location("searches_made_by_hand", _path)
assert _spec is not None
assert _spec.loader is not None
_made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_made)

bench, make_clips = _made.bench, _made.make_clips
