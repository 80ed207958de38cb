"""A search space: which choices are fixed, which are searched, and what to try first. Read from YAML."""

from collections.abc import Iterator
from copy import deepcopy
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from optuna import distributions as optuna_distributions
from optuna.distributions import BaseDistribution
from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from humtune.config import Frozen, TrialConfig, set_path
from humtune.errors import UsageError
from humtune.ledger import ParamValue

BUDGET = "training.epochs"


class Choice(Frozen):
    """One of several values, without an order: written as a list."""

    values: tuple[ParamValue, ...] = Field(min_length=1)

    def distribution(self) -> BaseDistribution:
        """As Optuna knows it."""
        return optuna_distributions.CategoricalDistribution(self.values)

    def extremes(self) -> tuple[ParamValue, ...]:
        """Values whose fitness means that every value fits."""
        return self.values

    def resolve(self, value: ParamValue) -> Any:
        """What a chosen value puts into the configuration."""
        return value


class Presets(Frozen):
    """One of several named settings of a whole branch of the configuration."""

    presets: dict[str, dict[str, Any]] = Field(min_length=1)

    def distribution(self) -> BaseDistribution:
        """As Optuna knows it: one of the names."""
        return optuna_distributions.CategoricalDistribution(tuple(self.presets))

    def extremes(self) -> tuple[ParamValue, ...]:
        """All names."""
        return tuple(self.presets)

    def resolve(self, value: ParamValue) -> Any:
        """The settings of that name."""
        return self.presets[str(value)]


class Range(Frozen):
    """A number between two bounds, both included."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
        if self.log and self.step is not None:
            raise ValueError("log and step can't go together; choose one")
        if self.log and self.low <= 0:
            raise ValueError(f"log wants low > 0, got {self.low}")
        return self

    def distribution(self) -> BaseDistribution:
        """As Optuna knows it: whole numbers where both bounds are whole."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = 1 if self.step is None else int(self.step)
            return optuna_distributions.IntDistribution(self.low, self.high, log=self.log, step=step)
        return optuna_distributions.FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def extremes(self) -> tuple[ParamValue, ...]:
        """Both bounds."""
        return (self.low, self.high)

    def resolve(self, value: ParamValue) -> Any:
        """The number itself."""
        return value


def _kind(value: Any) -> str:
    for kind, model, key in (("choice", Choice, "values"), ("presets", Presets, "presets")):
        if isinstance(value, model) or (isinstance(value, dict) and key in value):
            return kind
    return "range"


Dimension = Annotated[
    Annotated[Choice, Tag("choice")] | Annotated[Presets, Tag("presets")] | Annotated[Range, Tag("range")],
    Discriminator(_kind),
]


class Space(Frozen):
    """What a search chooses from; names below `fixed` and `search` are those of TrialConfig, dotted."""

    description: str = ""
    trials: int = Field(20, ge=1, description="per machine")
    objective: Literal["omega"] = "omega"
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["none", "successive_halving", "median", "hyperband"] = "none"
    grace: float = Field(0.3, gt=0, le=1, description="share of the epochs before a trial may be stopped")
    seed: int = 0
    fixed: dict[str, Any] = Field({}, description="what every trial has in common")
    search: dict[str, Dimension] = Field(min_length=1)
    first: tuple[dict[str, ParamValue], ...] = Field(
        (), description="points to try before the sampler; with a key `machine`, for that one alone"
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_are_choices(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and isinstance(raw.get("search"), dict):
            search = {k: {"values": v} if isinstance(v, list) else v for k, v in raw["search"].items()}
            raw = raw | {"search": search}
        return raw

    def config(self, params: dict[str, ParamValue], *, seed: int = 0) -> TrialConfig:
        """The trial that a point of the space stands for; a ValueError where the values don't fit."""
        tree = deepcopy(self.fixed)
        for name, value in params.items():
            set_path(tree, name, self.search[name].resolve(value))
        return TrialConfig.model_validate(tree | {"seed": seed})

    def distributions(self) -> dict[str, BaseDistribution]:
        """What a sampler draws from."""
        return {name: dimension.distribution() for name, dimension in self.search.items()}

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
        """Every combination of the extreme values below some branches, and its configuration."""
        names = [n for n in self.search if n.partition(".")[0] in branches]
        for values in product(*(self.search[n].extremes() for n in names)):
            params = dict(zip(names, values, strict=True))
            yield params, self.config(params)


def read_space(name: str) -> tuple[str, Space]:
    """The name and content of a space: a YAML file's path, or the bare name of one in `search_spaces`.

    A bare name is looked up in ./search_spaces, then among those that humtune carries. Raises a UsageError
    that names the file, the key, its value and what would be right.
    """
    path = _find(name)
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file: {error}") from error
    if not isinstance(raw, dict):
        raise UsageError(f"{path} holds no space; it wants keys like `search:` and `fixed:`")
    return path.stem, check_space(raw, where=str(path))


def check_space(raw: dict[str, Any], *, where: str) -> Space:
    """A space from plain data, each of its values shown to make a trial."""
    try:
        space = Space.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{where}: {first_error(error)}") from error
    _try(space, {}, where=f"{where}: fixed")
    if BUDGET in space.search:
        raise UsageError(f"{where}: search.{BUDGET}: the budget is the same for every trial; put it in fixed")
    for name, dimension in space.search.items():
        for value in dimension.extremes():
            _try(space, {name: value}, where=f"{where}: search.{name}")
    for point in space.first:
        for name, value in point.items():
            if name == "machine":
                continue
            if name not in space.search:
                raise UsageError(f"{where}: first: {name} = {value!r} is not searched")
            distribution = space.search[name].distribution()
            if not distribution._contains(distribution.to_internal_repr(value)):
                raise UsageError(f"{where}: first: {name} = {value!r} lies outside its search")
    return space


def override(space: Space, *, trials: int | None = None, labels: str | None = None) -> Space:
    """The space with what the command line says differently."""
    raw = space.model_dump()
    if trials is not None:
        raw["trials"] = trials
    if labels is not None:
        raw["fixed"]["labels"] = labels
        raw["search"].pop("labels", None)
    return check_space(raw, where="command line")


def _try(space: Space, params: dict[str, ParamValue], *, where: str) -> None:
    try:
        space.config(params)
    except ValidationError as error:
        raise UsageError(f"{where}: {first_error(error)}") from error


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong, in one line: key, value, bound."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    message = {
        "extra_forbidden": "no such setting",
        "missing": "is missing",
    }.get(first["type"], first["msg"].removeprefix("Value error, "))
    value = "" if first["type"] == "missing" else f" = {first['input']!r}"
    return f"{key}{value}: {message}"


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
