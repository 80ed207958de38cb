"""The time of a search by a clock, over all of its runs, and what its trials take of it, foretold."""

from collections.abc import Callable
from math import inf
from statistics import mean
from time import monotonic

from humtune.detectors.recipe import Recipe
from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.plan import Plan
from humtune.records import ParamValue, TrialRecord, TrialState, seconds_worked
from humtune.search.space.dimensions import FAMILY
from humtune.search.space.grid import Point


def check_hours(hours: float) -> None:
    """UsageError where a search can't have so many hours."""
    if not 0 < hours < inf:
        raise UsageError(f"--hours {hours:g}: it should be more than 0")


class Clock:
    """How many seconds a search has left; without a limit, always enough.

    Where `is_enough` says that there is too little to go on with, the time is not over yet.
    """

    def __init__(self, seconds: float = inf, is_enough: Callable[[], bool] = lambda: True) -> None:
        self.end, self.is_enough = monotonic() + seconds, is_enough

    @classmethod
    def of(
        cls, ledger: Ledger, hours: float, *, spent: float = 0.0, is_enough: Callable[[], bool] | None = None
    ) -> "Clock":
        """What `hours` leave of a search whose earlier runs worked, and of which other work took `spent`."""
        used = seconds_worked(ledger.records())
        return cls(3600 * hours - used - spent, is_enough or (lambda: True))

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

    def __init__(self, plan: Plan) -> None:
        self.timed = plan.seconds
        self._ratios: dict[str, list[float]] = {}  # preset -> what trials took over what was timed

    def seconds(self, study: str, params: Point, recipe: Recipe, *, done: int = 0) -> float | None:
        """What is left of a trial of a study after `done` steps; None where nothing of its like was timed."""
        timed = self._timed(study, params, recipe)
        if timed is None:
            return None
        ratios = self._ratios.get(_preset(params)) or [r for own in self._ratios.values() for r in own]
        return timed * (mean(ratios) if ratios else 1.0) * (1 - done / recipe.budget)

    def take(self, record: TrialRecord, recipe: Recipe) -> None:
        """Learn from a trial that has ended."""
        timed = self._timed(record.machine, record.params, recipe)
        if timed and record.state == TrialState.COMPLETE:
            self._ratios.setdefault(_preset(record.params), []).append(record.seconds / timed)

    def _timed(self, study: str, params: dict[str, ParamValue], recipe: Recipe) -> float | None:
        known = self.timed.get(study, {})
        like = [seconds for kind, seconds in known.items() if kind.startswith(_preset(params))]
        return known.get(kind_of(params, recipe), max(like, default=None))
