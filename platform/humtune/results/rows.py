"""Row: a line of the report's table, one per machine and one over all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from humtune.config import short_names
from humtune.metrics.cross_fitting import CrossFitted, cross_fit_machines
from humtune.records import Objective, TrialRecord, TrialState
from humtune.results.candidates import Candidate
from humtune.results.measure import Measured
from humtune.results.one_for_all import Pick
from humtune.results.reading import Average, Estimate, Estimates, Reading

ALL = "all"
BEST, ONE_FOR_ALL, LABEL_FREE = "best", "one for all", "label-free"  # ways to choose


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


@dataclass(frozen=True)
class Row:
    """One machine's choice, what it is worth, and what it took."""

    machine: str
    way: str = BEST  # how it was chosen: each machine's best, one for all machines, without labels
    choice: Choice = field(default_factory=Choice)
    cross_fitted: Estimate = field(default_factory=Estimate)  # Ω on selecting clips that did not choose
    hidden: Estimates = field(default_factory=Estimates)  # on labelled dev clips that --holdout hid
    select: Estimates = field(default_factory=Estimates)  # on labelled dev clips; those that chose, if Ω did
    report: Estimates = field(default_factory=Estimates)  # on test clips that are only reported
    confirmed: Estimate = field(default_factory=Estimate)  # Ω on selecting clips, over the new seeds
    seeds: int | None = None  # new ones of this configuration
    candidates: int | None = None  # trial × score type
    within_noise: int | None = None  # those that may truly be the best
    false_alarms: float | None = None  # of selecting normals, with the threshold from held-out clips
    work: Work = field(default_factory=Work)
    note: str = ""

    def to_dict(self, settings: Mapping[str, str]) -> dict[str, Any]:
        """The row by plain column names; `settings` are a column's name -> path."""
        found: dict[str, Any] = {"machine": self.machine, "choice": self.way, "trial": self.choice.trial}
        found |= {label: self.choice.settings.get(path) for label, path in settings.items()}
        return found | {name: column.of(self) for name, column in COLUMNS.items()}

    def to_percent(self, settings: Mapping[str, str]) -> dict[str, Any]:
        """The same with fractions in percent."""
        found = self.to_dict(settings)
        for name, column in COLUMNS.items():
            if column.is_fraction and found[name] is not None:
                found[name] = round(100 * found[name], 4)
        return found

    def to_fractions(self) -> dict[str, float]:
        """What is known of the metrics, 0…1, by the names of their columns."""
        found = {name: column.of(self) for name, column in COLUMNS.items() if column.is_fraction}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Column:
    """A column of table.csv and of the report's JSON."""

    of: Callable[[Row], Any]
    is_fraction: bool = True


COLUMNS: dict[str, Column] = {  # their names are read by other programs
    "score": Column(lambda r: r.choice.score, is_fraction=False),
    "judged_by": Column(lambda r: r.choice.judged_by, is_fraction=False),
    "pseudo": Column(lambda r: r.choice.pseudo),
    "omega_cross_fitted": Column(lambda r: r.cross_fitted.value),
    "omega_cross_fitted_spread": Column(lambda r: r.cross_fitted.spread),
    "omega_hidden_official": Column(lambda r: r.hidden.official.value),
    "omega_hidden_low": Column(lambda r: r.hidden.official.low),
    "omega_hidden_high": Column(lambda r: r.hidden.official.high),
    "omega_hidden_paper": Column(lambda r: r.hidden.paper.value),
    "omega_select_official": Column(lambda r: r.select.official.value),
    "omega_select_low": Column(lambda r: r.select.official.low),
    "omega_select_high": Column(lambda r: r.select.official.high),
    "omega_select_paper": Column(lambda r: r.select.paper.value),
    "omega_confirmed": Column(lambda r: r.confirmed.value),
    "omega_confirmed_spread": Column(lambda r: r.confirmed.spread),
    "seeds": Column(lambda r: r.seeds, is_fraction=False),
    "candidates": Column(lambda r: r.candidates, is_fraction=False),
    "within_noise": Column(lambda r: r.within_noise, is_fraction=False),
    "omega_eval_official": Column(lambda r: r.report.official.value),
    "omega_eval_paper": Column(lambda r: r.report.paper.value),
    "auc_source": Column(lambda r: r.select.auc_source),
    "auc_target": Column(lambda r: r.select.auc_target),
    "pauc": Column(lambda r: r.select.pauc),
    "false_alarms": Column(lambda r: r.false_alarms),
    "complete": Column(lambda r: r.work.complete, is_fraction=False),
    "pruned": Column(lambda r: r.work.pruned, is_fraction=False),
    "failed": Column(lambda r: r.work.failed, is_fraction=False),
    "seconds": Column(lambda r: r.work.seconds, is_fraction=False),
    "note": Column(lambda r: r.note, is_fraction=False),
}


def searched_settings(rows: Sequence[Row]) -> dict[str, str]:
    """The settings that differ among some machine's trials: a column's name -> the dotted name."""
    own = {"machine", "choice", "trial", *COLUMNS}
    names = short_names(name for row in rows for name in row.choice.varied)
    return {f"recipe.{label}" if label in own else label: path for label, path in names.items()}


def machine_row(measured: Measured) -> Row:
    """The row of one machine; without a complete trial it holds the counts and a note."""
    row = replace(
        _row(measured.machine, measured.reading, measured.cross_fitted),
        work=Work.of([measured]),
        note="; ".join(measured.notes),
    )
    if best := measured.best:
        row = replace(
            row,
            choice=Choice.of(best, measured.records),
            false_alarms=measured.false_alarms,
            candidates=measured.candidates or None,
            within_noise=measured.within_noise,
        )
    if again := measured.confirmed:
        trials, score = again.trials, again.best_score
        omegas = [t.omega[score] for t in trials] if trials[0].judged_by == "omega" else []
        row = replace(row, seeds=len(trials), confirmed=Estimate.spread_over(Average.of(omegas)))
    return row


def overall_row(machines: Sequence[Measured]) -> Row:
    """The row over all machines, as the challenge averages: harmonic means over all values of all sections.

    The cross-fitted Ω is, for each split, the harmonic mean of the machines' Ω; its mean and spread over the
    splits follow from that. Machines without a figure are left out of it, and the note names them.
    """
    fitted = [m.cross_fitted for m in machines if m.cross_fitted]
    whole = cross_fit_machines(fitted) if fitted else None
    row = _row(ALL, Reading.pooled([m.reading for m in machines]), whole)
    return replace(row, work=Work.of(machines), note="; ".join(_left_out(machines)))


def pick_rows(way: str, picks: Sequence[Pick]) -> list[Row]:
    """The rows of another way to choose: a machine each, and with two or more a last one over all of them."""
    rows = [
        replace(
            _row(p.machine, p.reading, p.cross_fitted),
            way=way,
            choice=Choice.of(p.candidate) if p.candidate else Choice(),
        )
        for p in picks
    ]
    if len(picks) > 1:
        fitted = [pick.cross_fitted for pick in picks if pick.cross_fitted]
        whole = cross_fit_machines(fitted) if len(fitted) == len(picks) else None
        rows.append(replace(_row(ALL, Reading.pooled([pick.reading for pick in picks]), whole), way=way))
    return rows


def _row(machine: str, reading: Reading, cross_fitted: CrossFitted | None) -> Row:
    """What a score vector is worth on clips of each kind."""
    return Row(
        machine=machine,
        cross_fitted=Estimate.spread_over(cross_fitted),
        hidden=Estimates.of(reading.hidden, reading.hidden_draws),
        select=Estimates.of(reading.select, reading.select_draws),
        report=Estimates.of(reading.report),
    )


def _left_out(machines: Sequence[Measured]) -> list[str]:
    metrics: dict[str, list[Any]] = {
        "Ω": [m.reading.select for m in machines],
        "cross-fitted Ω": [m.cross_fitted for m in machines],
        "Ω on hidden clips": [m.reading.hidden for m in machines],
        "Ω on eval": [m.reading.report for m in machines],
    }
    notes = []
    for label, found in metrics.items():
        without = [m.machine for m, figure in zip(machines, found, strict=True) if figure is None]
        if without and len(without) < len(machines):
            notes.append(f"{label} over all is without {', '.join(without)}")
    return notes


def _varied(trial: TrialRecord, among: Iterable[TrialRecord]) -> tuple[str, ...]:
    """The settings that were searched, or that differ as their presets do; not seed and score types."""
    if not (points := {tuple(sorted(record.params.items(), key=str)): record for record in among}):
        return ()
    known = trial.settings
    found = {n for r in points.values() for n, value in r.settings.items() if value != known.get(n, value)}
    found |= {name for name in known if name in trial.params}
    return tuple(name for name in known if name in found and name not in ("seed", "scores"))
