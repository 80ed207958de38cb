"""A machine's labelled clips by what they are for; what a score vector is worth on each kind, and how surely.

The clips that choose and those that a search hid come from here for everything that chooses: nothing but
`choosing` may decide.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from humtune.errors import UsageError
from humtune.metrics.bootstrap import Resampled, pool_resampled, resample
from humtune.metrics.cells import Array, Cells, labelled
from humtune.metrics.cross_fitting import CrossFitted
from humtune.metrics.omega import Metrics, evaluate, pool
from humtune.sounds.table import ClipTable, Role


@dataclass(frozen=True, eq=False)
class Reading:
    """One score vector's figures, or several machines' in one; None where there are no such clips."""

    select: Metrics | None = None  # on the clips that may choose
    hidden: Metrics | None = None  # on those that --holdout hid
    report: Metrics | None = None  # on the other test clips, where there is truth
    select_draws: Resampled | None = None
    hidden_draws: Resampled | None = None

    @classmethod
    def pooled(cls, readings: Sequence["Reading"]) -> "Reading":
        """The harmonic mean over all values of all machines; machines without a figure are left out of it."""

        def over(name: str) -> Metrics | None:
            found = [metrics for r in readings if (metrics := getattr(r, name))]
            return pool(found) if found else None

        def draws(name: str) -> Resampled | None:
            found = [resampled for r in readings if (resampled := getattr(r, name))]
            return pool_resampled(found) if found else None

        return cls(
            over("select"), over("hidden"), over("report"), draws("select_draws"), draws("hidden_draws")
        )


@dataclass(frozen=True, eq=False)
class LabelledClips:
    """The cells of a machine's labelled clips; None where there are none, or where a cell lacks a label."""

    choosing: Cells | None
    hidden: Cells | None
    reported: Cells | None
    notes: tuple[str, ...]  # which cell lacks what

    def read(self, scores: Array) -> Reading:
        """The figures of scores [N], with 1,000 draws of the clips that choose and of the hidden ones."""
        choosing, hidden, reported = self.choosing, self.hidden, self.reported
        return Reading(
            select=evaluate(scores, choosing) if choosing else None,
            hidden=evaluate(scores, hidden) if hidden else None,
            report=evaluate(scores, reported) if reported else None,
            select_draws=resample(scores, choosing) if choosing else None,
            hidden_draws=resample(scores, hidden) if hidden else None,
        )


def labelled_clips(clips: ClipTable) -> LabelledClips:
    """Which labelled clips of a machine choose, which are hidden from all choices, which are reported."""
    found: dict[Role, Cells] = {}
    notes = []
    for role, where in ((Role.SELECT, ""), (Role.HIDDEN, "hidden clips: "), (Role.REPORT, "eval clips: ")):
        if labelled(clips, role):
            try:
                found[role] = Cells.of(clips, role)
            except UsageError as error:
                notes.append(f"{where}{error}")
    return LabelledClips(found.get(Role.SELECT), found.get(Role.HIDDEN), found.get(Role.REPORT), tuple(notes))


@dataclass(frozen=True)
class Average:
    """A fraction 0…1 over seeds; the spread is their standard deviation (n − 1), None of a single one."""

    mean: float
    spread: float | None
    seeds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """The average of finite values; None where there are none."""
        found = np.array([v for v in map(float, values) if np.isfinite(v)])
        if not found.size:
            return None
        return cls(float(found.mean()), float(found.std(ddof=1)) if found.size > 1 else None, found.size)

    def __str__(self) -> str:
        """In percent: 66.4±0.3, or 66.4 of a single seed."""
        spread = "" if self.spread is None else f"±{100 * self.spread:.1f}"
        return f"{100 * self.mean:.1f}{spread}"


@dataclass(frozen=True)
class Estimate:
    """A fraction 0…1 and how sure it is; None where it isn't known."""

    value: float | None = None
    low: float | None = None  # 90 % interval
    high: float | None = None
    spread: float | None = None  # standard deviation, over splits or seeds

    @classmethod
    def of(cls, value: Array, draws: Resampled | None = None) -> Self:
        """A metric of one score vector, with the interval that its clips' draws give."""
        if not draws:
            return cls(_known(value))
        interval = draws.interval()
        return cls(_known(value), _known(interval.low), _known(interval.high))

    @classmethod
    def spread_over(cls, found: CrossFitted | Average | None) -> Self:
        """A mean and its standard deviation."""
        return cls(found.mean, spread=found.spread) if found else cls()


@dataclass(frozen=True)
class Estimates:
    """What one score vector is worth on labelled clips of one kind; empty without such clips."""

    official: Estimate = field(default_factory=Estimate)  # Ω
    paper: Estimate = field(default_factory=Estimate)  # Ω with a pAUC per domain
    auc_source: float | None = None
    auc_target: float | None = None  # None: no clip is of that domain
    pauc: float | None = None

    @classmethod
    def of(cls, metrics: Metrics | None, draws: Resampled | None = None) -> Self:
        """Those of some figures; `draws` are of their clips."""
        if not metrics:
            return cls()
        return cls(
            official=Estimate.of(metrics.omega_official, draws),
            paper=Estimate.of(metrics.omega_paper),
            auc_source=_known(metrics.auc_source),
            auc_target=_known(metrics.auc_target),
            pauc=_known(metrics.pauc),
        )


def _known(value: Array) -> float | None:
    found = float(value)
    return found if found == found else None  # NaN: no such domain
