"""All points of a space: each combination of what its dimensions can be, with what chosen presets open."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from humtune.records import ParamValue
from humtune.search.space.dimensions import Dimension, Presets

MOST_POINTS = 100_000  # of a grid: more is a slip of the pen

Point = dict[str, ParamValue]


class Run(NamedTuple):
    """A point of the space that is run whatever the others give, and from which seed."""

    params: Point
    seed: int
    started_from: str | None = None  # the shared trial whose encoder it starts from; None: the best one


def grid(dimensions: Mapping[str, Dimension]) -> list[Point]:
    """Every point there is, the last dimension changing fastest; a ValueError where they can't all be run."""
    points = list(islice(combinations(dimensions, lambda _, d: d.every()), MOST_POINTS + 1))
    if len(points) > MOST_POINTS:
        raise ValueError(f"a grid of more than {MOST_POINTS} points; search fewer values")
    return points


def combinations(
    dimensions: Mapping[str, Dimension],
    values: Callable[[str, Dimension], tuple[ParamValue, ...]],
    *,
    wanted: Callable[[str], bool] = lambda name: True,
) -> Iterator[Point]:
    """Every combination of some values of the dimensions whose names are wanted."""
    chosen = {name: dimension for name, dimension in dimensions.items() if wanted(name)}
    if not chosen:
        yield {}
        return
    name, *others = chosen
    dimension = chosen[name]
    for value in values(name, dimension):
        below = dimension.below(name, value) if isinstance(dimension, Presets) else {}
        for rest in combinations(below | {n: chosen[n] for n in others}, values, wanted=wanted):
            yield {name: value} | rest


def touching(branches: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a dimension of that name has a part in one of some branches."""
    return lambda name: any(
        f"{name}.".startswith(f"{branch}.") or branch.startswith(f"{name}.") for branch in branches
    )
