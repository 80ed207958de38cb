"""The best trial of each machine, and everything that is measured of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from humtune.config import TrialConfig
from humtune.errors import HumtuneError, UsageError
from humtune.evaluation.calibration import Threshold, false_alarm_rate, threshold_from
from humtune.evaluation.cells import Array, Cells, labelled
from humtune.evaluation.metrics import Figures, evaluate
from humtune.evaluation.selection import CrossFitted, cross_fit
from humtune.ledger import Ledger, TrialRecord, TrialState
from humtune.sounds.table import NORMAL, UNKNOWN, ClipTable, Role

Allowed = Callable[[TrialConfig, str], bool]  # whether a score type of a configuration may be chosen


def complete_trials(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials that ran their whole budget and have what they are judged by."""
    return [r for r in records if r.state == TrialState.COMPLETE and r.judged]


def best_trial(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The complete trial with the highest objective, of equal ones the first; None where none is complete."""
    return min(complete_trials(records), key=lambda r: (-r.objective, r.number), default=None)


def only(record: TrialRecord, allowed: Allowed) -> TrialRecord:
    """The record as it were if its trial had the allowed score types alone."""
    config = record.config
    kept = {
        kind: {name: value for name, value in figures.items() if allowed(config, name)}
        for kind, figures in (("omega", record.omega), ("pseudo", record.pseudo))
    }
    return record.model_copy(update=kept)


@dataclass(frozen=True, eq=False)
class Measured:
    """One machine's trials, and the figures of its best one with its best score type."""

    machine: str
    records: tuple[TrialRecord, ...]
    best: TrialRecord | None
    clips: ClipTable  # the scored clips
    scores: Array | None = None  # [N], the best trial's
    select: Figures | None = None  # on the labelled dev clips: where Ω is the objective, those that chose it
    report: Figures | None = None  # on the other test clips, where there is truth
    cross_fitted: CrossFitted | None = None
    threshold: Threshold | None = None
    false_alarms: float | None = None  # share of the selecting normals above the threshold
    notes: tuple[str, ...] = ()  # why something is missing
    left_out: TrialRecord | None = None  # better than the best, and not allowed


def measure(ledger: Ledger, machine: str, *, allowed: Allowed | None = None) -> Measured:
    """Measure a machine's best trial; what can't be measured is None, and a note says why.

    `allowed` says which score types of which trials may be chosen; without it all may.
    """
    records, clips = tuple(ledger.records(machine)), ledger.clips(machine)
    candidates = tuple(only(r, allowed) for r in records) if allowed else records
    best, left_out = best_trial(candidates), best_trial(records)
    if best and left_out and left_out.objective <= best.objective:
        left_out = None
    if best is None:
        missing = "complete trial may be chosen" if left_out else "trial has run its whole budget yet"
        note = f"{machine}: no {missing}"
        return Measured(machine, records, None, clips, notes=(note,), left_out=left_out)
    notes: list[str] = []
    scores = read_scores(ledger, best.id, best.best_score)

    cross_fitted, select = None, None
    if best.judged_by == "pseudo":
        notes.append(f"{machine}: chosen without labels, by pseudo-Ω")
    if labelled(clips):
        try:
            cells = Cells.of(clips, Role.SELECT)
            select = evaluate(scores, cells)
            if best.judged_by == "omega":
                cross_fitted = cross_fit(candidate_scores(ledger, candidates), cells)
        except UsageError as error:
            notes.append(str(error))

    report = None
    others = clips.having(Role.REPORT)
    if np.any(clips.label[others] != UNKNOWN):
        try:
            report = evaluate(scores, Cells.of(clips, Role.REPORT))
        except UsageError as error:
            notes.append(f"eval clips: {error}")

    threshold, alarms = None, None
    held_out = scores[clips.having(Role.HELD_OUT)]
    if held_out.size:
        threshold = threshold_from(held_out)
        normal = scores[(clips.role == Role.SELECT) & (clips.label == NORMAL)]
        alarms = false_alarm_rate(normal, threshold.value) if normal.size else None
        notes += [f"{machine}: {threshold.note}"] if threshold.note else []
    return Measured(
        machine=machine,
        records=records,
        best=best,
        clips=clips,
        scores=scores,
        select=select,
        report=report,
        cross_fitted=cross_fitted,
        threshold=threshold,
        false_alarms=alarms,
        notes=tuple(notes),
        left_out=left_out,
    )


def candidate_scores(ledger: Ledger, records: Iterable[TrialRecord]) -> Array:
    """Scores [K, N] of every complete trial × score type: all that the best was chosen from."""
    return np.stack([read_scores(ledger, r.id, name) for r in complete_trials(records) for name in r.judged])


def read_scores(ledger: Ledger, trial: str, score_type: str) -> Array:
    """A trial's score vector [N]; a HumtuneError where its file is gone."""
    try:
        return ledger.scores(trial, score_type)
    except FileNotFoundError:
        name = ledger.file(trial, f"scores/{score_type}.npy")
        raise HumtuneError(f"{ledger.storage.uri}/{name} is missing, though the trial is complete") from None
