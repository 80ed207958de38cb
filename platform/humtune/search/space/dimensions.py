"""What one setting of a search space may be: one of a list, one of several presets, a number in a range."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, Self

from optuna import distributions as optuna_distributions
from optuna.distributions import BaseDistribution
from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, Tag, model_validator

from humtune.config import SHARED, Frozen
from humtune.records import ParamValue

FAMILY = "family"  # of its presets the settings are those of a whole recipe: there is no branch above them

GOLDEN = 0.618033988749895  # a place inside a range that is no round number
WHOLE_STEPS = 100  # between whole bounds, at most, where a grid takes every number between them


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError("should be one text, number, true, false or null")


def _number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf:
        return value
    raise ValueError("should be a number")


Scalar = Annotated[ParamValue, PlainValidator(_scalar)]
Number = Annotated[int | float, PlainValidator(_number)]


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether this value can be drawn."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:
        return False


class _Searched(Frozen, ABC):
    """Whatever a sampler can draw from."""

    @abstractmethod
    def distribution(self) -> BaseDistribution:
        """As Optuna knows it."""

    def where(self, wanted: Callable[[ParamValue], bool]) -> Self | None:
        """The same with those of its options alone that are wanted; None where none is. A range has none."""
        return self

    def holds(self, value: Any) -> bool:
        """Whether it can be this value."""
        return holds(self.distribution(), value)


class _OneOf(_Searched):
    """One of several options, without an order."""

    @property
    @abstractmethod
    def options(self) -> tuple[ParamValue, ...]:
        """What can be chosen."""

    def __str__(self) -> str:
        return ", ".join(map(str, self.options))

    def distribution(self) -> BaseDistribution:
        """As Optuna knows it."""
        return optuna_distributions.CategoricalDistribution(self.options)

    def every(self) -> tuple[ParamValue, ...]:
        """All that it can be."""
        return self.options

    def extremes(self) -> tuple[ParamValue, ...]:
        """Values whose fitness means that every value fits."""
        return self.options

    def probes(self) -> tuple[ParamValue, ...]:
        """Values whose validity means that every value is valid."""
        return self.options


class Choice(_OneOf):
    """One of several values: written as a list."""

    values: tuple[Scalar, ...] = Field(min_length=1)

    def where(self, wanted: Callable[[ParamValue], bool]) -> Self | None:
        """The same with the wanted values."""
        left = tuple(value for value in self.values if wanted(value))
        return self.model_copy(update={"values": left}) if left else None

    @property
    def options(self) -> tuple[ParamValue, ...]:
        """The values."""
        return self.values

    def settings(self, name: str, value: ParamValue) -> dict[str, Any]:
        """What a chosen value puts into the recipe, by dotted names; `name` is the dimension's own."""
        return {name: value}


class Presets(_OneOf):
    """One of several named settings of a whole branch of the configuration.

    `search` says, by a preset's name, what else of the branch is searched where that preset is chosen; names
    in it are those of the branch. Presets named in `shared` are chosen by shared trials alone; where there
    are such, shared trials choose no others. `starts` says, by a preset's name, of which shared ones the best
    is what its trials start from; of one that it doesn't name, that is the best of all. `left_out` says, by a
    machine's name, which ones its trials don't choose.
    """

    presets: dict[str, dict[str, Any]] = Field(min_length=1)
    search: dict[str, dict[str, "Dimension"]] = Field({})
    shared: tuple[str, ...] = ()
    starts: dict[str, tuple[str, ...]] = Field({})
    left_out: dict[str, tuple[str, ...]] = Field({})

    @model_validator(mode="after")
    def _search_fits(self) -> Self:
        sources = [preset for presets in self.starts.values() for preset in presets]
        out = [preset for presets in self.left_out.values() for preset in presets]
        starts = (*self.starts, *sources)
        named_at = {"search": self.search, "shared": self.shared, "starts": starts, "left_out": out}
        known = ", ".join(self.presets)
        for at, named in named_at.items():
            if unknown := [preset for preset in named if preset not in self.presets]:
                raise ValueError(f"{at}: there is no preset {unknown[0]!r}; there are: {known}")
        if {*self.shared} == {*self.presets}:
            raise ValueError("shared: leaves machines' trials no preset; name fewer")
        for study, presets in self.left_out.items():
            own = self.shared if study == SHARED and self.shared else {*self.presets} - {*self.shared}
            if {*own} <= {*presets}:
                raise ValueError(f"left_out: leaves {study} no preset; name fewer")
        for preset, below in self.search.items():
            if both := sorted(set(below) & set(self.presets[preset])):
                raise ValueError(f"preset {preset!r} both sets and searches {both[0]}; keep one")
        return self

    def where(self, wanted: Callable[[ParamValue], bool]) -> Self | None:
        """The same with the wanted presets."""
        left = {preset: settings for preset, settings in self.presets.items() if wanted(preset)}

        def some(presets: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(preset for preset in presets if preset in left)

        named = {
            "presets": left,
            "search": {preset: below for preset, below in self.search.items() if preset in left},
            "shared": some(self.shared) if {*left} - {*self.shared} else (),
            "starts": {preset: some(of) for preset, of in self.starts.items() if preset in left},
            "left_out": {machine: some(presets) for machine, presets in self.left_out.items()},
        }
        return self.model_copy(update=named) if left else None

    def of(self, study: str | None, *, shared: bool) -> Self:
        """The same with what a study's trials choose from; `shared` says whether these are shared ones."""
        out = self.left_out.get(study or "", ())
        if not (self.shared or out):
            return self
        left = self.where(lambda p: p not in out and (not self.shared or (p in self.shared) == shared))
        assert left
        return left

    def below(self, name: str, value: ParamValue) -> dict[str, "Dimension"]:
        """What a chosen preset opens, by its whole name; `name` is that of the branch."""
        return {within(name) + leaf: dimension for leaf, dimension in self.search.get(str(value), {}).items()}

    @property
    def options(self) -> tuple[ParamValue, ...]:
        """Their names."""
        return tuple(self.presets)

    def settings(self, name: str, value: ParamValue) -> dict[str, Any]:
        """The settings of that preset; a preset of the family is of the family that it is called by."""
        chosen = self.presets[str(value)]
        return {FAMILY: value, **chosen} if name == FAMILY else {name: chosen}


class Range(_Searched):
    """A number between two bounds, both included; a whole one where both bounds are whole."""

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
        if self.log and self.step is not None:
            raise ValueError("log and step can't go together; choose one")
        if self.log and self.low <= 0:
            raise ValueError(f"log wants low > 0, got {self.low}")
        if self.step is not None:
            self._check_step(self.step)
        return self

    def _check_step(self, step: int | float) -> None:
        if step <= 0:
            raise ValueError(f"step = {step} should be greater than 0")
        if self.whole and not isinstance(step, int):
            raise ValueError(f"step = {step} should be whole, like low and high; or write low: {self.low}.0")
        low, high, by = (Decimal(str(number)) for number in (self.low, self.high, step))
        if (high - low) % by:
            reached = low + (high - low) // by * by
            raise ValueError(
                f"steps of {step} from {self.low} don't lead to {self.high}; high: {reached} would do"
            )

    def __str__(self) -> str:
        steps = f" in steps of {self.step}" if self.step else ""
        return f"{self.low} to {self.high}{steps}{', whole' if self.whole else ''}"

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def distribution(self) -> BaseDistribution:
        """As Optuna knows it."""
        if self.whole:
            step = 1 if self.step is None else int(self.step)
            return optuna_distributions.IntDistribution(
                int(self.low), int(self.high), log=self.log, step=step
            )
        return optuna_distributions.FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def every(self) -> tuple[ParamValue, ...]:
        """All numbers of it, in order; a ValueError where it has no step and isn't whole and narrow."""
        if self.step is None and (self.log or not self.whole or self.high - self.low > WHOLE_STEPS):
            raise ValueError("a grid wants a list of values, or a step")
        low, high, by = (Decimal(str(number)) for number in (self.low, self.high, self.step or 1))
        number = int if self.whole else float
        return tuple(number(low + i * by) for i in range(int((high - low) / by) + 1))

    def extremes(self) -> tuple[ParamValue, ...]:
        """Both bounds."""
        return (self.low, self.high)

    def probes(self) -> tuple[ParamValue, ...]:
        """Both bounds, and a number between them that is as odd as the range allows."""
        if self.low == self.high:
            return (self.low,)
        between = self.low + (self.step or (1 if self.whole else (self.high - self.low) * GOLDEN))
        return (self.low, between, self.high)

    def settings(self, name: str, value: ParamValue) -> dict[str, Any]:
        """The number itself."""
        return {name: value}


def _listed(value: Any) -> Any:
    return {"values": value} if isinstance(value, list) else value


def _kind(value: Any) -> str:
    for kind, model, key in (("choice", Choice, "values"), ("presets", Presets, "presets")):
        if isinstance(value, model) or (isinstance(value, dict) and key in value):
            return kind
    return "range"


Dimension = Annotated[
    Annotated[Choice, Tag("choice")] | Annotated[Presets, Tag("presets")] | Annotated[Range, Tag("range")],
    Discriminator(_kind),
    BeforeValidator(_listed),
]


def within(name: str) -> str:
    """What the names of a branch's settings begin with."""
    return "" if name == FAMILY else f"{name}."


class Place(NamedTuple):
    """Where a dimension is searched: its dotted name, and which presets open it."""

    name: str
    dimension: Choice | Presets | Range
    given: dict[str, ParamValue]


def places(
    dimensions: Mapping[str, Dimension], given: Mapping[str, ParamValue] | None = None
) -> Iterator[Place]:
    """Every dimension and every one below its presets; a preset's branch comes before what it opens."""
    for name, dimension in dimensions.items():
        yield Place(name, dimension, dict(given or {}))
        if isinstance(dimension, Presets):
            for preset in dimension.search:
                yield from places(dimension.below(name, preset), {**(given or {}), name: preset})
