"""EnsembleRecord: what a machine's ensemble is made of, and what it is worth.

Both are written whole or not at all, the scores first; the record knows the hash of its scores.
"""

import hashlib
import io
from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AliasChoices, Field

from humtune.config import Frozen, Stored
from humtune.errors import HumtuneError, TooNew, UsageError
from humtune.ledger import Ledger, npy_bytes, read_stored
from humtune.metrics.calibration import Calibration
from humtune.metrics.cells import Array
from humtune.names import command
from humtune.records import Objective
from humtune.results.ensembles.greedy import MEMBERS, OTHERS

SUFFIX = "-ensemble"  # of an ensemble's id, where a trial has its number


class Member(Frozen):
    """One score type of one trial, or another system's score files, and its scale."""

    trial: str | None = Field(None, description="None: an imported system")
    score_type: str = Field("", description="of the trial")
    system: str = Field("", description="folder of the imported score files")
    calibration: Calibration | None = Field(
        None, description="by held-out training clips; None: ranks within the section of the test set"
    )

    @property
    def name(self) -> str:
        """What a table calls it: "fan-00012 cosine", or the folder of the imported files."""
        return f"{self.trial} {self.score_type}" if self.trial else self.system


class Settings(Frozen):
    """How an ensemble was chosen."""

    members: int = Field(MEMBERS, ge=1, description="a clip is scored with so many at most")
    others: float = Field(OTHERS, ge=0, le=1, description="what other sections count in a section's choice")
    calibration: str = "gamma"  # or standard, compressed; ranks: transductive
    judged_by: Objective = "omega"  # what judged the trials
    imports: tuple[str, ...] = ()  # folders of other systems' score files
    exportable: bool = False  # only members that can leave as a model
    every: bool = False  # all trials, with weights that needed no label; in earlier ones equal weights
    candidates: int = Field(ge=1, description="trial × score type, and imported systems")

    @property
    def by_labels(self) -> bool:
        """Whether labelled clips chose members and weights."""
        return self.judged_by == "omega" and not self.every


class EnsembleRecord(Stored):
    """One machine's ensemble: its score is Σ weight × calibrated score of the members.

    A clip of a section in `sections` has that section's weights. Any other clip has the machine's, and so
    has a new recording, of which nobody knows the section.
    """

    id: str  # "<machine>-ensemble"
    machine: str
    members: tuple[Member, ...]  # with a share somewhere
    weights: tuple[float, ...]  # the machine's, one a member, sum 1; 0 where only a section wants it
    sections: dict[int, tuple[float, ...]] = Field({}, description="section -> its weights, one a member")
    settings: Settings
    metrics: dict[str, float] = Field(
        {},
        validation_alias=AliasChoices("metrics", "figures"),  # figures: in earlier ones
        description="fractions: omega_select, omega_hidden, omega_report (official)",
    )
    compared: dict[str, tuple[float, ...]] = Field(
        {}, description="way of choosing -> cross-fitted Ω of each split"
    )
    front: dict[str, dict[int, tuple[float, ...]]] = Field(
        {}, description="way of choosing -> members at most -> cross-fitted Ω of each split"
    )
    passes: dict[str, dict[int, int]] = Field(
        {}, description="the same -> networks (distinct trials or systems) that a clip then goes through"
    )
    notes: tuple[str, ...] = ()  # what a figure is missing for
    data_hash: str = ""
    scores_hash: str = ""  # of the score file
    created: float  # seconds since 1970
    version: str

    @property
    def transductive(self) -> bool:
        """Whether a clip's score depends on the clips scored with it: it can't score a single recording."""
        return any(member.calibration is None for member in self.members)

    @cached_property
    def trials(self) -> tuple[str, ...]:
        """The distinct trials of all members; score types of one trial share its forward pass."""
        return tuple(dict.fromkeys(m.trial for m in self.members if m.trial))

    @property
    def networks(self) -> int:
        """Distinct trials and imported systems among all members."""
        return len({member.trial or member.system for member in self.members})

    @property
    def machine_wide(self) -> dict[Member, float]:
        """Members with a share in the machine's weights, and the share: what scores a new recording."""
        return {m: w for m, w in zip(self.members, self.weights, strict=True) if w}

    def calibrate(self, scores: Mapping[str, ArrayLike]) -> Array:
        """Calibrated scores [M, N] of the members, out of their own [N] by the member's name.

        HumtuneError for a transductive ensemble: ranks need all clips of a section.
        """
        found = []
        for member in self.members:
            if member.calibration is None:
                raise HumtuneError(
                    f"{self.id} is transductive: {member.name} is ranked within a whole test set, "
                    "so no other clips can be scored"
                )
            found.append(member.calibration(scores[member.name]))
        return np.stack(found)

    def combine(self, calibrated: ArrayLike, section: ArrayLike | None = None) -> Array:
        """The ensemble's score [N] of calibrated members [M, N]; None: clips of unknown section."""
        calibrated = np.asarray(calibrated, np.float64)
        found = _weighted(self.weights, calibrated)
        for number, weights in self.sections.items() if section is not None else ():
            here = np.asarray(section) == number
            found[here] = _weighted(weights, calibrated[:, here])
        return found


def ensemble_id(machine: str) -> str:
    """What a machine's ensemble is called where a trial has its id."""
    return f"{machine}{SUFFIX}"


def write_ensemble(ledger: Ledger, record: EnsembleRecord, scores: Array) -> EnsembleRecord:
    """Write a machine's ensemble over the one before, with its scores [N] of the ledger's scored clips."""
    data = npy_bytes(np.asarray(scores, np.float64))
    record = record.model_copy(update={"scores_hash": hashlib.sha256(data).hexdigest()})
    ledger.storage.write(ledger.layout.ensemble_scores(record.machine), data)
    ledger.storage.write(ledger.layout.ensemble(record.machine), record.model_dump_json(indent=1).encode())
    return record


def find_ensemble(ledger: Ledger, machine: str) -> EnsembleRecord | None:
    """A machine's ensemble, where one was made; HumtuneError where its file is torn."""
    name = ledger.layout.ensemble(machine)
    try:
        return read_stored(ledger.storage, name, EnsembleRecord)
    except FileNotFoundError:
        return None
    except TooNew:
        raise
    except HumtuneError as error:
        raise HumtuneError(f"{error}; {_again(ledger)}") from error


def read_ensemble(ledger: Ledger, machine: str) -> EnsembleRecord:
    """A machine's ensemble; a UsageError where there is none."""
    record = find_ensemble(ledger, machine)
    if record is None:
        raise UsageError(f"{machine}: search '{ledger.name}' has no ensemble; {_again(ledger)}")
    return record


def ensemble_scores(ledger: Ledger, record: EnsembleRecord) -> Array:
    """The ensemble's scores [N] of the ledger's scored clips; NaN where a transductive one has none.

    HumtuneError where the file is gone, or is not that record's: killed between two writes.
    """
    name = ledger.layout.ensemble_scores(record.machine)
    try:
        data = ledger.storage.read(name)
    except FileNotFoundError:
        raise HumtuneError(f"{ledger.storage.uri}/{name} is missing; {_again(ledger)}") from None
    if hashlib.sha256(data).hexdigest() != record.scores_hash:
        raise HumtuneError(f"{ledger.storage.uri}/{name} is not of {record.id}; {_again(ledger)}")
    return np.asarray(np.load(io.BytesIO(data), allow_pickle=False), np.float64)


def _weighted(weights: tuple[float, ...], calibrated: Array) -> Array:
    """Only members with a share are looked at: another one may have no score here."""
    shares = np.asarray(weights)
    return np.asarray(shares[shares > 0] @ calibrated[shares > 0])


def _again(ledger: Ledger) -> str:
    return f"make it with {command('ensemble', ledger.name)}"
