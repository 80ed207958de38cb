"""Points: the trials of a machine with equal parameters, one a seed, and what they are worth together."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np

from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.metrics.cells import Cells, labelled
from humtune.metrics.cross_fitting import CrossFitted, cross_fit, cross_fit_machines
from humtune.metrics.omega import Kind, Metrics, evaluate, pool
from humtune.records import OWN, ParamValue, TrialRecord
from humtune.results.archive import Archive, read_archive, trial_stamps
from humtune.results.candidates import searched_trials
from humtune.results.reading import Average
from humtune.results.rows import ALL
from humtune.sounds.parallel import tracked
from humtune.sounds.table import Role

T = TypeVar("T")
Clips = Literal["dev", "eval", "both"]  # those that select, those that are reported, all


@dataclass(frozen=True, eq=False)
class Seed:
    """One trial of a point, or one of each machine: its figures by score type."""

    dev: Mapping[str, Metrics] = field(default_factory=dict)  # selecting clips
    eval: Mapping[str, Metrics] = field(default_factory=dict)  # reported clips, where there is truth
    cross_fitted: CrossFitted | None = None  # over the score types
    pseudo: Mapping[str, float] = field(default_factory=dict)  # pseudo-Ω of the probes, where there are some
    metrics: Mapping[str, float] = field(default_factory=dict)  # of the last epoch

    def on(self, clips: Clips) -> dict[str, Metrics]:
        """The figures on some clips by score type; `both` sets all sections side by side."""
        if clips == "both":
            return {s: pool([f, self.eval[s]]) for s, f in self.dev.items() if s in self.eval}
        return dict(self.dev if clips == "dev" else self.eval)


@dataclass(frozen=True, eq=False)
class Point:
    """One configuration of a machine, tried with one or more seeds."""

    machine: str
    params: Mapping[str, ParamValue]
    config: Mapping[str, Any]  # a recipe; over several machines that of the first: for what they share
    seeds: tuple[Seed, ...]
    network: str = OWN  # as of a trial
    machines: int = 1

    @property
    def score_types(self) -> list[str]:
        """The score types that every seed has."""
        return [s for s in self.seeds[0].dev if all(s in seed.dev for seed in self.seeds)]

    def omega(self, score: str, *, kind: Kind = "official", clips: Clips = "dev") -> Average | None:
        """Ω of a score type over the seeds; None where a seed has none."""
        found = [seed.on(clips).get(score) for seed in self.seeds]
        values = [f.omega_official if kind == "official" else f.omega_paper for f in found if f]
        return Average.of(map(float, values)) if len(values) == len(found) else None

    @property
    def cross_fitted(self) -> Average | None:
        """Cross-fitted official Ω over the seeds: the score type is chosen on clips that don't judge it."""
        fitted = [seed.cross_fitted.mean for seed in self.seeds if seed.cross_fitted]
        return Average.of(fitted) if len(fitted) == len(self.seeds) else None

    def pseudo(self, score: str) -> Average | None:
        """Pseudo-Ω of a score type over the seeds; None where a seed has none, and over several machines."""
        found = [seed.pseudo[score] for seed in self.seeds if score in seed.pseudo]
        return Average.of(found) if len(found) == len(self.seeds) else None

    def metric(self, name: str) -> Average | None:
        """A metric of the last epoch over the seeds; None where a seed has none."""
        found = [seed.metrics[name] for seed in self.seeds if name in seed.metrics]
        return Average.of(found) if len(found) == len(self.seeds) else None

    def best(self, *, kind: Kind = "official", among: Iterable[str] | None = None) -> str | None:
        """The score type with the highest mean Ω on the selecting clips."""
        means = {
            s: average.mean
            for s in self.score_types
            if (among is None or s in among) and (average := self.omega(s, kind=kind))
        }
        return max(means, key=lambda s: means[s], default=None)

    def using(self, score: str) -> "Point":
        """The point with that score type alone, under the name `own`: to be pooled with other machines'."""
        seeds = tuple(
            Seed(
                dev={"own": seed.dev[score]},
                eval={"own": seed.eval[score]} if score in seed.eval else {},
                metrics=seed.metrics,
            )
            for seed in self.seeds
        )
        return replace(self, seeds=seeds)


def measure_points(ledger: Ledger, *, cross_fitted: bool = True) -> tuple[list[Point], list[str]]:
    """Every machine's points in the order of their first trial, and notes on what can't be measured.

    Shared trials are points of each machine, apart from its own. Score types are cross-fitted within each
    trial, which takes longest, or not at all.
    """
    points: list[Point] = []
    notes: list[str] = []
    known: dict[str, list[tuple[TrialRecord, Seed]]] = {}
    stamps = trial_stamps(ledger)
    for machine in ledger.plan.machines:
        archive, cells = read_archive(ledger, machine, stamps=stamps), _cells(ledger, machine, notes)
        trials = searched_trials(archive.usable(archive.records))
        notes += archive.notes
        known[machine] = [
            (record, _measure(archive, record, *cells, cross_fitted=cross_fitted))
            for record in tracked(trials, total=len(trials), title=f"measuring points of {machine}")
        ]
    for machine, measured in known.items():
        for group in group_by(measured, lambda pair: pair[0].configuration).values():
            first = group[0][0]
            seeds = tuple(seed for _, seed in group)
            points.append(Point(machine, first.params, first.config, seeds, first.network))
    return points, notes


def over_machines(points: Iterable[Point]) -> Point:
    """The points of several machines as one: harmonic means over all values of all sections.

    The n-th seed of every machine is taken together with the others' n-th; seeds that not every machine has
    are left out.
    """
    points = list(points)
    shared = [s for s in points[0].score_types if all(s in p.score_types for p in points)]
    seeds = []
    for together in zip(*(p.seeds for p in points), strict=False):
        fitted = [seed.cross_fitted for seed in together if seed.cross_fitted]
        metrics = [m for m in together[0].metrics if all(m in seed.metrics for seed in together)]
        with_truth = [s for s in shared if all(s in seed.eval for seed in together)]
        seeds.append(
            Seed(
                dev={s: pool(seed.dev[s] for seed in together) for s in shared},
                eval={s: pool(seed.eval[s] for seed in together) for s in with_truth},
                cross_fitted=cross_fit_machines(fitted) if len(fitted) == len(together) else None,
                metrics={m: float(np.mean([seed.metrics[m] for seed in together])) for m in metrics},
            )
        )
    return replace(points[0], machine=ALL, seeds=tuple(seeds), machines=len(points))


def common_points(points: Iterable[Point]) -> list[Point]:
    """Each point that every machine has, over all machines; none where there is a single machine."""
    points = list(points)
    machines = {p.machine for p in points}
    groups = group_by(points, lambda p: (p.network, *sorted(p.params.items()))).values()
    return [over_machines(g) for g in groups if len(g) == len(machines) > 1]


def group_by(items: Iterable[T], key: Callable[[T], Hashable]) -> dict[Hashable, list[T]]:
    """Items by what a key says of them, in the order in which they first come."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _cells(ledger: Ledger, machine: str, notes: list[str]) -> tuple[Cells | None, Cells | None]:
    """The labelled clips that select and those that are reported, where there are such."""
    clips = ledger.clips(machine)
    found: list[Cells | None] = []
    for role, name in ((Role.SELECT, ""), (Role.REPORT, "eval clips: ")):
        try:
            found.append(Cells.of(clips, role) if labelled(clips, role) or role == Role.SELECT else None)
        except UsageError as error:
            notes.append(f"{name}{error}")
            found.append(None)
    return found[0], found[1]


def _measure(
    archive: Archive, record: TrialRecord, dev: Cells | None, report: Cells | None, *, cross_fitted: bool
) -> Seed:
    names = list(record.omega)  # none without labels
    vectors = dict(zip(names, archive.rows([(record.id, name) for name in names]), strict=True))
    fitted = None
    if dev and vectors and cross_fitted:
        with suppress(UsageError):  # a cell of a single clip: the table's own notes say so
            fitted = cross_fit(np.stack(list(vectors.values())), dev)
    return Seed(
        dev={name: evaluate(v, dev) for name, v in vectors.items()} if dev else {},
        eval={name: evaluate(v, report) for name, v in vectors.items()} if report else {},
        cross_fitted=fitted,
        pseudo=record.pseudo,
        metrics=record.epochs[-1].metrics if record.epochs else {},
    )
