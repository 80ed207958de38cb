"""Whether a space fits a machine's recordings: asked before anything starts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from humtune.config import SHARED, leaves
from humtune.detectors.recipe import Recipe
from humtune.errors import UsageError
from humtune.metrics.cells import Cells, labelled
from humtune.records import Objective, ParamValue
from humtune.search.space.dimensions import FAMILY, Presets
from humtune.search.space.errors import why_apart
from humtune.search.space.grid import Point, touching
from humtune.search.space.space import START, Space, nested
from humtune.sounds.bank import ClipBank
from humtune.sounds.classes import WITHOUT_CLASSES
from humtune.sounds.joined import join_banks
from humtune.sounds.table import ClipTable, Role


def check_all(space: Space, banks: Mapping[str, ClipBank]) -> None:
    """Raise a UsageError where a machine's trials, or shared ones, can't work on these recordings."""
    for study in _studies(space, banks):
        _check_study(space, study, banks)


def fitting(space: Space, banks: Mapping[str, ClipBank]) -> tuple[Space, dict[str, str]]:
    """The space with those presets of the family that the recordings do for; why not, by the others.

    What does for some machines alone is left to these. UsageError where a machine has none, with the reasons.
    """
    families = space.search.get(FAMILY)
    if not isinstance(families, Presets) or space.sampler == "listed":
        check_all(space, banks)
        return space, {}
    for bank in banks.values():
        objective_of(space.objective, bank.table)  # no preset could mend that
    studies = _studies(space, banks)
    reasons: dict[str, dict[str, str]] = {}  # preset -> study -> why not
    for study in reversed(studies):  # shared trials first: others may start from them
        for name in families.of(study, shared=space.is_shared(study)).options:
            try:
                alone = _with_families(space, [name])
                if alone.starting_shared and not alone.is_shared(study):
                    _check_start(families, str(name), reasons)
                _check_study(alone, study, banks)
            except UsageError as error:
                reasons.setdefault(str(name), {})[study] = str(error).removeprefix(f"{study}: ")
    offered = {study: families.of(study, shared=space.is_shared(study)).options for study in studies}
    left = {s: [n for n in names if s not in reasons.get(str(n), {})] for s, names in offered.items()}
    for study, names in left.items():
        if not names and (space.trials == 0 or not space.is_shared(study)):
            whys = [f"{name}: {_brief(found[study])}" for name, found in reasons.items() if study in found]
            raise UsageError(f"{study}: no kind of detector does for its recordings: {'; '.join(whys)}")
    if not left.get(SHARED, [True]):
        space = space.model_copy(update={"shared_trials": 0})
    fitted = _with_families(space, list(dict.fromkeys(chain(*left.values()))), left)
    return fitted, {name: _told(name, found, offered) for name, found in reasons.items()}


def _studies(space: Space, banks: Mapping[str, ClipBank]) -> list[str]:
    """Whose trials the space makes, and a machine's too where it makes none: its clips must judge."""
    return [*banks, *([SHARED] if space.shared_trials else [])]


def _check_study(space: Space, study: str, banks: Mapping[str, ClipBank]) -> None:
    """Raise a UsageError where a study's trials can't work on the machines' recordings."""
    if space.is_shared(study):
        check_shared_fits(space, banks)
    elif space.trials == 0:
        objective_of(space.objective, banks[study].table)
    else:
        bank = banks[study]
        check_fits(space, bank.table, bank.lengths)
        _check_others(space, study, [other for other in banks.values() if other is not bank])


def _check_start(families: Presets, name: str, reasons: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse a preset whose trials start from shared ones where all of these are left out."""
    sources = families.starts.get(name) or families.of(SHARED, shared=True).options
    if all(SHARED in reasons.get(str(source), {}) for source in sources):
        raise UsageError("it starts from shared trials, and there are none")


def _told(name: str, found: Mapping[str, str], offered: Mapping[str, Sequence[ParamValue]]) -> str:
    """Why a preset is left out, and of which studies where it is not of all."""
    studies = [study for study, names in offered.items() if name in names]
    where = "" if len(found) == len(studies) else f" ({', '.join(found)})"
    return _brief(next(iter(found.values()))) + where


def _brief(reason: str) -> str:
    """A reason without the ways out: there are other kinds."""
    return reason.partition("; ")[0]


def _with_families(
    space: Space, names: Sequence[ParamValue], left: Mapping[str, Sequence[ParamValue]] | None = None
) -> Space:
    """The space with some presets of the family alone, of which `left` are those of each study."""
    families = space.search[FAMILY]
    assert isinstance(families, Presets)
    chosen = families.where(lambda name: name in names)
    assert chosen
    offered = chosen.model_copy(update={"left_out": {}})  # the space's own are in no `left`
    out = {
        study: tuple(
            str(name) for name in offered.of(study, shared=space.is_shared(study)).options if name not in own
        )
        for study, own in (left or {}).items()
        if own
    }
    chosen = chosen.model_copy(
        update={"left_out": {study: presets for study, presets in out.items() if presets}}
    )
    first = tuple(p for p in space.first if FAMILY not in p or p[FAMILY] in names)
    keys = {name: getattr(space, name) for name in Space.model_fields}  # anew: a copy keeps what was cached
    return Space.model_validate({**keys, "search": {**space.search, FAMILY: chosen}, "first": first})


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
        for params, recipe in corners(space, "spectrogram", "weights", "backbone.weights", machine=machine):
            lines |= dict.fromkeys(f"{whose}{remark}{_chosen(params)}" for remark in recipe.remarks())
    return list(lines)


def pinned(space: Space) -> Space:
    """The space whose trials are the same later and elsewhere, as far as a preset or all of them say."""
    families = space.search.get(FAMILY)
    if isinstance(families, Presets):
        presets = {name: _pinned(space, families, name) for name in families.presets}
        chosen = families.model_copy(update={"presets": presets})
        space = space.model_copy(update={"search": {**space.search, FAMILY: chosen}})
    pins = [recipe.pinned() for recipe in space.recipes]
    if any(other != pins[0] for other in pins) or any(map(touching(tuple(pins[0])), space.dimensions)):
        return space
    return space.model_copy(update={"fixed": nested(space.fixed, pins[0])})


def _pinned(space: Space, families: Presets, name: str) -> dict[str, Any]:
    """A preset of the family with what it sets itself meaning the same later and elsewhere."""
    settings = families.presets[name]
    pins = space.beside({FAMILY: name}).pinned()
    touches = touching(tuple(pins))
    searched = (*space.search, *families.below(FAMILY, name))
    if any(map(touches, searched)) or not {*pins} & {path for path, _ in leaves(nested(settings))}:
        return settings
    return nested(settings, pins)


def _chosen(params: dict[str, ParamValue]) -> str:
    return f" ({', '.join(f'{k}: {v}' for k, v in params.items())})" if params else ""
