"""What is wrong with a space, in one line of the user's own words: key, value, bound."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from humtune import plugins
from humtune.search.space.dimensions import Range
from humtune.search.space.space import Space

_TAGS = {"range", "choice", "presets", "values", "[key]"}  # in pydantic's paths, not in the user's
_WORDS = {
    "missing": "is missing",
    "too_short": "should not be empty",
    "dict_type": "should be a mapping",
    "model_type": "should be a mapping",
    "tuple_type": "should be a list",
}


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong, in one line: key, value, bound. Misspelt keys come first."""
    first = first_of(error)
    key = _key(first["loc"])
    if not key:  # of no one setting: how several go together
        return message_of(first)
    if first["type"] == "missing":
        return f"{key} {message_of(first)}"
    return f"{key} = {first['input']!r}: {message_of(first)}"


def why_apart(error: ValidationError) -> str:
    """Why values that are each valid don't go together: the rule that says so, without all that it saw."""
    first = first_of(error)
    of_a_rule = first["type"] == "value_error" and isinstance(first["input"], dict)
    return message_of(first) if of_a_rule else first_error(error)


def _key(place: tuple[int | str, ...]) -> str:
    """A setting's dotted name, without the names of pydantic's alternatives."""
    return ".".join(str(part) for part in place if part not in _TAGS)


def first_of(error: ValidationError) -> Any:
    """The error to report: a misspelt key before the others that it brings."""
    return min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")


def message_of(first: Any) -> str:
    """What is wrong, without key and value."""
    last = str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        path = _key(first["loc"])
        names = [*_settings(), *Space.model_fields, *Range.model_fields, "presets", "extends"]
        close = get_close_matches(path, names, 1) or get_close_matches(last, names, 1)
        if close and close[0] == path:
            return "no such setting of the kind that is chosen"
        return (
            f"no such setting; did you mean {close[0]}?" if close and close[0] != last else "no such setting"
        )
    if first["type"] == "model_type" and last == "range":
        return "should be a list of values, or {low: …, high: …}; a single value goes to fixed"
    return str(_WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ").removeprefix("Input "))


def _settings() -> Iterator[str]:
    """The settings of humtune's own families, by their dotted names."""
    for name in plugins.BUILT_IN[plugins.FAMILY]:
        yield from (name for name, _ in _flat(plugins.find(plugins.FAMILY, name)().model_dump()))


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A tree's branches and leaves by their dotted names."""
    for name, value in tree.items():
        yield prefix + name, value
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
