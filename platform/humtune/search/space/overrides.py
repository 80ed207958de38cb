"""What the command line says differently from a space."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from humtune.config import SHARED, check_spelled_once, leaves, set_path
from humtune.detectors.recipe import recipe_of
from humtune.errors import UsageError
from humtune.search.space.checks import check_space
from humtune.search.space.dimensions import Dimension, Presets, within
from humtune.search.space.grid import Point
from humtune.search.space.space import Space, nested
from humtune.search.space.strict_yaml import read_value

OF_THE_SPACE = ("objective",)  # what may be set that is a space's, and no trial's


def read_settings(words: Sequence[str]) -> dict[str, Any]:
    """Settings by dotted names out of words like `training.epochs=5`, whose values are YAML."""
    settings: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {word}: write KEY=VALUE, such as training.epochs=5")
        key = name.strip()
        if key in settings:
            raise UsageError(f"--set {word}: {key} is set already, to {settings[key]!r}; keep one")
        settings[key] = read_value(value, where=f"--set {word}")
    try:
        check_spelled_once(settings)
    except UsageError as error:
        raise UsageError(f"--set: {error}") from error
    return settings


def override(
    space: Space,
    *,
    trials: int | None = None,
    shared_trials: int | None = None,
    seeds: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Space:
    """The space with so many trials and seeds, and settings that win over all it says of them.

    A setting goes to `fixed` and leaves `machines`, `search` and `first`. Where it lies in a branch that is
    searched by presets, each preset that knows the key gets it.
    """
    counts = {"trials": trials, "shared_trials": shared_trials, "seeds": seeds}
    raw = space.model_dump() | {name: count for name, count in counts.items() if count is not None}
    settings = dict(settings or {})
    raw |= {name: settings.pop(name) for name in OF_THE_SPACE if name in settings}
    search = dict(space.search)
    fixed = nested(space.fixed)
    machines = {machine: nested(own) for machine, own in space.machines.items()}
    if space.shared_trials and shared_trials == 0:
        raw["machines"] = machines = {m: own for m, own in machines.items() if m != SHARED}
    for name, value in leaves(nested(settings)):
        search, everywhere = _settled(search, name, value, nested(fixed))
        if everywhere:
            set_path(fixed, name, value)
        machines = {machine: _without(own, name) for machine, own in machines.items()}
        raw["first"] = _distinct({k: v for k, v in point.items() if k != name} for point in raw["first"])
    if settings:
        raw |= {"fixed": fixed, "machines": machines}
        raw["search"] = {name: dimension.model_dump() for name, dimension in search.items()}
    return check_space(raw, where="command line")


def _settled(
    dimensions: Mapping[str, Dimension], name: str, value: Any, tree: dict[str, Any], *, above: str = ""
) -> tuple[dict[str, Dimension], bool]:
    """The dimensions without what is set, and whether every trial can have it; `tree` is what is fixed."""
    left: dict[str, Dimension] = {}
    everywhere = True
    for leaf, dimension in dimensions.items():
        whole = above + leaf
        if whole == name:
            continue
        left[leaf] = dimension
        if isinstance(dimension, Presets) and name.startswith(within(whole)):
            left[leaf], everywhere = _inside(dimension, whole, name, value, tree)
    return left, everywhere


def _inside(branch: Presets, whole: str, name: str, value: Any, tree: dict[str, Any]) -> tuple[Presets, bool]:
    """A branch whose presets have the value where they know the key, as not every kind of head does."""
    trees = {preset: nested(tree, branch.settings(whole, preset)) for preset in branch.presets}
    knowing = [preset for preset in trees if _knows(trees[preset], name, value)]
    leaf = name.removeprefix(within(whole))
    presets = branch.presets | {p: nested(branch.presets[p], {leaf: value}) for p in knowing}
    below = {
        preset: _settled(opened, name, value, trees[preset], above=within(whole))[0]
        for preset, opened in branch.search.items()
    }
    update = {"presets": presets, "search": {preset: opened for preset, opened in below.items() if opened}}
    return branch.model_copy(update=update), len(knowing) in (0, len(presets))


def _knows(tree: dict[str, Any], name: str, value: Any) -> bool:
    try:
        recipe_of(nested(tree, {name: value}))
    except ValidationError as error:
        return all(e["type"] != "extra_forbidden" for e in error.errors())
    return True


def _without(tree: dict[str, Any], name: str) -> dict[str, Any]:
    """A tree without the leaf of that dotted name."""
    branch, _, rest = name.partition(".")
    if not rest:
        return {k: v for k, v in tree.items() if k != branch}
    return tree | {branch: _without(tree[branch], rest)} if isinstance(tree.get(branch), dict) else tree


def _distinct(points: Iterable[Point]) -> list[Point]:
    """The points that still say something, each once."""
    left: list[Point] = []
    for point in points:
        if point.keys() - {"machine"} and point not in left:
            left.append(point)
    return left
