"""Measured: one machine's best candidate, and everything that is known of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.metrics.bootstrap import resample
from humtune.metrics.calibration import Threshold, false_alarm_rate, threshold_from
from humtune.metrics.cells import Array
from humtune.metrics.cross_fitting import CrossFitted, cross_fit
from humtune.metrics.omega import Metrics
from humtune.records import TrialRecord, why_none
from humtune.results.archive import Archive, Stamps, read_archive
from humtune.results.candidates import Candidate, Configuration, candidates, choose, confirmed
from humtune.results.contributions import kind_of_trial
from humtune.results.reading import Reading, labelled_clips
from humtune.sounds.table import NORMAL, ClipTable, Role

NOISE_SAMPLES = 500  # a quantile needs fewer than the ends of an interval, and there may be thousands


@dataclass(frozen=True, eq=False)
class Measured:
    """One machine's trials, and the figures of its best candidate."""

    machine: str
    records: tuple[TrialRecord, ...]  # as in the archive, of all trials but those whose scores are lost
    best: Candidate | None
    clips: ClipTable  # the scored clips
    archive: Archive | None = None  # the scores of all candidates
    scores: Array | None = None  # [N], the best candidate's
    lost: Sequence[TrialRecord] = ()  # the trials whose scores can't be read
    reading: Reading = field(default_factory=Reading)
    cross_fitted: CrossFitted | None = None  # of the search's own trials
    candidates: int = 0  # trial × score type, of the search's own trials
    within_noise: int | None = None  # how many of them may truly be the best
    confirmed: Configuration | None = None  # the new seeds of the best configuration
    threshold: Threshold | None = None
    false_alarms: float | None = None  # share of the selecting normals above the threshold
    notes: tuple[str, ...] = ()  # why something is missing
    left_out: Candidate | None = None  # better than the best, and can't be exported
    lead: float = 0.0  # how much better

    @property
    def select(self) -> Metrics | None:
        """Figures on the labelled dev clips: where Ω is the objective, those that chose."""
        return self.reading.select

    @property
    def report(self) -> Metrics | None:
        """Figures on the test clips that are only reported, where there is truth."""
        return self.reading.report


def measure(
    ledger: Ledger,
    machine: str,
    *,
    exportable: bool = False,
    noise: bool = False,
    stamps: Stamps | None = None,
    without: Collection[str] = (),
) -> Measured:
    """Measure a machine's best candidate; what can't be measured is None, and a note says why.

    With `exportable` only what a model can score is chosen from. With `noise` the candidates within noise of
    the best are counted, which takes about 2 ms for each there is. `stamps` as for `read_archive`. Kinds of
    trials `without` which it is measured are as if they had not been searched.
    """
    clips, archive = ledger.clips(machine), read_archive(ledger, machine, stamps=stamps)
    records = [r for r in archive.usable(archive.records) if kind_of_trial(r) not in without]
    found = Measured(
        machine=machine,
        records=tuple(records),
        best=choose(records, exportable=exportable),
        clips=clips,
        archive=archive,
        lost=[record for record in archive.records if record.id in archive.lost],
    )
    best, whole = found.best, choose(records)
    if best is None or whole is None:
        why = "no complete trial may be chosen" if whole else why_none(records)
        return replace(found, notes=(*archive.notes, f"{machine}: {why}"), left_out=whole)
    scores, lead = archive.of([best])[0], whole.value - best.value

    labelled = labelled_clips(clips)
    notes, cross_fitted, count, within = [*archive.notes, *labelled.notes], None, 0, None
    if best.trial.judged_by == "pseudo":
        notes.insert(len(archive.notes), f"{machine}: chosen without labels, by pseudo-Ω")
    elif labelled.choosing:
        chosen_from = archive.of(candidates(records, exportable=exportable))
        count = len(chosen_from)
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
    return replace(
        found,
        scores=scores,
        reading=labelled.read(scores),
        cross_fitted=cross_fitted,
        candidates=count,
        within_noise=within,
        confirmed=next(iter(confirmed(records, exportable=exportable)), None),
        threshold=threshold,
        false_alarms=alarms,
        notes=tuple(notes),
        left_out=whole if lead > 0 else None,
        lead=max(lead, 0.0),
    )
