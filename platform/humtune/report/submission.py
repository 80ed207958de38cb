"""Score files of a search: its DCASE submission; and of systems that were imported and joined."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humtune.dcase.files import KINDS, file_name, find_files, make_folder, score_files, write_file
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.metrics.calibration import FALSE_ALARMS, decide, threshold_from
from humtune.metrics.cells import Array
from humtune.records import why_none
from humtune.report.ensembles import render
from humtune.results.archive import Archive, read_archive
from humtune.results.candidates import Candidate, choose
from humtune.results.ensembles.record import EnsembleRecord, ensemble_scores, read_ensemble
from humtune.sounds.table import ClipTable, Role
from humtune.storage import Storage

Joined = Mapping[str, tuple[EnsembleRecord, ClipTable, Array]]


@dataclass(frozen=True)
class Submission:
    """What was written, and what could not be."""

    files: tuple[Path, ...]
    trials: tuple[str, ...]  # the best of each machine that was written, or its ensemble
    clips: int
    skipped: tuple[str, ...]  # a sentence for each machine that has no best trial yet
    failed: tuple[str, ...]  # a sentence for each machine whose best trial can't be written
    notes: tuple[str, ...]  # what a user should know about the thresholds


@dataclass(frozen=True, eq=False)
class _Entry:
    """A machine's test clips, with the scores and decisions of what speaks for it."""

    trial: str  # or ensemble
    clips: ClipTable
    scores: Array
    decisions: NDArray[np.bool_]
    note: str | None

    def file_names(self) -> set[str]:
        machine, files = self.clips.machine, score_files(self.clips)
        return {file_name(kind, machine, section, domain) for section, domain, _ in files for kind in KINDS}


def write_submission(ledger: Ledger, out: Path, *, ensembles: bool = False) -> Submission:
    """Write `anomaly_score_…` and `decision_result_…` of all test clips, dev and eval, a pair per section.

    Thresholds are those of the report and the exported models: from held-out training clips. A machine that
    can't be written does not keep the others from it. UsageError where `out` holds score files that this
    search would not replace; HumtuneError where no machine can be written. With `ensembles` each machine's
    ensemble speaks in the place of its best trial, with the weights of each clip's section.
    """
    entries: list[_Entry] = []
    skipped: list[str] = []
    failed: list[str] = []
    for machine in ledger.plan.machines:
        try:
            if ensembles:
                entries.append(_ensemble_entry(ledger, read_ensemble(ledger, machine)))
                continue
            archive = read_archive(ledger, machine)
            usable = archive.usable(archive.records)
            if best := choose(usable):
                entries.append(_entry(ledger.clips(machine), archive, best))
            else:
                skipped.append("; ".join([f"{machine}: {why_none(usable)}", *archive.notes]))
        except HumtuneError as error:
            failed.append(f"{machine}: {error}")
    if not entries:
        ledger.check_complete()
        raise HumtuneError("; ".join(failed))
    _check_foreign(out, set().union(*(entry.file_names() for entry in entries)))
    make_folder(out)
    return Submission(
        files=tuple(file for entry in entries for file in _write(entry, out)),
        trials=tuple(entry.trial for entry in entries),
        clips=sum(len(entry.clips) for entry in entries),
        skipped=tuple(skipped),
        failed=tuple(failed),
        notes=tuple(f"{entry.clips.machine}: {entry.note}" for entry in entries if entry.note),
    )


def _entry(clips: ClipTable, archive: Archive, best: Candidate) -> _Entry:
    (scores,) = archive.of([best])
    threshold = threshold_from(scores[clips.having(Role.HELD_OUT)], false_alarms=FALSE_ALARMS)
    return _test_entry(best.trial.id, clips, scores, decide(scores, threshold.value), threshold.note)


def _ensemble_entry(ledger: Ledger, record: EnsembleRecord) -> _Entry:
    """As `_entry`; a transductive ensemble has no held-out scores, so its decisions need another rule."""
    clips, scores = ledger.clips(record.machine), ensemble_scores(ledger, record)
    if not record.transductive:
        threshold = threshold_from(scores[clips.having(Role.HELD_OUT)], false_alarms=FALSE_ALARMS)
        return _test_entry(record.id, clips, scores, decide(scores, threshold.value), threshold.note)
    decisions = np.zeros(len(clips), bool)
    for section in np.unique(clips.section):
        here = (clips.section == section) & np.isfinite(scores)
        if here.any():
            decisions[here] = decide(scores[here], float(np.median(scores[here])))
    note = "transductive: its decisions are the upper half of each section, as test sets are half anomalous"
    return _test_entry(record.id, clips, scores, decisions, note)


def _test_entry(
    name: str, clips: ClipTable, scores: Array, decisions: NDArray[np.bool_], note: str | None
) -> _Entry:
    test = clips.having(Role.SELECT, Role.HIDDEN, Role.REPORT)  # probes are no clips of the challenge
    if not test.size:
        raise HumtuneError("the search had no test clips")
    test = test[np.argsort(clips.name[test], kind="stable")]
    names, count = np.unique(clips.name[test], return_counts=True)
    if (count > 1).any():
        raise HumtuneError(
            f"two test clips are called {names[count > 1][0]}; a submission needs one of a name"
        )
    chosen = scores[test]
    if not np.isfinite(chosen).all():
        first = int(np.argmin(np.isfinite(chosen)))
        raise HumtuneError(f"{name}: the score of {clips.name[test][first]} is {chosen[first]}")
    return _Entry(name, clips.take(test), chosen, decisions[test], note)


def _check_foreign(out: Path, names: set[str]) -> None:
    foreign = sorted({path.name for kind in KINDS for path in find_files(out, kind)} - names)
    if foreign:
        raise UsageError(f"{out}: holds {foreign[0]}, which is no part of this search; choose another --out")


def _write(entry: _Entry, out: Path) -> list[Path]:
    files = []
    for section, domain, here in score_files(entry.clips):
        names = entry.clips.name[here].tolist()
        for kind, values in zip(KINDS, (entry.scores[here], entry.decisions[here]), strict=True):
            files.append(
                write_file(
                    out,
                    kind,
                    machine=entry.clips.machine,
                    section=section,
                    domain=domain,
                    names=names,
                    values=values.tolist(),
                )
            )
    return files


def write_joined(joined: Joined, out: Path) -> tuple[Path, ...]:
    """Write each machine's scores as DCASE files, ensembles.md, .csv and front.png, and <machine>.json.

    UsageError where `out` holds score files that this would not replace.
    """
    tables = [(machine, clips, scores) for machine, (_, clips, scores) in joined.items()]
    parts = [
        (machine, section, domain, here, clips, scores)
        for machine, clips, scores in tables
        for section, domain, here in score_files(clips)
        if np.isfinite(scores[here]).all()
    ]
    names = {file_name("anomaly_score", machine, section, domain) for machine, section, domain, *_ in parts}
    if foreign := sorted({path.name for path in find_files(out, "anomaly_score")} - names):
        raise UsageError(f"{out}: holds {foreign[0]}, which is not of these machines; choose another --out")
    make_folder(out)
    records = [record for record, *_ in joined.values()]
    pages = render(out.resolve().name, records)
    pages |= {f"{record.machine}.json": record.model_dump_json(indent=1).encode() for record in records}
    for name, data in pages.items():
        Storage(out).write(name, data)
    files = [
        write_file(
            out,
            "anomaly_score",
            machine=machine,
            section=section,
            domain=domain,
            names=clips.name[here].tolist(),
            values=scores[here].tolist(),
        )
        for machine, section, domain, here, clips, scores in parts
    ]
    return (*(out / name for name in pages), *files)
