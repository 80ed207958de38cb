"""YAML as people mean it: 1e-3 is a number, and a key that stands twice is an error."""

import re
from pathlib import Path
from typing import Any

import yaml

from humtune.errors import UsageError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes 1e-3 for a text and forgets the first of two equal keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; a UsageError names the file, the line and what is wrong there."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file: {error}") from error
    raw = read_value(text, where=str(path))
    if not isinstance(raw, dict):
        raise UsageError(f"{path} holds no settings; it wants keys like `search:` and `fixed:`")
    return raw


def read_value(text: str, *, where: str) -> Any:
    """The value that a piece of YAML stands for; a UsageError says where it is and what is wrong."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UsageError(f"{where} is not YAML: {line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
