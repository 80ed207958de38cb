"""Whether a space fits a machine's recordings: asked before anything starts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from humtune.config import SHARED
from humtune.detectors.recipe import Recipe
from humtune.errors import UsageError
from humtune.metrics.cells import Cells, labelled
from humtune.records import Objective, ParamValue
from humtune.search.space.dimensions import FAMILY, Presets
from humtune.search.space.errors import why_apart
from humtune.search.space.grid import Point
from humtune.search.space.space import START, Space, nested
from humtune.sounds.bank import ClipBank
from humtune.sounds.classes import WITHOUT_CLASSES
from humtune.sounds.joined import join_banks
from humtune.sounds.table import ClipTable, Role


def check_all(space: Space, banks: Mapping[str, ClipBank]) -> None:
    """Raise a UsageError where a machine's trials, or shared ones, can't work on these recordings."""
    for machine, bank in banks.items():
        if space.trials == 0:
            objective_of(space.objective, bank.table)
        else:
            check_fits(space, bank.table, bank.lengths)
            _check_others(space, machine, [other for other in banks.values() if other is not bank])
    if space.shared_trials:
        check_shared_fits(space, banks)


def fitting(space: Space, table: ClipTable, lengths: NDArray[np.int64]) -> tuple[Space, dict[str, str]]:
    """The space with those presets of the family that a machine's recordings do for; why not, by the others.

    UsageError where they do for none.
    """
    families = space.search.get(FAMILY)
    if not isinstance(families, Presets):
        check_fits(space, table, lengths)
        return space, {}
    left, reasons = [], {}
    for name in families.options:
        try:
            check_fits(_with_families(space, families, [name]), table, lengths)
            left.append(name)
        except UsageError as error:
            reasons[str(name)] = str(error).removeprefix(f"{table.machine}: ")
    if not left:
        raise UsageError(f"{table.machine}: {next(iter(reasons.values()))}")
    return _with_families(space, families, left), reasons


def _with_families(space: Space, families: Presets, names: Sequence[ParamValue]) -> Space:
    chosen = families.where(lambda name: name in names)
    return space.model_copy(update={"search": {**space.search, FAMILY: chosen}})


def check_shared_fits(space: Space, banks: Mapping[str, ClipBank]) -> None:
    """Raise a UsageError where no shared trial can work on the machines' recordings together."""
    mend = "search without shared trials (--shared-trials 0)"
    if space.starting_shared:
        mend = f"search a space without shared trials and {START}"
    if len(banks) < 2:
        raise UsageError(
            f"shared trials need two machines or more, there is {', '.join(banks)} alone; {mend}"
        )
    if SHARED in banks:
        raise UsageError(
            f"a machine is called '{SHARED}', as shared trials are; call its folder something else, or {mend}"
        )
    for params, recipe in corners(space, *_given_by(space), machine=SHARED):
        if recipe.exposed:
            raise UsageError(
                f"{recipe.giver} tells one machine from the others, and a shared trial is all machines'; "
                f"{mend}, or set another below machines: {SHARED}{_chosen(params)}"
            )
    joined = join_banks(banks.values())
    if space.enumerated and not space.runs(SHARED):
        raise UsageError(
            f"the space lists no point for shared trials; add one with machine: {SHARED}, or {mend}"
        )
    if len({objective_of(space.objective, bank.table) for bank in banks.values()}) > 1:
        for bank in banks.values():
            objective_of("pseudo", bank.table)
    least = min(len(bank.table.having(Role.HELD_OUT)) for bank in banks.values())
    _check_recipes(space, joined.table, joined.lengths, held_out=least)


def check_fits(space: Space, table: ClipTable, lengths: NDArray[np.int64]) -> None:
    """Raise a UsageError that names machine, key, value and bound where no trial of the space can work.

    `lengths` [N] are the clips' samples. What a recipe needs of them its family says; and the clips must make
    what trials are judged by.
    """
    machine = table.machine
    if space.enumerated and not space.runs(machine):
        raise UsageError(
            f"{machine}: the space lists no point for it; add one to `first` with machine: {machine}, "
            "or leave it out with --machines"
        )
    objective_of(space.objective, table)
    _check_recipes(space, table, lengths, held_out=len(table.having(Role.HELD_OUT)))


def corners(space: Space, *branches: str, machine: str | None = None) -> Iterator[tuple[Point, Recipe]]:
    """Each combination of extreme values of what touches some branches, or the family, and its recipe.

    Of a list, what its points choose there. UsageError where such values don't go together.
    """
    for params in space.extremes(*branches, machine=machine):
        try:
            recipe = space.beside(params, machine=machine)
        except ValidationError as error:
            whose = "" if machine is None else f"{machine}: "
            raise UsageError(f"{whose}{why_apart(error)}{_chosen(params)}") from error
        yield params, recipe


def _check_recipes(space: Space, table: ClipTable, lengths: NDArray[np.int64], *, held_out: int) -> None:
    machine = table.machine
    for check in dict.fromkeys(check for recipe in space.recipes for check in recipe.checks):
        for params, recipe in corners(space, *check.settings, machine=machine):
            if check in recipe.checks:
                with _naming(params):
                    check.raises(recipe, table, lengths)
    for params, recipe in corners(space, "scores", *_given_by(space), machine=machine):
        with _naming(params):
            _check_joint(recipe, machine, held_out)


def _check_others(space: Space, machine: str, others: Iterable[ClipBank]) -> None:
    """Refuse trials that are exposed to other machines' recordings where there are none, or none that do."""
    others = list(others)
    checks = [check for recipe in space.recipes for check in recipe.checks if check.of_others]
    wanted = (*_given_by(space), *(name for check in checks for name in check.settings))
    for params, recipe in corners(space, *wanted, machine=machine):
        if recipe.exposed and not others:
            raise UsageError(
                f"{machine}: {recipe.giver} tells a machine from others, and there is {machine} alone; "
                "search two machines or more (--machines), or a family that needs no others, "
                f"{WITHOUT_CLASSES}{_chosen(params)}"
            )
        if recipe.exposed:
            with _naming(params):
                for check, other in product(recipe.checks, others):
                    if check.of_others:
                        check.raises(recipe, other.table, other.lengths)


def _given_by(space: Space) -> tuple[str, ...]:
    """The settings that it depends on what a trial gives, and what it wants."""
    return tuple(dict.fromkeys(name for recipe in space.recipes for name in recipe.given_by))


@contextmanager
def _naming(params: dict[str, ParamValue]) -> Iterator[None]:
    """Have a UsageError say what was chosen."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{error}{_chosen(params)}") from error


def _check_joint(recipe: Recipe, machine: str, held_out: int) -> None:
    """Refuse score types that are made to fit held-out clips where there are too few."""
    for name in recipe.score_types:
        least = getattr(recipe.scoring.of(name), "least_clips", 0)
        if held_out < least:
            raise UsageError(
                f"{machine}: scores: {name} needs {least} held-out training clips or more, there are "
                f"{held_out}; take {name} out, or give a section and domain 15 clips"
            )


def objective_of(asked: Objective | None, table: ClipTable) -> Objective:
    """What a machine's trials are judged by: as asked, else Ω where there are labels and pseudo-Ω elsewhere.

    UsageError where Ω is wanted and a cell lacks normals or anomalies, or pseudo-Ω and no clip is held out.
    """
    if asked == "omega" or (asked is None and labelled(table)):
        try:
            Cells.of(table, Role.SELECT)
        except UsageError as error:
            raise UsageError(f"{error}; --set objective=pseudo does without labels") from error
        return "omega"
    if not len(table.having(Role.HELD_OUT)):
        raise UsageError(f"{table.machine}: objective: pseudo needs two training clips a section, or more")
    return "pseudo"


def remarks(space: Space, machines: Iterable[str]) -> list[str]:
    """What whoever wrote the space should know of what it can choose, a line each."""
    lines: dict[str, None] = {}
    for machine in machines:
        whose = f"{machine}: " if machine in space.machines else ""
        for params, recipe in corners(space, "spectrogram", "weights", machine=machine):
            lines |= dict.fromkeys(f"{whose}{remark}{_chosen(params)}" for remark in recipe.remarks())
    return list(lines)


def pinned(space: Space) -> Space:
    """The space whose trials are the same later and elsewhere, as far as what all of them have says so."""
    pins = [recipe.pinned() for recipe in space.recipes]
    if any(other != pins[0] for other in pins) or pins[0].keys() & space.dimensions.keys():
        return space
    return space.model_copy(update={"fixed": nested(space.fixed, pins[0])})


def _chosen(params: dict[str, ParamValue]) -> str:
    return f" ({', '.join(f'{k}: {v}' for k, v in params.items())})" if params else ""
