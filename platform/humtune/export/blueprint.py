"""What a machine's model is to be, before there is a graph of it."""

from dataclasses import dataclass
from typing import Any

from humtune.detectors.detector import Detector
from humtune.errors import HumtuneError
from humtune.evaluation.cells import Array
from humtune.export.choice import left_out_note
from humtune.export.graph import Member
from humtune.ledger import Ledger
from humtune.records import TrialRecord
from humtune.results.ensembles.record import EnsembleRecord
from humtune.results.measure import Measured
from humtune.runtime.info import FULL
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role


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


def load_detector(ledger: Ledger, record: TrialRecord, bank: ClipBank) -> Detector:
    """A trial's detector with its reference embeddings: read where they were kept, else made again."""
    name = ledger.layout.detector(record.id)
    try:
        detector = Detector.from_bytes(ledger.storage.read(name))
    except FileNotFoundError:
        place = f"{ledger.storage.uri}/{name}"
        raise HumtuneError(f"{place} is missing: the trial's weights are gone") from None
    try:
        content = ledger.storage.read(ledger.layout.reference(record.id))
    except FileNotFoundError:
        detector.reference = detector.encode(bank, bank.table.having(Role.TRAIN))
    else:
        detector.load_reference(content)
    return detector
