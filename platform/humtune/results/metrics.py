"""What a table shows of a machine: its choice, what that is worth on clips of each kind, and its work."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from humtune.metrics.bootstrap import Resampled
from humtune.metrics.cells import Array
from humtune.metrics.cross_fitting import CrossFitted
from humtune.metrics.omega import Figures
from humtune.records import Objective, TrialRecord, TrialState
from humtune.results.average import Average
from humtune.results.candidates import Candidate
from humtune.results.measure import Measured


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
class Metrics:
    """What one score vector is worth on labelled clips of one kind; empty without such clips."""

    official: Estimate = field(default_factory=Estimate)  # Ω
    paper: Estimate = field(default_factory=Estimate)  # Ω with a pAUC per domain
    auc_source: float | None = None
    auc_target: float | None = None  # None: no clip is of that domain
    pauc: float | None = None

    @classmethod
    def of(cls, figures: Figures | None, draws: Resampled | None = None) -> Self:
        """Those of some figures; `draws` are of their clips."""
        if not figures:
            return cls()
        return cls(
            official=Estimate.of(figures.omega_official, draws),
            paper=Estimate.of(figures.omega_paper),
            auc_source=_known(figures.auc_source),
            auc_target=_known(figures.auc_target),
            pauc=_known(figures.pauc),
        )


@dataclass(frozen=True)
class Choice:
    """Which trial and score type were chosen; empty where none is complete, and over all machines."""

    trial: str | None = None
    score: str | None = None
    judged_by: Objective | None = None  # what chose them
    pseudo: float | None = None  # pseudo-Ω: held-out clips against probes
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the trial, by their dotted names
    varied: tuple[str, ...] = ()  # those of them that differ among the machine's trials

    @classmethod
    def of(cls, chosen: Candidate, among: Iterable[TrialRecord] = ()) -> Self:
        """A candidate, whose settings were searched `among` these trials."""
        trial = chosen.trial
        return cls(
            trial=trial.id,
            score=chosen.score_type,
            judged_by=trial.judged_by,
            pseudo=trial.pseudo.get(chosen.score_type),
            settings=trial.settings,
            varied=_varied(trial, among),
        )


@dataclass(frozen=True)
class Work:
    """How many trials there were, and the seconds that all of them took."""

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, machines: Sequence[Measured]) -> Self:
        """That of some machines' trials; one whose scores are lost has failed.

        Shared trials count once; the time that they took is no single machine's.
        """
        records = {r.id: r for m in machines for r in (*m.records, *m.lost)}.values()
        lost = len({r.id for m in machines for r in m.lost})  # complete, and of no use
        states = [r.state for r in records]
        return cls(
            complete=states.count(TrialState.COMPLETE) - lost,
            pruned=states.count(TrialState.PRUNED),
            failed=states.count(TrialState.FAILED) + lost,
            seconds=sum(r.seconds for r in records if len(machines) > 1 or not r.is_shared),
        )


def _known(value: Array) -> float | None:
    found = float(value)
    return found if found == found else None  # NaN: no such domain


def _varied(trial: TrialRecord, among: Iterable[TrialRecord]) -> tuple[str, ...]:
    """The settings that were searched, or that differ as their presets do; not seed and score types."""
    if not (points := {tuple(sorted(record.params.items(), key=str)): record for record in among}):
        return ()
    known = trial.settings
    found = {n for r in points.values() for n, value in r.settings.items() if value != known.get(n, value)}
    found |= {name for name in known if name in trial.params}
    return tuple(name for name in known if name in found and name not in ("seed", "scores"))
