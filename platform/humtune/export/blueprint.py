"""What a machine's model is to be, before there is a graph of it: its best trial, or its ensemble.

A model asks nothing of a clip but its sound; a trial whose scores need a clip's section can't leave as one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from humtune.detectors.detector import Detector
from humtune.errors import HumtuneError
from humtune.export.graph import Member
from humtune.ledger import Ledger
from humtune.metrics.cells import Array
from humtune.metrics.cross_fitting import CrossFitted
from humtune.records import TrialRecord
from humtune.results.ensembles.leaving import WHY, check_leaving
from humtune.results.ensembles.record import EnsembleRecord
from humtune.results.ensembles.worth import CHOSEN, EVERY
from humtune.results.measure import Measured, measure
from humtune.results.products import Product
from humtune.results.reading import labelled_clips
from humtune.results.students import STUDENT
from humtune.runtime.info import FULL
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role

SCORE = "ensemble"  # what an ensemble's score is called where a trial has its score type


@dataclass(frozen=True, eq=False)
class Blueprint:
    """The members of a machine's model, and what the search knows of their score."""

    name: str  # a trial's id, or an ensemble's
    score_type: str
    members: tuple[Member, ...]
    configuration: dict[str, Any]
    bank: ClipBank
    scores: Array  # [N], of the ledger's scored clips
    measured: Measured  # the figures of those scores
    ensemble: EnsembleRecord | None = None
    precision: str = FULL  # of the networks
    left_out: str | None = None  # a sentence about a better trial that can't be exported


def single(ledger: Ledger, measured: Measured) -> Blueprint:
    """The model of a machine's best trial."""
    best, scores = measured.best, measured.scores
    if best is None or scores is None:
        raise HumtuneError(f"{measured.machine}: no trial has run its whole budget yet")
    bank = ledger.bank(measured.machine)
    return Blueprint(
        name=best.trial.id,
        score_type=best.score_type,
        members=(Member(load_detector(ledger, best.trial, bank), best.score_type),),
        configuration=best.trial.config,
        bank=bank,
        scores=scores,
        measured=measured,
        left_out=left_out_note(measured),
    )


def of_product(product: Product, measured: Measured) -> Blueprint:
    """The model of a product of the machine whose best detector was `measured`."""
    if product.record:
        return joined(product.ledger, product.record, product.scores)
    if product.measured:
        measured = product.measured
    elif product.way == STUDENT:
        measured = measure_exportable(product.ledger, measured.machine)
    return single(product.ledger, measured)


def load_detector(ledger: Ledger, record: TrialRecord, bank: ClipBank) -> Detector:
    """A trial's detector with its reference embeddings: read where they were kept, else made again."""
    name = ledger.layout.detector(record.id)
    try:
        detector = Detector.from_bytes(ledger.storage.read(name))
    except FileNotFoundError:
        place = f"{ledger.storage.uri}/{name}"
        raise HumtuneError(f"{place} is missing: the trial's weights are gone") from None
    try:
        content = ledger.storage.read(ledger.layout.reference(record.folder))
    except FileNotFoundError:
        detector.reference = detector.encode(bank, bank.table.having(Role.TRAIN))
    else:
        detector.load_reference(content)
    if record.is_shared:  # its file holds what all machines share
        detector.machine = record.machine
        detector.join(bank, bank.table.having(Role.HELD_OUT))
    return detector


def measure_exportable(ledger: Ledger, machine: str) -> Measured:
    """Measure the machine's best trial × score type that can be exported.

    HumtuneError where there are complete trials and all of them need a clip's section.
    """
    measured = measure(ledger, machine, exportable=True)
    if measured.best is None and (left := measured.left_out):
        raise HumtuneError(
            f"{machine}: {left.trial.id} {WHY}, and so does every other complete trial; "
            "search without scoring.pool: section and with more score types than neg_logit"
        )
    return measured


def left_out_note(measured: Measured) -> str | None:
    """A sentence about the better trial that can't be exported, and about trials whose scores are lost."""
    left, best, notes = (
        measured.left_out,
        measured.best,
        list(measured.archive.notes if measured.archive else ()),
    )
    if left and best:
        notes.append(
            f"{left.trial.id} with {left.score_type} is left out, though its {best.trial.symbol} is "
            f"{100 * measured.lead:.1f} points higher: it {WHY}"
        )
    return "; ".join(notes) or None


def joined(ledger: Ledger, record: EnsembleRecord, scores: Array) -> Blueprint:
    """The model of an ensemble with the machine's weights: a new recording tells no section.

    `scores` [N] are those of the ledger's scored clips. HumtuneError with a clear sentence where a member
    can't leave.
    """
    trials = check_leaving(ledger, record)
    bank = ledger.bank(record.machine)
    detectors = {trial.id: load_detector(ledger, trial, bank) for trial in trials.values()}
    members = tuple(
        Member(detectors[member.trial], member.score_type, weight, member.calibration)
        for member, weight in record.machine_wide.items()
        if member.trial
    )
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


def _measure(ledger: Ledger, record: EnsembleRecord, scores: Array) -> Measured:
    """The figures of the scores; cross-fitted: what one weighting for all sections was worth."""
    clips = ledger.clips(record.machine)
    labelled = labelled_clips(clips)
    splits = record.compared.get(CHOSEN if record.settings.by_labels else EVERY, ())
    return Measured(
        machine=record.machine,
        records=tuple(ledger.trials_of(record.machine)),
        best=None,
        clips=clips,
        scores=scores,
        reading=labelled.read(scores),
        cross_fitted=CrossFitted(np.array(splits), np.zeros(0, np.int64)) if len(splits) > 1 else None,
        candidates=record.settings.candidates,
        notes=labelled.notes,
    )


def _configuration(record: EnsembleRecord, trials: dict[str, TrialRecord]) -> dict[str, Any]:
    members = [
        member.model_dump(mode="json") | {"weight": weight} for member, weight in record.machine_wide.items()
    ]
    configs = {name: trial.config for name, trial in trials.items()}
    return {"members": members, "trials": configs}
