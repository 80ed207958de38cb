"""The time of a search by a clock, over all of its runs, and what its trials take of it, foretold."""

from collections.abc import Callable, Iterable
from math import inf
from statistics import mean
from time import monotonic

from pydantic import ValidationError

from humtune.detectors.recipe import Recipe, recipe_of
from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.plan import Plan
from humtune.records import TrialRecord, TrialState, seconds_worked
from humtune.search.space.dimensions import FAMILY
from humtune.search.space.grid import Point


def check_hours(hours: float | None) -> None:
    """UsageError where a search can't have so many hours; None: as many as it takes."""
    if hours is not None and not 0 < hours < inf:
        raise UsageError(f"--hours {hours:g}: it should be more than 0")


class Clock:
    """How many seconds a search has left; without a limit, always enough.

    Where `is_enough` says that there is too little to go on with, the time is not over yet.
    """

    def __init__(
        self, seconds: float = inf, is_enough: Callable[[], bool] = lambda: True, *, whole: float = inf
    ) -> None:
        """`whole` are the seconds of all runs together."""
        self.whole = whole
        self.end, self.is_enough = monotonic() + seconds, is_enough

    @classmethod
    def of(
        cls, ledger: Ledger, hours: float, *, spent: float = 0.0, is_enough: Callable[[], bool] | None = None
    ) -> "Clock":
        """What `hours` leave of a search whose earlier runs worked, and of which other work took `spent`."""
        used = seconds_worked(ledger.records())
        return cls(3600 * hours - used - spent, is_enough or (lambda: True), whole=3600 * hours)

    @property
    def left(self) -> float:
        """Seconds until the time is over."""
        return max(0.0, self.end - monotonic())

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return not self.left and self.is_enough()

    def allows(self, seconds: float | None) -> bool:
        """Whether what takes so long can be begun; None: nobody knows how long it takes."""
        return (seconds or 0.0) < self.left or not self.is_enough()


def kind_of(params: Point, recipe: Recipe) -> str:
    """What a trial's time depends on, in words: its preset of the family, if any, and its size."""
    return f"{_preset(params)} {recipe.size}".strip()


def _preset(params: Point) -> str:
    return str(params.get(FAMILY) or "")


class Forecast:
    """Seconds of work that trials take: as was timed before the first one, corrected by those that ended."""

    def __init__(self, plan: Plan, ended: Iterable[TrialRecord] = ()) -> None:
        self.timed = plan.seconds
        presets = plan.asked.space.get("search", {}).get(FAMILY, {})
        names = presets.get("presets", {}) if isinstance(presets, dict) else {}
        self._presets = sorted(names, key=len, reverse=True)  # of two that a kind begins with, the longer
        self._ratios: dict[str, list[float]] = {}  # preset -> what trials took over what was timed
        for record in ended:
            self.take(record)

    def seconds(self, record: TrialRecord, *, done: int = 0) -> float | None:
        """What is left of a trial after `done` steps; None where nothing of its like was timed."""
        recipe = recipe_or_none(record) if self.timed else None
        timed = self._timed(record, recipe)
        if timed is None or recipe is None:
            return None
        return timed * self._ratio(_preset(record.params)) * (1 - done / recipe.budget)

    def of_preset(self, study: str, preset: str) -> float | None:
        """What a trial of a preset of the family takes, at most; None where none was timed."""
        longest = self._longest(study, preset)
        return None if longest is None else longest * self._ratio(preset)

    @property
    def longest(self) -> float:
        """What a trial that was not timed is taken to take: as long as any that was."""
        known = [seconds for kinds in self.timed.values() for seconds in kinds.values()]
        return max(known, default=1.0) * self._ratio("")

    def take(self, record: TrialRecord) -> None:
        """Learn from a trial that has ended."""
        whole = self.timed and record.state == TrialState.COMPLETE
        if whole and (timed := self._timed(record, recipe_or_none(record))):
            self._ratios.setdefault(_preset(record.params), []).append(record.seconds / timed)

    def _timed(self, record: TrialRecord, recipe: Recipe | None) -> float | None:
        if recipe is None:
            return None
        known = self.timed.get(record.machine, {})
        return known.get(
            kind_of(record.params, recipe), self._longest(record.machine, _preset(record.params))
        )

    def _longest(self, study: str, preset: str) -> float | None:
        known = self.timed.get(study, {}).items()
        return max((s for kind, s in known if preset in ("", self._preset_of(kind))), default=None)

    def _preset_of(self, kind: str) -> str | None:
        return next((preset for preset in self._presets if kind.startswith(f"{preset} ")), None)

    def _ratio(self, preset: str) -> float:
        ratios = self._ratios.get(preset) or [r for own in self._ratios.values() for r in own]
        return mean(ratios) if ratios else 1.0


def recipe_or_none(record: TrialRecord) -> Recipe | None:
    """A trial's recipe; None of values that don't go together, or of a family that isn't installed here."""
    try:
        return recipe_of(record.config) if record.readable else None
    except ValidationError:
        return None
