"""A search space: which choices are fixed, which are searched, and what to try first. Read from YAML."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from optuna.distributions import BaseDistribution
from pydantic import Field, ValidationError

from humtune.config import Frozen, TrialConfig, set_path
from humtune.errors import UsageError
from humtune.ledger import Objective, ParamValue
from humtune.search.dimensions import Dimension, Place, Presets, Range, Scalar, places
from humtune.search.strict_yaml import read_mapping

BUDGET = "training.epochs"


class Space(Frozen):
    """What a search chooses from; names below `fixed` and `search` are those of TrialConfig, dotted.

    Below `fixed`, branches may also be nested. A preset's settings go before those.
    """

    description: str = ""
    trials: int = Field(20, ge=1, description="per machine")
    objective: Objective | None = None  # None: omega where there are labels, else pseudo
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["none", "successive_halving", "median", "hyperband"] = "none"
    grace: float = Field(0.3, gt=0, le=1, description="share of the epochs before a trial may be stopped")
    seed: int = 0
    fixed: dict[str, Any] = Field({}, description="what every trial has in common")
    search: dict[str, Dimension] = Field(min_length=1)
    first: tuple[dict[str, Scalar], ...] = Field(
        (), description="points to try before the sampler; with a key `machine`, for that one alone"
    )

    def config(self, params: dict[str, ParamValue], *, seed: int = 0) -> TrialConfig:
        """The trial that a point of the space stands for; a ValueError where the values don't fit."""
        tree: dict[str, Any] = {}
        for name, value in self.fixed.items():
            set_path(tree, name, value)
        for name, dimension in self.dimensions.items():  # a preset before what it opens
            if name in params:
                set_path(tree, name, dimension.resolve(params[name]))
        return TrialConfig.model_validate(tree | {"seed": seed})

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """Everything that may be searched by its dotted name, whichever presets open it."""
        return {place.name: place.dimension for place in places(self.search)}

    def distributions(self) -> dict[str, BaseDistribution]:
        """What a sampler draws from; of a dimension that a preset opens, where it is chosen."""
        return {name: dimension.distribution() for name, dimension in self.dimensions.items()}

    def draw(self, choose: Callable[[str, BaseDistribution], ParamValue]) -> dict[str, ParamValue]:
        """A point of the space: what `choose` says of each dimension that the ones before it open."""
        point: dict[str, ParamValue] = {}
        still_open = dict(self.search)
        while still_open:
            name = next(iter(still_open))
            dimension = still_open.pop(name)
            point[name] = choose(name, dimension.distribution())
            if isinstance(dimension, Presets):
                still_open = dimension.below(name, point[name]) | still_open
        return point

    def first_points(self, machine: str) -> list[dict[str, ParamValue]]:
        """The points that a machine's search tries before the sampler chooses, in order."""
        points = [p for p in self.first if p.get("machine", machine) == machine]
        return [{k: v for k, v in p.items() if k != "machine"} for p in points]

    @property
    def epochs(self) -> int:
        """The budget of every trial."""
        return self.config({}).training.epochs

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs after which a trial may be stopped: the grace, then doubled each time."""
        if self.pruner == "none":
            return ()
        first = max(1, round(self.grace * self.epochs))
        rungs = (first * 2**i for i in range(self.epochs.bit_length()))
        return tuple(rung for rung in rungs if rung < self.epochs)

    def corners(self, *branches: str) -> Iterator[tuple[dict[str, ParamValue], TrialConfig]]:
        """Every combination of the extreme values of what touches some branches, and its configuration."""
        for params in _combinations(self.search, branches):
            yield params, self.config(params)


def _combinations(
    dimensions: Mapping[str, Dimension], branches: tuple[str, ...]
) -> Iterator[dict[str, ParamValue]]:
    touching = {n: d for n, d in dimensions.items() if any(_touches(n, b) for b in branches)}
    if not touching:
        yield {}
        return
    name, *others = touching
    dimension = touching[name]
    for value in dimension.extremes():
        below = dimension.below(name, value) if isinstance(dimension, Presets) else {}
        for rest in _combinations(below | {n: touching[n] for n in others}, branches):
            yield {name: value} | rest


def _touches(name: str, branch: str) -> bool:
    return f"{name}.".startswith(f"{branch}.") or branch.startswith(f"{name}.")


def read_space(name: str) -> tuple[str, Space]:
    """The name and content of a space: a YAML file's path, or the bare name of one in `search_spaces`.

    A bare name is looked up in ./search_spaces, then among those that humtune carries. Raises a UsageError
    that names the file, the key, its value and what would be right.
    """
    path = _find(name)
    return path.stem, check_space(read_mapping(path), where=str(path))


def check_space(raw: dict[str, Any], *, where: str) -> Space:
    """A space from plain data, each of its values shown to make a trial."""
    try:
        space = Space.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{where}: {first_error(error)}") from error
    _check_names(space, where)
    try:
        space.config({})
    except ValidationError as error:
        raise UsageError(f"{where}: fixed: {first_error(error)}") from error
    for place in places(space.search):
        for value in place.dimension.probes():
            _check_value(space, place, value, where=f"{where}: search.{place.name}")
    for count, point in enumerate(space.first, 1):
        _check_point(space, point, where=f"{where}: first point {count}")
    return space


def _check_names(space: Space, where: str) -> None:
    """Refuse settings that would not do what they say."""
    if BUDGET in space.dimensions:
        raise UsageError(f"{where}: search.{BUDGET}: the budget is the same for every trial; put it in fixed")
    if "seed" in {*space.fixed, *space.dimensions}:
        raise UsageError(f"{where}: seed: every trial has its own; set the space's `seed`, outside of fixed")
    fixed: dict[str, Any] = {}
    for name, value in space.fixed.items():
        set_path(fixed, name, value)
    leaves = {name for name, value in _flat(fixed) if not isinstance(value, dict)}
    for name, dimension, _ in places(space.search):
        if name in leaves:
            raise UsageError(f"{where}: {name} is both fixed and searched; keep one")
        if dimension != space.dimensions[name]:  # a sampler knows one dimension by a name
            raise UsageError(f"{where}: search.{name} differs from preset to preset; search it alike in all")
    for name in space.search:
        above = next((other for other in space.search if name.startswith(f"{other}.")), None)
        if above:
            raise UsageError(f"{where}: search.{name} lies within search.{above}; keep one")


def _check_value(space: Space, place: Place, value: ParamValue, *, where: str) -> None:
    try:
        config = space.config({**place.given, place.name: value})
    except ValidationError as error:
        first = _first(error)
        named = first["type"] == "extra_forbidden" or isinstance(place.dimension, Presets)
        told = first_error(error) if named else _message(first)
        raise UsageError(f"{where} can be {value!r}: {told}") from error
    if config.training.epochs != space.epochs:
        raise UsageError(f"{where} can be {value!r}: the budget is the same for every trial; fix {BUDGET}")


def _check_point(space: Space, point: dict[str, ParamValue], *, where: str) -> None:
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
        distribution = space.dimensions[name].distribution()
        try:
            inside = distribution._contains(distribution.to_internal_repr(value))
        except ValueError:
            inside = False
        if not inside:
            raise UsageError(f"{where}: {name} = {value!r} lies outside its search: {space.dimensions[name]}")


def override(space: Space, *, trials: int | None = None, labels: str | None = None) -> Space:
    """The space with what the command line says differently."""
    raw = space.model_dump()
    if trials is not None:
        raw["trials"] = trials
    if labels is not None:
        raw["fixed"]["labels"] = labels
        raw["search"].pop("labels", None)
        raw["first"] = [{k: v for k, v in point.items() if k != "labels"} for point in raw["first"]]
    return check_space(raw, where="command line")


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
    first = _first(error)
    key = _key(first["loc"])
    if not key:  # of no one setting: how several go together
        return _message(first)
    if first["type"] == "missing":
        return f"{key} {_message(first)}"
    return f"{key} = {first['input']!r}: {_message(first)}"


def _key(place: tuple[int | str, ...]) -> str:
    """A setting's dotted name, without the names of pydantic's alternatives."""
    if place[:1] == ("head",):
        place = ("head", *place[2:])
    return ".".join(str(part) for part in place if part not in _TAGS)


def _first(error: ValidationError) -> Any:
    return min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")


def _message(first: Any) -> str:
    """What is wrong, without key and value."""
    last = str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        path = _key(first["loc"])
        names = [name for name, _ in _flat(TrialConfig().model_dump())]
        names += [*Space.model_fields, *Range.model_fields, "presets"]
        close = get_close_matches(path, names, 1) or get_close_matches(last, names, 1)
        return (
            f"no such setting; did you mean {close[0]}?" if close and close[0] != last else "no such setting"
        )
    if first["type"] == "model_type" and last == "range":
        return "should be a list of values, or {low: …, high: …}; a single value goes to fixed"
    return str(_WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ").removeprefix("Input "))


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A tree's branches and leaves by their dotted names."""
    for name, value in tree.items():
        yield prefix + name, value
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")


def _find(name: str) -> Path:
    given = Path(name)
    if given.suffix in {".yaml", ".yml"}:
        if not given.is_file():
            raise UsageError(f"no search space at {given}")
        return given
    folders = space_folders()
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = sorted({p.stem for folder in folders for p in folder.glob("*.yaml")})
    raise UsageError(f"no search space named {name!r}; there are: {', '.join(known)}")


def space_folders() -> list[Path]:
    """Where bare names are looked up: here, in the installed package, in the checkout it is run from."""
    package = Path(str(files("humtune")))
    return [Path("search_spaces"), package / "search_spaces", package.parents[1] / "search_spaces"]
