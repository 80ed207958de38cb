"""Row: a line of the report's table, one per machine and one over all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from humtune.config import short_names
from humtune.evaluation.selection import CrossFitted, cross_fit_machines
from humtune.records import TrialRecord, TrialState
from humtune.results.average import Average
from humtune.results.candidates import Candidate
from humtune.results.labelled import Reading
from humtune.results.measure import Measured
from humtune.results.one_for_all import Pick

ALL = "all"
BEST, ONE_FOR_ALL, LABEL_FREE = "best", "one for all", "label-free"  # ways to choose

_FRACTIONS = ("omega_", "auc_", "pauc", "pseudo", "false_alarms")


@dataclass(frozen=True)
class Row:
    """One machine's choice and its figures, fractions 0…1; None where there is none."""

    machine: str
    choice: str = BEST  # how it was chosen: each machine's best, one for all machines, without labels
    trial: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the trial, by their dotted names
    varied: tuple[str, ...] = ()  # those of them that differ among the machine's trials
    score: str | None = None
    judged_by: str | None = None  # what chose trial and score: omega or pseudo
    pseudo: float | None = None  # pseudo-Ω: held-out clips against probes
    omega_cross_fitted: float | None = None  # official, selecting clips that did not choose
    omega_cross_fitted_spread: float | None = None
    omega_hidden_official: float | None = None  # labelled dev clips that --holdout hid
    omega_hidden_low: float | None = None  # 90 % interval of the official one, as below
    omega_hidden_high: float | None = None
    omega_hidden_paper: float | None = None
    omega_select_official: float | None = None  # the labelled dev clips; those that chose, if Ω did
    omega_select_low: float | None = None
    omega_select_high: float | None = None
    omega_select_paper: float | None = None
    omega_confirmed: float | None = None  # official, selecting clips: mean over the new seeds
    omega_confirmed_spread: float | None = None
    seeds: int | None = None  # new ones of this configuration
    candidates: int | None = None  # trial × score type
    within_noise: int | None = None  # those that may truly be the best
    omega_eval_official: float | None = None  # test clips that are only reported
    omega_eval_paper: float | None = None
    auc_source: float | None = None  # selecting clips, as the next two
    auc_target: float | None = None
    pauc: float | None = None
    false_alarms: float | None = None  # of selecting normals, with the threshold from held-out clips
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    seconds: float = 0.0  # of work, all trials
    note: str = ""

    def to_percent(self, settings: Mapping[str, str]) -> dict[str, Any]:
        """The row by plain column names, fractions in percent; `settings` are a column's name -> path."""
        found: dict[str, Any] = {}
        for column in fields(self):
            name, value = column.name, getattr(self, column.name)
            if name == "settings":
                found |= {label: value.get(path) for label, path in settings.items()}
            elif name != "varied":
                is_fraction = value is not None and name.startswith(_FRACTIONS)
                found[name] = round(100 * value, 4) if is_fraction else value
        return found


def searched_settings(rows: Sequence[Row]) -> dict[str, str]:
    """The settings that differ among some machine's trials: a column's name -> the dotted name."""
    own = {column.name for column in fields(Row)}
    names = short_names(name for row in rows for name in row.varied)
    return {f"recipe.{label}" if label in own else label: path for label, path in names.items()}


def machine_row(measured: Measured) -> Row:
    """The row of one machine; without a complete trial it holds the counts and a note."""
    found: dict[str, Any] = {}
    if best := measured.best:
        found = _configuration(best) | {
            "varied": _varied(best, measured.records),
            "false_alarms": measured.false_alarms,
            "candidates": measured.candidates or None,
            "within_noise": measured.within_noise,
        }
    if again := measured.confirmed:
        found["seeds"] = len(again.trials)
        if again.trials[0].judged_by == "omega":
            average = Average.of(trial.omega[again.best_score] for trial in again.trials)
            assert average  # of one seed or more
            found |= {"omega_confirmed": average.mean, "omega_confirmed_spread": average.spread}
    return Row(
        machine=measured.machine,
        **found,
        **_figures(measured.cross_fitted, measured.reading),
        **_work([measured]),
        note="; ".join(measured.notes),
    )


def overall_row(machines: Sequence[Measured]) -> Row:
    """The row over all machines, as the challenge averages: harmonic means over all values of all sections.

    The cross-fitted Ω is, for each split, the harmonic mean of the machines' Ω; its mean and spread over the
    splits follow from that. Machines without a figure are left out of it, and the note names them.
    """
    fitted = [m.cross_fitted for m in machines if m.cross_fitted]
    return Row(
        machine=ALL,
        **_figures(
            cross_fit_machines(fitted) if fitted else None, Reading.pooled([m.reading for m in machines])
        ),
        **_work(machines),
        note="; ".join(_left_out(machines)),
    )


def pick_rows(choice: str, picks: Sequence[Pick]) -> list[Row]:
    """The rows of another way to choose: a machine each, and with two or more a last one over all of them."""
    rows = [
        Row(
            machine=pick.machine,
            choice=choice,
            **_configuration(pick.candidate),
            **_figures(pick.cross_fitted, pick.reading),
        )
        for pick in picks
    ]
    if len(picks) > 1:
        fitted = [pick.cross_fitted for pick in picks if pick.cross_fitted]
        whole = cross_fit_machines(fitted) if len(fitted) == len(picks) else None
        reading = Reading.pooled([pick.reading for pick in picks])
        rows.append(Row(machine=ALL, choice=choice, **_figures(whole, reading)))
    return rows


def _configuration(best: Candidate) -> dict[str, Any]:
    trial = best.trial
    return {
        "trial": trial.id,
        "settings": trial.settings,
        "score": best.score_type,
        "judged_by": trial.judged_by,
        "pseudo": trial.pseudo.get(best.score_type),
    }


def _varied(best: Candidate, records: Iterable[TrialRecord]) -> tuple[str, ...]:
    """The settings that were searched, or that differ as their presets do; not seed and score types."""
    known = best.trial.settings
    points = {tuple(sorted(record.params.items(), key=str)): record for record in records}
    found = {n for r in points.values() for n, value in r.settings.items() if value != known.get(n, value)}
    found |= {name for name in known if name in best.trial.params}
    return tuple(name for name in known if name in found and name not in ("seed", "scores"))


def _figures(cross_fitted: CrossFitted | None, reading: Reading) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if cross_fitted:
        found |= {"omega_cross_fitted": cross_fitted.mean, "omega_cross_fitted_spread": cross_fitted.spread}
    for kind, name in (("select", "select"), ("hidden", "hidden"), ("eval", "report")):
        if figures := getattr(reading, name):
            found[f"omega_{kind}_official"] = figures.omega_official
            found[f"omega_{kind}_paper"] = figures.omega_paper
        if draws := getattr(reading, f"{name}_draws", None):
            interval = draws.interval()
            found |= {f"omega_{kind}_low": interval.low, f"omega_{kind}_high": interval.high}
    if select := reading.select:
        found |= {"auc_source": select.auc_source, "auc_target": select.auc_target, "pauc": select.pauc}
    return {name: float(value) for name, value in found.items() if value == value}  # NaN: no such domain


def _work(machines: Sequence[Measured]) -> dict[str, Any]:
    records = [r for m in machines for r in (*m.records, *m.lost)]
    lost = sum(len(m.lost) for m in machines)  # complete, and of no use
    states = [r.state for r in records]
    return {
        "complete": states.count(TrialState.COMPLETE) - lost,
        "pruned": states.count(TrialState.PRUNED),
        "failed": states.count(TrialState.FAILED) + lost,
        "seconds": sum(r.seconds for r in records),
    }


def _left_out(machines: Sequence[Measured]) -> list[str]:
    figures: dict[str, list[Any]] = {
        "Ω": [m.reading.select for m in machines],
        "cross-fitted Ω": [m.cross_fitted for m in machines],
        "Ω on hidden clips": [m.reading.hidden for m in machines],
        "Ω on eval": [m.reading.report for m in machines],
    }
    notes = []
    for label, found in figures.items():
        without = [m.machine for m, figure in zip(machines, found, strict=True) if figure is None]
        if without and len(without) < len(machines):
            notes.append(f"{label} over all is without {', '.join(without)}")
    return notes
