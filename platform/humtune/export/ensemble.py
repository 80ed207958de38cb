"""The model of a machine's ensemble: who of it can leave, and what their sum is worth."""

from typing import Any

import numpy as np

from humtune.errors import HumtuneError
from humtune.evaluation.cells import Array
from humtune.evaluation.selection import CrossFitted
from humtune.export.blueprint import Blueprint, load_detector
from humtune.export.choice import WHY
from humtune.export.graph import Member
from humtune.ledger import Ledger
from humtune.names import command
from humtune.records import TrialRecord
from humtune.results.archive import read_archive
from humtune.results.candidates import exportable_types
from humtune.results.ensembles.record import EnsembleRecord, ensemble_scores
from humtune.results.labelled import labelled_clips
from humtune.results.measure import Measured

SCORE = "ensemble"  # what an ensemble's score is called where a trial has its score type
WEIGHTING = "greedy"  # the way of choosing that gives one weighting for all sections


def joined(ledger: Ledger, record: EnsembleRecord) -> Blueprint:
    """The model of a machine's ensemble with the machine's weights: a new recording tells no section.

    HumtuneError with a clear sentence where a member can't leave, or where the ensemble is not of the scores
    that its trials have now.
    """
    trials = check_leaving(ledger, record)
    bank = ledger.bank(record.machine)
    detectors = {trial.id: load_detector(ledger, trial, bank) for trial in trials.values()}
    members = tuple(
        Member(detectors[member.trial], member.score_type, weight, member.calibration)
        for member, weight in record.machine_wide.items()
        if member.trial
    )
    scores = machine_scores(ledger, record)
    return Blueprint(
        name=record.id,
        score_type=SCORE,
        members=members,
        configuration=_configuration(record, trials),
        bank=bank,
        scores=scores,
        measured=_measure(ledger, record, scores),
        ensemble=record,
    )


def check_leaving(ledger: Ledger, record: EnsembleRecord) -> dict[str, TrialRecord]:
    """The trials that a model of the ensemble needs; HumtuneError where a member can't leave."""
    trials: dict[str, TrialRecord] = {}
    for member in record.machine_wide:
        reason = None
        if member.trial is None:
            reason = "is known by its score files alone"
        elif member.calibration is None:
            reason = "is ranked within a whole test set, which a single recording doesn't have"
        else:
            trial = trials[member.trial] = ledger.read(member.trial)
            if not exportable_types(trial.config, [member.score_type]):
                reason = WHY
        if reason:
            raise HumtuneError(
                f"{record.machine}: the ensemble can't be exported: {member.name} {reason}; "
                f"choose it anew with {command('ensemble', ledger.name)} --exportable"
            )
    return trials


def machine_scores(ledger: Ledger, record: EnsembleRecord) -> Array:
    """The ensemble's scores [N] of the ledger's scored clips, all with the machine's weights.

    Out of what the trials have recorded; HumtuneError where that no longer gives the ensemble's own scores.
    """
    own, section = ensemble_scores(ledger, record), ledger.clips(record.machine).section
    every = np.zeros((len(record.members), len(own)))
    archive, is_known = read_archive(ledger, record.machine), True
    for row, member in zip(every, record.members, strict=True):
        if member.trial is None or member.calibration is None:  # a section's alone: it has no weight here
            is_known = False
        else:
            row[:] = member.calibration(archive.rows([(member.trial, member.score_type)])[0])
    if is_known and not np.allclose(record.combine(every, section), own, rtol=1e-6, atol=1e-6):
        raise HumtuneError(
            f"{record.machine}: the ensemble is of other scores than its trials have now; "
            f"make it again with {command('ensemble', ledger.name)}"
        )
    return record.combine(every)


def _measure(ledger: Ledger, record: EnsembleRecord, scores: Array) -> Measured:
    """The figures of the scores; cross-fitted: what one weighting for all sections was worth."""
    clips = ledger.clips(record.machine)
    labelled = labelled_clips(clips)
    splits = record.compared.get(WEIGHTING)
    return Measured(
        machine=record.machine,
        records=tuple(ledger.records(record.machine)),
        best=None,
        clips=clips,
        scores=scores,
        reading=labelled.read(scores),
        cross_fitted=CrossFitted(np.array(splits), np.zeros(0, np.int64)) if splits else None,
        candidates=record.settings.candidates,
        notes=labelled.notes,
    )


def _configuration(record: EnsembleRecord, trials: dict[str, TrialRecord]) -> dict[str, Any]:
    members = [
        member.model_dump(mode="json") | {"weight": weight} for member, weight in record.machine_wide.items()
    ]
    configs = {name: trial.config for name, trial in trials.items()}
    return {"members": members, "trials": configs}
