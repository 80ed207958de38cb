"""The best trial of each machine, and everything that is measured of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from humtune.config import FUSION
from humtune.errors import DamagedScores, HumtuneError, UsageError
from humtune.evaluation.bootstrap import resample
from humtune.evaluation.calibration import Threshold, false_alarm_rate, threshold_from
from humtune.evaluation.cells import Array
from humtune.evaluation.metrics import Figures
from humtune.evaluation.selection import CrossFitted, cross_fit
from humtune.ledger import Ledger
from humtune.records import TrialRecord, why_none
from humtune.report.configurations import (
    Allowed,
    Configuration,
    complete_trials,
    confirmed,
    only,
    searched_trials,
)
from humtune.report.labelled import Reading, labelled_clips
from humtune.sounds.table import NORMAL, ClipTable, Role

NOISE_SAMPLES = 500  # a quantile needs fewer than the ends of an interval, and there may be thousands


@dataclass(frozen=True)
class Choice:
    """What a machine's best is, and by what figure."""

    trial: TrialRecord
    figure: float  # its objective; where there are new seeds, their mean
    configuration: Configuration | None = None  # the new seeds, where there are some


def choose(records: Iterable[TrialRecord]) -> Choice | None:
    """What report, export and submission take as a machine's best; None where no trial is complete.

    Without confirmation it is the trial with the highest objective, of equal ones the first. With it, the
    configuration with the highest mean over its new seeds, and of those the trial with the median figure.
    """
    records = list(records)
    if again := confirmed(records):
        return Choice(again[0].middle, again[0].figure, again[0])
    best = min(complete_trials(records), key=lambda r: (-r.objective, r.number), default=None)
    return Choice(best, best.objective) if best else None


def best_trial(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The trial that `choose` takes, whose `best_score` is the score type to use."""
    choice = choose(records)
    return choice.trial if choice else None


def label_free(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The trial that the highest pseudo-Ω chooses, with its score type alone; None without pseudo-Ω.

    A trial that fuses its scores is taken with the fusion, another one with its best type by pseudo-Ω.
    """
    found = []
    for record in searched_trials(records):
        if told := record.pseudo:
            score = FUSION if FUSION in told else max(told, key=lambda name: told[name])
            found.append((-told[score], record.number, record, score))
    if not found:
        return None
    *_, record, score = min(found, key=lambda entry: entry[:2])
    return only(record, lambda _, name: name == score)


@dataclass(frozen=True, eq=False)
class Measured:
    """One machine's trials, and the figures of its best one with its best score type."""

    machine: str
    records: tuple[TrialRecord, ...]
    best: TrialRecord | None
    clips: ClipTable  # the scored clips
    scores: Array | None = None  # [N], the best trial's
    reading: Reading = field(default_factory=Reading)
    cross_fitted: CrossFitted | None = None  # of the search's own trials
    candidates: int = 0  # trial × score type, of the search's own trials
    within_noise: int | None = None  # how many of them may truly be the best
    confirmed: Configuration | None = None  # the new seeds of the best configuration
    threshold: Threshold | None = None
    false_alarms: float | None = None  # share of the selecting normals above the threshold
    notes: tuple[str, ...] = ()  # why something is missing
    left_out: TrialRecord | None = None  # better than the best, and not allowed
    lead: float = 0.0  # how much better

    @property
    def select(self) -> Figures | None:
        """Figures on the labelled dev clips: where Ω is the objective, those that chose."""
        return self.reading.select

    @property
    def report(self) -> Figures | None:
        """Figures on the test clips that are only reported, where there is truth."""
        return self.reading.report


def measure(ledger: Ledger, machine: str, *, allowed: Allowed | None = None, noise: bool = False) -> Measured:
    """Measure a machine's best trial; what can't be measured is None, and a note says why.

    `allowed` says which score types of which trials may be chosen; without it all may. With `noise` the
    candidates within noise of the best are counted, which takes about 2 ms for each there is.
    """
    lost: dict[str, str] = {}
    while True:
        try:
            return _measure(ledger, machine, lost, allowed=allowed, noise=noise)
        except DamagedScores as error:  # without it, then
            lost[error.trial] = str(error)


def _measure(
    ledger: Ledger, machine: str, lost: Mapping[str, str], *, allowed: Allowed | None, noise: bool
) -> Measured:
    """`lost` are the trials whose scores can't be read, with the reason."""
    clips = ledger.clips(machine)
    records = tuple(
        record.without_scores(lost[record.id]) if record.id in lost else record
        for record in ledger.records(machine)
    )
    judged = tuple(only(r, allowed) for r in records) if allowed else records
    choice, whole = choose(judged), choose(records)
    if choice is None or whole is None:
        note = f"{machine}: {'no complete trial may be chosen' if whole else why_none(records)}"
        left_out = whole.trial if whole else None
        return Measured(machine, records, None, clips, notes=(note,), left_out=left_out)
    best, lead = choice.trial, whole.figure - choice.figure
    scores = read_scores(ledger, best.id, best.best_score)

    labelled = labelled_clips(clips)
    notes, cross_fitted, candidates, within = list(labelled.notes), None, 0, None
    if best.judged_by == "pseudo":
        notes.insert(0, f"{machine}: chosen without labels, by pseudo-Ω")
    elif labelled.choosing:
        chosen_from = candidate_scores(ledger, judged)
        candidates = len(chosen_from)
        if noise:
            drawn = resample(chosen_from, labelled.choosing, samples=NOISE_SAMPLES)
            within = int(drawn.within_noise().sum())
        try:
            cross_fitted = cross_fit(chosen_from, labelled.choosing)
        except UsageError as error:
            notes.append(str(error))

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
        reading=labelled.read(scores),
        cross_fitted=cross_fitted,
        candidates=candidates,
        within_noise=within,
        confirmed=choice.configuration,
        threshold=threshold,
        false_alarms=alarms,
        notes=(*(f"{trial} is left out: {reason}" for trial, reason in lost.items()), *notes),
        left_out=whole.trial if lead > 0 else None,
        lead=max(lead, 0.0),
    )


def candidate_scores(ledger: Ledger, records: Iterable[TrialRecord]) -> Array:
    """Scores [K, N] of every complete trial × score type that the search chose from."""
    return np.stack([read_scores(ledger, r.id, name) for r in searched_trials(records) for name in r.judged])


def read_scores(ledger: Ledger, trial: str, score_type: str) -> Array:
    """A trial's score vector [N]; a HumtuneError where its file is gone."""
    try:
        return ledger.scores(trial, score_type)
    except FileNotFoundError:
        name = ledger.file(trial, f"scores/{score_type}.npy")
        raise HumtuneError(f"{ledger.storage.uri}/{name} is missing, though the trial is complete") from None
