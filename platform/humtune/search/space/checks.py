"""Whether a space means what it says: every value makes a trial, and no setting is without effect."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from humtune.config import SHARED, leaves
from humtune.detectors.recipe import Recipe
from humtune.errors import UsageError
from humtune.plan import Plan
from humtune.search.space.dimensions import FAMILY, Place, Presets, places
from humtune.search.space.errors import first_error, first_of, message_of
from humtune.search.space.grid import Point, grid
from humtune.search.space.space import START, Space, nested, starts
from humtune.search.space.together import check_together, openings

BUDGET = "training.epochs"
ALIKE = "the budget is the same for every trial"


def planned_space(plan: Plan) -> Space:
    """The space of a search; a UsageError where today's humtune can't take it any more."""
    return check_space(plan.asked.space, where=f"plan of {plan.name}", begun=True)


def check_space(raw: dict[str, Any], *, where: str, begun: bool = False) -> Space:
    """A space from plain data, each of its values shown to make a trial; a UsageError says what is wrong.

    Of a search that has `begun`, it isn't asked whether the values go together: trials fail where they don't.
    """
    try:
        space = Space.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{where}: {first_error(error)}") from error
    _check_names(space, where)
    checked: list[tuple[str, str | None, Point, Recipe]] = []
    for machine in (None, *space.machines):
        at = where if machine is None else f"{where}: machines.{machine}"
        try:
            space.beside({}, machine=machine)
        except ValidationError as error:
            raise UsageError(f"{at}{': fixed' if machine is None else ''}: {first_error(error)}") from error
        for place in places(space.search):
            for value in place.dimension.probes():
                said = f"{at}: search.{place.name} can be {value!r}"
                for given in openings(space, place.given, place.name):
                    point = {**given, place.name: value}
                    recipe = _check_value(space, place, point, machine=machine, said=said)
                    checked.append((said, machine, point, recipe))
    _check_budgets(space, checked)
    for count, point in enumerate(space.first, 1):
        _check_point(space, point, where=f"{where}: first point {count}")
    _check_sampler(space, where)
    _check_starts(space, where)
    if not begun:
        check_together(space, where)
    if space.trials == 0 and not space.shared_trials:
        raise UsageError(f"{where}: trials = 0 and shared_trials = 0: there is nothing to try; raise one")
    return space


def _check_starts(space: Space, where: str) -> None:
    """Refuse trials that would start from shared ones where there are none, and shared ones that would."""
    if space.starting_shared and not space.shared_trials:
        raise UsageError(
            f"{where}: {START} = shared: the search has no shared trials to start from; "
            "say how many in shared_trials (--shared-trials), or leave it out"
        )
    if not space.shared_trials:
        return
    whose = {f"machines.{SHARED}": space.machines.get(SHARED, {})}
    for count, point in enumerate(space.first, 1):
        if point.get("machine") == SHARED:
            chosen = _without_machine(point).items()
            whose[f"first point {count}"] = nested(*(space.dimensions[n].settings(n, v) for n, v in chosen))
    for at, settings in whose.items():
        if starts(settings):
            raise UsageError(f"{where}: {at}: {START} = shared: a shared trial starts anew; leave it out")


def _check_names(space: Space, where: str) -> None:
    """Refuse settings that would not do what they say."""
    if BUDGET in space.dimensions:
        raise UsageError(f"{where}: search.{BUDGET}: {ALIKE}; put it in fixed")
    if "seed" in {*space.fixed, *space.dimensions}:
        raise UsageError(f"{where}: seed: every trial has its own; set the space's `seed`, outside of fixed")
    for name, dimension, _ in places(space.search):
        if dimension != space.dimensions[name]:  # a sampler knows one dimension by a name
            raise UsageError(f"{where}: search.{name} differs from preset to preset; search it alike in all")
    for name in space.search:
        above = next((other for other in space.search if name.startswith(f"{other}.")), None)
        if above:
            raise UsageError(f"{where}: search.{name} lies within search.{above}; keep one")
    for name in _names(space.fixed, where=f"{where}: fixed"):
        if name in space.dimensions:
            raise UsageError(f"{where}: {name} is both fixed and searched; keep one")
    for machine, settings in space.machines.items():
        _check_machine(space, _names(settings, where=f"{where}: machines.{machine}"), machine, where)


def _check_machine(space: Space, names: set[str], machine: str, where: str) -> None:
    at = f"{where}: machines.{machine}"
    if BUDGET in names and not space.is_shared(machine):
        raise UsageError(f"{at}: {BUDGET}: {ALIKE}; put it in fixed")
    if "seed" in names:
        raise UsageError(f"{at}: seed: every trial has its own; set the space's `seed`")
    searched = names & {*space.dimensions, *_set_by_presets(space)}
    if searched:
        raise UsageError(f"{at}: {min(searched)} is both the machine's and searched; keep one")


def _set_by_presets(space: Space) -> Iterator[str]:
    for name, dimension in space.dimensions.items():
        if isinstance(dimension, Presets):
            for preset in dimension.presets:
                yield from (leaf for leaf, _ in leaves(nested(dimension.settings(name, preset))))


def _names(settings: Mapping[str, Any], *, where: str) -> set[str]:
    """The dotted names of what is set."""
    try:
        return {name for name, _ in leaves(nested(settings))}
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _check_budgets(space: Space, checked: Iterable[tuple[str, str | None, Point, Recipe]]) -> None:
    """Refuse values that change the budget of a family's trials, or of those of a preset of the family.

    Shared trials, which are a study of their own, may have another.
    """
    budgets: dict[tuple[bool, Any, str], int] = {}
    for machine in reversed((None, *space.machines)):
        for point in space.families:
            recipe = space.beside(point, machine=machine)
            budgets[space.is_shared(machine), point.get(FAMILY), recipe.family] = recipe.budget
    for said, machine, point, recipe in checked:
        if recipe.budget != budgets[space.is_shared(machine), point.get(FAMILY), recipe.family]:
            raise UsageError(f"{said}: {ALIKE}; fix {BUDGET}")


def _check_value(space: Space, place: Place, point: Point, *, machine: str | None, said: str) -> Recipe:
    try:
        return space.beside(point, machine=machine)
    except ValidationError as error:
        first = first_of(error)
        named = first["type"] == "extra_forbidden" or isinstance(place.dimension, Presets)
        reason = first_error(error) if named else message_of(first)
        raise UsageError(f"{said}: {reason}") from error
    except UsageError as error:
        raise UsageError(f"{said}: {error}") from error


def _check_point(space: Space, point: Point, *, where: str) -> None:
    for name, value in point.items():
        if name == "machine":
            if not isinstance(value, str):
                raise UsageError(f"{where}: machine = {value!r} should be a name; write '{value}'")
            continue
        if name not in space.dimensions:
            raise UsageError(
                f"{where}: {name} = {value!r} is not searched; there are: {', '.join(space.dimensions)}"
            )
        openings = [place.given for place in places(space.search) if place.name == name]
        if not any(given.items() <= point.items() for given in openings):
            wanted = " or ".join(", ".join(f"{k}: {v}" for k, v in given.items()) for given in openings)
            raise UsageError(f"{where}: {name} = {value!r} is searched only with {wanted}; say so beside it")
        if not space.dimensions[name].holds(value):
            raise UsageError(f"{where}: {name} = {value!r} lies outside its search: {space.dimensions[name]}")


def _check_sampler(space: Space, where: str) -> None:
    """Refuse what a space that says which trials there are can't have, and one that doesn't can't."""
    match space.sampler:
        case "grid":
            _check_grid(space, where)
        case "listed":
            _check_list(space, where)
        case "bandit" if space.first or not isinstance(space.search.get(FAMILY), Presets):
            raise UsageError(
                f"{where}: sampler: bandit shares the time out among presets of {FAMILY}, without `first`; "
                "search such presets, or choose another sampler"
            )
        case _ if space.seeds > 1:
            raise UsageError(
                f"{where}: seeds = {space.seeds}: {space.sampler} spends its trials better on new points "
                "than on the same again; leave it out, or choose sampler: grid or listed"
            )


def _check_grid(space: Space, where: str) -> None:
    if space.first:
        raise UsageError(f"{where}: first: a grid runs all of its points; leave it out, or sampler: listed")
    for name, dimension, _ in places(space.search):
        try:
            values = dimension.every()
        except ValueError as error:
            raise UsageError(f"{where}: search.{name} is {dimension}: {error}") from error
        for i, value in enumerate(values):
            if value in values[:i]:
                raise UsageError(f"{where}: search.{name}: {value!r} stands twice; `seeds` runs points again")
    try:
        grid(space.search)
    except ValueError as error:
        raise UsageError(f"{where}: search: {error}") from error


def _check_list(space: Space, where: str) -> None:
    if not space.first:
        raise UsageError(f"{where}: first: sampler: listed runs the points of `first`, and there are none")
    if space.stopped_by != "none":
        raise UsageError(
            f"{where}: pruner = {space.pruner!r}: the points of a list run to their end; leave it out"
        )
    for count, point in enumerate(space.first, 1):
        for other, before in enumerate(space.first[: count - 1], 1):
            if _same(point, before):
                raise UsageError(
                    f"{where}: first point {count} is point {other} again; `seeds` runs points again"
                )


def _same(one: Point, other: Point) -> bool:
    """Whether two points are one for some machine."""
    machines = {point["machine"] for point in (one, other) if "machine" in point}
    return len(machines) < 2 and _without_machine(one) == _without_machine(other)


def _without_machine(point: Point) -> Point:
    return {name: value for name, value in point.items() if name != "machine"}
