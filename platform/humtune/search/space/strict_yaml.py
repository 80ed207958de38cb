"""YAML as people mean it: 1e-3 is a number, and what could mean two things is an error with file and line."""

import re
from pathlib import Path
from typing import Any

import yaml

from humtune.errors import UsageError

TEXT = "tag:yaml.org,2002:str"
MERGE = "tag:yaml.org,2002:merge"
FLOAT = "tag:yaml.org,2002:float"
INT = "tag:yaml.org,2002:int"
BOOL = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes 1e-3 for a text and 2024-01-31 for a date."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    FLOAT, re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; a UsageError names the file, the line and what is wrong there."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{path} is not UTF-8 text: line {line} has the byte 0x{data[error.start]:02x}; "
            "save it again as UTF-8"
        ) from error
    raw = read_value(text, where=str(path))
    if not isinstance(raw, dict):
        raise UsageError(f"{path} holds no settings; it wants keys like `search:` and `fixed:`")
    return raw


def read_value(text: str, *, where: str) -> Any:
    """The value that a piece of YAML stands for; a UsageError says where it is and what is wrong."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node, (), [])
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UsageError(f"{where} is not YAML: {line}{_problem(error)}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UsageError(f"{where} is not YAML: its brackets are nested too deeply") from error
    except _Unclear as unclear:
        raise UsageError(f"{where}: line {unclear.line}: {unclear}") from unclear


class _Unclear(Exception):
    """YAML that can be read, but hardly means what it says."""

    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem)
    if "another document" in problem:
        return "another document begins here; a file holds one"
    return f"{problem}; indent with spaces" if "'\\t'" in problem else problem


def _check(node: yaml.Node, place: tuple[str, ...], above: list[yaml.Node]) -> None:
    """Refuse what would be read as something else than was meant; `place` are the keys that lead here."""
    at = f"{'.'.join(place)}: " if place else ""
    if node in above:
        raise _Unclear(node, f"{at}the anchor holds itself")
    match node:
        case yaml.MappingNode():
            _check_keys(node, at)
            for key, value in node.value:
                _check(value, (*place, *([] if key.tag == MERGE else [key.value])), [*above, node])
        case yaml.SequenceNode():
            for value in node.value:
                _check(value, place, [*above, node])
        case yaml.ScalarNode():
            _check_number(node, at)


def _check_keys(node: yaml.MappingNode, at: str) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag not in (TEXT, MERGE):
            said = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            raise _Unclear(key, f"{at}a key should be text, got {said}; write it in quotes")
        if key.value in seen:
            raise _Unclear(key, f"{at}{key.value!r} stands twice; keep one")
        seen.add(key.value)


def _check_number(node: yaml.ScalarNode, at: str) -> None:
    value, unsigned = node.value, node.value.lstrip("+-")
    if node.tag in (INT, FLOAT) and ":" in value:
        raise _Unclear(node, f"{at}{value} is a number to the base of 60 in YAML; write it out, or in quotes")
    if node.tag == INT and re.fullmatch(r"0[0-7_]+", unsigned):
        plain = unsigned.replace("_", "").lstrip("0") or "0"
        raise _Unclear(
            node, f"{at}{value} is {int(unsigned, 8)} in YAML, octal; write {plain} or {int(unsigned, 8)}"
        )
    if node.tag == FLOAT and (unsigned.lower() in (".inf", ".nan") or _is_huge(value)):
        raise _Unclear(node, f"{at}{value} is no finite number; give one")


def _is_huge(value: str) -> bool:
    """Whether a number is too large for a float, which becomes infinite."""
    try:
        return float(value.replace("_", "")) == float("inf")
    except ValueError:
        return False
