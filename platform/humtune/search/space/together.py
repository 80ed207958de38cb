"""Whether values of a space that are each valid also go together."""

from collections.abc import Iterator
from itertools import combinations

from pydantic import ValidationError

from humtune.config import SHARED
from humtune.errors import UsageError
from humtune.search.space.dimensions import FAMILY, places
from humtune.search.space.errors import why_apart
from humtune.search.space.grid import Point, grid
from humtune.search.space.space import Space

MOST_CHECKED = 10_000  # points of a grid, which takes seconds; of a larger one, its pairs of values


def check_together(space: Space, where: str) -> None:
    """Raise a UsageError that names values which make no trial together.

    Of a sampler's space each pair of values is tried, of a grid or list each point. What three values do to
    each other in a sampler's trial, or two inside of their ranges, that trial will say.
    """
    for count, point in enumerate(space.first, 1):
        chosen = {name: value for name, value in point.items() if name != "machine"}
        for study in space.studies_of(point):
            for own in space.chosen_by(study, [chosen]):
                if space.sampler == "listed":
                    _check_whole(space, own, study, f"{where}: first point {count}")
                _check(space, own, own, study, f"{where}: first point {count}")
    if space.sampler == "listed":
        return
    points = grid(space.search) if space.sampler == "grid" else []
    whole = 0 < len(points) <= MOST_CHECKED
    for machine in _machines(space):
        at = where if machine is None else f"{where}: machines.{machine}"
        for point, named in ((p, p) for p in points) if whole else _pairs(space):
            _check(space, point, named, machine, f"{at}: search")


def _check_whole(space: Space, point: Point, study: str | None, at: str) -> None:
    """Refuse a listed point that leaves open what a study chooses: it would be drawn."""
    try:
        space.draw(lambda name, _: point[name], study=study)
    except KeyError as error:
        whose = " for shared trials" if study == SHARED else ""
        raise UsageError(
            f"{at}: {error.args[0]} is open{whose}; a listed point says all that is searched"
        ) from error


def openings(space: Space, given: Point, *names: str) -> list[Point]:
    """What is chosen where dimensions are searched: those that no family's preset opens, in all families."""
    if FAMILY in given or FAMILY in names:
        return [given]
    return [{**family, **given} for family in space.families]


def _machines(space: Space) -> list[str | None]:
    return [None, *space.machines]


def _pairs(space: Space) -> Iterator[tuple[Point, Point]]:
    """Every two values that can be chosen together: with what opens them, and by themselves."""
    for one, other in combinations(places(space.search), 2):
        given = {**one.given, **other.given}
        if not one.given.items() <= given.items():
            continue  # of two presets
        if one.name == other.name or {one.name, other.name} & given.keys():
            continue  # one opens the other
        for opening in openings(space, given, one.name, other.name):
            for value in one.dimension.probes():
                for beside in other.dimension.probes():
                    named = {one.name: value, other.name: beside}
                    yield {**opening, **named}, named


def _check(space: Space, point: Point, named: Point, machine: str | None, at: str) -> None:
    try:
        space.beside(point, machine=machine)
    except ValidationError as error:
        said = ", ".join(f"{name}: {value}" for name, value in named.items())
        together = " together" if len(named) > 1 else ""
        raise UsageError(f"{at} can't have {said}{together}: {why_apart(error)}") from error
