"""A search space: which choices are fixed, which are searched, and what to try first."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal

from optuna.distributions import BaseDistribution
from pydantic import Field, ValidationError

from humtune.config import SHARED, Settings, leaves, set_path
from humtune.detectors.recipe import Recipe, recipe_of
from humtune.records import ParamValue
from humtune.search.space.dimensions import FAMILY, Dimension, Presets, Scalar, places
from humtune.search.space.grid import Point, Run, combinations, grid, touching

TRIALS = 20  # per machine, where neither the space nor the command line says
TRANSFER_EVERY = 4  # trials of a machine: one is lent by another, the sampler chooses the others
START = "training.start"  # what says that a trial starts from a shared one
PRUNED_FROM = 20  # trials of a machine: with fewer, there is hardly one to compare with at a rung

Pruner = Literal["none", "successive_halving", "median", "hyperband", "wilcoxon"]


class Space(Settings):
    """What a search chooses from; what is set or searched goes by the dotted names of a recipe.

    Below `fixed` and `machines`, branches may also be nested. A machine's own settings go before the fixed
    ones, a preset's before both.
    """

    description: str = ""
    reproduces: Literal["table2", "table3", "figure2", "table4", "figure3", "accuracy"] | None = Field(
        None, description="what of the paper the search makes again"
    )
    objective: Literal["omega", "pseudo"] | None = Field(
        None, description="null: omega where there are labels, else pseudo"
    )
    sampler: Literal["tpe", "gp", "random", "grid", "listed", "bandit"] = Field(
        "tpe",
        description="grid runs every point of the space, listed those of `first`, bandit what brings most",
    )
    trials: int | None = Field(
        None, ge=0, description=f"per machine; without it {TRIALS}, or all that a grid or list holds"
    )
    shared_trials: int = Field(
        0, ge=0, description="that train one network on all machines together, beside each machine's"
    )
    seeds: int = Field(1, ge=1, description="times that each point of a grid or list is run")
    pruner: Pruner | None = Field(
        None,
        description=f"null: successive_halving where a sampler has {PRUNED_FROM} trials a machine or more",
    )
    grace: float = Field(0.5, gt=0, le=1, description="share of the epochs before a trial may be stopped")
    curves: bool = Field(False, description="measure after every epoch, to look at: nothing more is stopped")
    transfer: bool = Field(
        True, description=f"of a sampler's trials every {TRANSFER_EVERY}th is what is best on another machine"
    )
    seed: int = 0
    fixed: dict[str, Any] = Field({}, description="what every trial has in common")
    machines: dict[str, dict[str, Any]] = Field({}, description="what only this machine's trials have")
    search: dict[str, Dimension] = Field(min_length=1)
    first: tuple[dict[str, Scalar], ...] = Field(
        (), description="points to try before the sampler; with a key `machine`, for that one alone"
    )

    def recipe(self, params: Point, *, machine: str | None = None, seed: int = 0) -> Recipe:
        """The trial that a point of the space stands for; a ValidationError where the values don't fit."""
        recipe = recipe_of(self.settings(params, machine=machine, seed=seed))
        return recipe.anew() if self.is_shared(machine) else recipe

    def settings(self, params: Point, *, machine: str | None = None, seed: int = 0) -> dict[str, Any]:
        """The settings that a point of the space stands for, also where they don't go together."""
        tree = nested(self.fixed, self.machines.get(machine or "", {}))
        for name, dimension in self.dimensions.items():  # a preset before what it opens
            if name in params:
                for path, value in dimension.settings(name, params[name]).items():
                    set_path(tree, path, value)
        return tree | {"seed": seed}

    def beside(self, params: Point, *, machine: str | None = None) -> Recipe:
        """The recipe of part of a point; a ValidationError where no other part makes it whole.

        What is left open is as nobody set it or, where that doesn't go with the rest, the first it can be.
        """
        try:
            return self.recipe(params, machine=machine)
        except ValidationError as error:
            first = self.completed(params)
            if first == params:
                raise
            try:
                return self.recipe(first, machine=machine)
            except ValidationError as other:
                same = error.errors()[0]["loc"] == other.errors()[0]["loc"]
                raise other if same else error from None

    def completed(self, params: Point) -> Point:
        """A whole point: what part of one leaves open is the first that it can be."""
        return next(combinations(self.search, lambda n, d: (params[n],) if n in params else d.extremes()[:1]))

    def is_shared(self, study: str | None) -> bool:
        """Whether a study is that of shared trials."""
        return study == SHARED and bool(self.shared_trials)

    @cached_property
    def starting_shared(self) -> frozenset[str]:
        """The families of which a machine's trial may start from a shared one."""
        named = [str(p["machine"]) for p in self.first if "machine" in p]
        machines = [m for m in dict.fromkeys((None, *self.machines, *named)) if not self.is_shared(m)]
        found = [self.beside(p, machine=m) for m in machines for p in self.extremes(START, machine=m)]
        return frozenset(recipe.family for recipe in found if recipe.starts_shared)

    def starts_from(self, point: Point) -> tuple[str, ...] | None:
        """The presets of the family of which a trial starts from the best; None: from any."""
        family = self.search.get(FAMILY)
        return family.starts.get(str(point.get(FAMILY))) if isinstance(family, Presets) else None

    def _in_order(self, still_open: Mapping[str, Dimension]) -> dict[str, Dimension]:
        """What is open, in the order in which it is chosen: first what a trial starts from."""
        first = touching((FAMILY, START) if self.starting_shared else ())
        return dict(sorted(still_open.items(), key=lambda item: not first(item[0])))

    def choices(
        self, name: str, dimension: Dimension, point: Point, study: str | None = None
    ) -> Dimension | None:
        """What of a dimension a study can choose after a point; None where there is nothing to choose.

        A shared trial starts anew. Another one that starts from it has its network.
        """
        dimension = self._offered(dimension, study)
        if not self.starting_shared:
            return dimension
        if self.is_shared(study):
            # a family is searched by all; its recipe then starts anew
            return dimension.where(lambda v: name == FAMILY or not starts(dimension.settings(name, v)))
        first = touching((FAMILY, START))  # the rest may not go with what is still open
        starting = self.beside({n: v for n, v in point.items() if first(n)}, machine=study)
        return None if starting.starts_shared and touching(starting.taken_over)(name) else dimension

    def _offered(self, dimension: Dimension, study: str | None) -> Dimension:
        """A dimension with the presets that are a study's."""
        return (
            dimension.of(study, shared=self.is_shared(study)) if isinstance(dimension, Presets) else dimension
        )

    @property
    def families(self) -> list[Point]:
        """Each family that can be chosen, as a point; where none is searched, the empty one."""
        return list(combinations(self.search, lambda _, d: d.extremes(), wanted=touching((FAMILY,))))

    @property
    def recipes(self) -> list[Recipe]:
        """A recipe of each family that can be chosen, by everyone or on some machine."""
        return [self.beside(f, machine=machine) for machine in (None, *self.machines) for f in self.families]

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """Everything that may be searched by its dotted name, whichever presets open it."""
        return {place.name: place.dimension for place in places(self.search)}

    def distributions(self) -> dict[str, BaseDistribution]:
        """What a sampler draws from; of a dimension that a preset opens, where it is chosen."""
        return {name: dimension.distribution() for name, dimension in self.dimensions.items()}

    def draw(
        self, choose: Callable[[str, BaseDistribution], ParamValue], *, study: str | None = None
    ) -> Point:
        """A point of the space: what `choose` says of each dimension that the ones before it open."""
        point: Point = {}
        still_open = self._in_order(self.search)
        while still_open:
            name = next(iter(still_open))
            dimension = self.choices(name, still_open.pop(name), point, study)
            if dimension is None:
                continue
            point[name] = choose(name, dimension.distribution())
            if isinstance(dimension, Presets):
                still_open = self._in_order(dimension.below(name, point[name]) | still_open)
        return point

    def first_points(self, machine: str | None) -> list[Point]:
        """The points that are tried before the sampler chooses, in order: a machine's, and everyone's."""
        points = [p for p in self.first if p.get("machine", machine) == machine]
        return self.chosen_by(machine, [{k: v for k, v in p.items() if k != "machine"} for p in points])

    def studies_of(self, point: Point) -> list[str | None]:
        """Whose trials one of the first points makes: its machine's or, None and shared ones, everyone's.

        A machine with settings of its own stands by its name too.
        """
        if "machine" in point:
            return [str(point["machine"])]
        return list(dict.fromkeys((None, *self.machines, *([SHARED] if self.shared_trials else []))))

    def chosen_by(self, study: str | None, points: list[Point]) -> list[Point]:
        """Those that a study can choose, without what is not its choice; what is the same then, once."""
        presets = [d for d in self.dimensions.values() if isinstance(d, Presets)]
        if not (self.starting_shared or any(d.shared or d.left_out for d in presets)):
            return points
        left: list[Point] = []
        for point in points:
            choices = {name: self.choices(name, self.dimensions[name], point, study) for name in point}
            chosen = {name: point[name] for name, choice in choices.items() if choice}
            if chosen not in left and all(c.holds(point[name]) for name, c in choices.items() if c):
                left.append(chosen)
        return left

    @property
    def enumerated(self) -> bool:
        """Whether the space itself says which trials there are, so that no sampler chooses."""
        return self.sampler in ("grid", "listed")

    @property
    def transfers(self) -> bool:
        """Whether machines learn of each other's best points while they are searched."""
        return self.transfer and self.sampler in ("tpe", "gp")

    def runs(self, machine: str) -> list[Run]:
        """The points of a grid or list with their seeds: all with the first seed, then all with the next.

        None where a sampler chooses, and where a list has no point of this machine.
        """
        if not self.enumerated:
            return []
        if self.sampler == "grid":
            points = self.chosen_by(machine, grid(self.search))
        else:
            points = self.first_points(machine)
        return [Run(point, self.seed + i) for i in range(self.seeds) for point in points]

    def quota(self, study: str) -> int:
        """The trials that a machine's search has, or that of all together."""
        wanted = self.shared_trials if study == SHARED and self.shared_trials else self.trials
        held = len(self.runs(study)) if self.enumerated else TRIALS if wanted is None else wanted
        return held if wanted is None else min(held, wanted)

    @property
    def epochs(self) -> int:
        """The budget of a trial; of families with several, the largest."""
        return max(recipe.budget for recipe in self.recipes)

    @property
    def stopped_by(self) -> Pruner:
        """The pruner: the one that is named, or what the number of trials makes worthwhile."""
        if self.pruner is not None:
            return self.pruner
        trials = TRIALS if self.trials is None else self.trials or self.shared_trials
        compares = not self.enumerated and self.sampler != "bandit" and trials >= PRUNED_FROM
        return "successive_halving" if compares else "none"

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs after which a trial may be stopped: the grace, then doubled each time, or each one after."""
        first = max(1, round(self.grace * self.epochs))
        match self.stopped_by:
            case "none":
                return ()
            case "wilcoxon":  # compares whole curves, and needs more than a few points of each
                return tuple(range(first, self.epochs))
            case _:
                rungs = (first * 2**i for i in range(self.epochs.bit_length()))
                return tuple(rung for rung in rungs if rung < self.epochs)

    @property
    def measured(self) -> tuple[int, ...]:
        """Epochs before the last after which a trial is measured."""
        return tuple(range(1, self.epochs)) if self.curves else self.rungs

    def extremes(self, *branches: str, machine: str | None = None) -> list[Point]:
        """What touches some branches, or the family: each combination of its extreme values.

        Of a list, what its points choose there.
        """
        wanted = touching((FAMILY, *branches))
        if self.sampler == "listed":
            own = [p for p in self.first if p.get("machine", machine) == machine]
            points = [{n: v for n, v in p.items() if n != "machine" and wanted(n)} for p in own]
            chosen = [p for i, p in enumerate(points) if p not in points[:i]]
        else:
            offered = combinations(
                self.search, lambda _, d: self._offered(d, machine).extremes(), wanted=wanted
            )
            chosen = list(offered)
        return self.chosen_by(machine, chosen) if self.is_shared(machine) else chosen


def starts(settings: Mapping[str, Any]) -> bool:
    """Whether settings have a trial start from a shared one."""
    return dict(leaves(nested(settings))).get(START) is not None


def nested(*settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names as one tree, the later ones over those before, leaf by leaf."""
    tree: dict[str, Any] = {}
    for some in settings:
        for name, value in some.items():
            set_path(tree, name, value)
    return tree
