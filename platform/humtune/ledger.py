"""The ledger: the record of every trial of a search, and the only truth about it.

    <storage>/<search>/plan.json                     what was asked for
    <storage>/<search>/clips/<machine>.json          the clips and probes that are scored, and their labels
    <storage>/<search>/trials/<id>/record.json       one trial: configuration, metrics, state
    <storage>/<search>/trials/<id>/scores/<type>.npy float64, one score a clip, in the order of clips/
    <storage>/<search>/trials/<id>/holder            which process may write it: the last that began it
    <storage>/<search>/trials/<id>/…                 checkpoint, detector
    <storage>/<search>/sitting                       who may write trials: the last that began or resumed

Every file is written whole or not at all, so a search may be killed at any moment.
"""

import io
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import StrEnum
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from humtune.config import Acceleration, Frozen, TrialConfig
from humtune.errors import DamagedScores, HumtuneError, Superseded, UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.roles import assign_roles
from humtune.sounds.table import ClipTable
from humtune.storage import Storage

ParamValue = str | int | float | bool | None
Objective = Literal["omega", "pseudo"]  # Ω of labelled clips, or what stands in for it: see evaluation.pseudo

Origin = Literal["first", "warm", "transfer", "sampler", "grid", "confirm"]  # why there is a trial

CONFIRM: Literal["confirm"] = "confirm"  # the origin of a trial that repeats one of the best

READERS = 16  # requests at a time to a distant storage
READINGS = 5  # of a distant record that grows between the two requests for its size and for so many bytes

SYMBOLS: dict[str, str] = {"omega": "Ω", "pseudo": "pseudo-Ω"}


class TrialState(StrEnum):
    """Where a trial stands; only a COMPLETE one ran its whole budget and can be best."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


class Epoch(Frozen):
    """What one epoch of training gave; `omega` (official, selecting clips) where it was measured."""

    epoch: int = Field(ge=1)
    ended: float  # seconds since 1970
    seconds: float
    metrics: dict[str, float]  # loss, accuracy, learning_rate; omega and pseudo at rungs and at the end


class TrialRecord(Frozen):
    """One trial, as far as it has come."""

    id: str  # "<machine>-<number>", the folder below trials/
    machine: str
    number: int  # counts within the machine, from 0
    origin: Origin
    params: dict[str, ParamValue]  # what the sampler chose, by the names of the space
    config: TrialConfig
    state: TrialState = TrialState.RUNNING
    reason: str | None = None  # why it failed or was stopped
    started: float  # seconds since 1970
    ended: float | None = None
    seconds: float = 0.0  # of work, without the time between two sittings
    epochs: tuple[Epoch, ...] = ()
    continued: tuple[int, ...] = ()  # the epochs after which it went on from a checkpoint
    judged_by: Objective = "omega"
    omega: dict[str, float] = Field(default={}, description="score type -> Ω of the selecting clips, 0…1")
    pseudo: dict[str, float] = Field(default={}, description="score type -> pseudo-Ω of the probes, 0…1")
    data_hash: str = ""
    version: str = ""
    host: str = ""
    device: str = ""
    readable: bool = Field(True, exclude=True)  # False of what stands in for a record that can't be read
    acceleration: Acceleration | None = None  # until it has begun

    @property
    def judged(self) -> dict[str, float]:
        """What the trial is judged by, per score type; empty before it was measured."""
        return self.omega if self.judged_by == "omega" else self.pseudo

    @property
    def symbol(self) -> str:
        """What the trial is judged by, as a table writes it: Ω or pseudo-Ω."""
        return SYMBOLS[self.judged_by]

    def without_scores(self, reason: str) -> "TrialRecord":
        """The trial as one that failed, as what it left can't be read."""
        return self.model_copy(
            update={"state": TrialState.FAILED, "reason": reason, "omega": {}, "pseudo": {}}
        )

    @property
    def best_score(self) -> str:
        """The score type with the highest figure."""
        return max(self.judged, key=lambda name: self.judged[name])

    @property
    def objective(self) -> float:
        """The figure that the trial is judged by: its best score type's."""
        return self.judged[self.best_score]


class Plan(Frozen):
    """What a search was asked to do; written once, before anything starts."""

    name: str
    space: dict[str, Any]  # the space as it was read, validated by search.space.Space
    data: str  # the folder of recordings
    machines: tuple[str, ...]
    trials: int = Field(ge=1, description="per machine, where the space holds as many")
    holds: dict[str, int] = Field(
        {}, description="machine -> trials that the space holds, where it says which"
    )
    banks: dict[str, str]  # machine -> folder of its ClipBank, relative to the storage
    data_hash: dict[str, str]  # machine -> content hash of its bank
    probes: dict[str, str] = Field(default={}, description="machine -> folder of the bank of its probes")
    judged_by: dict[str, Objective] = Field(default={}, description="machine -> objective; omega if untold")
    warm: str | None = Field(None, description="the earlier search that this one started from")
    holdout: float = Field(0.0, ge=0, lt=1, description="share of labelled dev test clips that nothing sees")
    confirm: int = Field(0, ge=0, description="best configurations of a machine that are trained again")
    confirm_seeds: int = Field(0, ge=0, description="new seeds for each of them")
    device: str = "cpu"
    cpus: float = 1.0  # per trial
    gpus: float = 0.0  # per trial
    hours_per_trial: float = Field(24.0, gt=0, description="of work, over all sittings; then it has failed")
    checkpoint_seconds: float = Field(5.0, ge=0, description="the work that a kill may cost a trial, at most")
    bf16: bool = Field(False, description="whether networks are computed in bfloat16")
    compiled: bool | None = Field(None, description="whether they are compiled; null: where it pays")
    accelerations: dict[str, Acceleration] | None = Field(
        None, description="size of trial -> how it is computed; null until that has been timed"
    )
    created: float
    version: str

    def quota(self, machine: str) -> int:
        """The trials that a machine gets."""
        return min(self.trials, self.holds.get(machine, self.trials))

    def acceleration(self, config: TrialConfig) -> Acceleration:
        """How a trial is computed."""
        untimed = Acceleration(compiled=bool(self.compiled), bf16=self.bf16)
        return (self.accelerations or {}).get(config.size, untimed)


class Ledger:
    """Reads and writes one search's record."""

    def __init__(self, storage: Storage, name: str, *, sitting: str = "") -> None:
        self.storage = storage
        self.name = name
        self.sitting = sitting
        self._claims: dict[str, bytes] = {}  # file -> what it holds as long as the trial is ours

    @classmethod
    def open(cls, storage: Storage, name: str) -> "Ledger":
        """The ledger of a search that exists; a UsageError that lists the searches where it doesn't."""
        ledger = cls(storage, name)
        if not storage.exists(f"{name}/plan.json"):
            known = ", ".join(searches(storage)) or "none yet"
            raise UsageError(f"no search named {name!r} in {storage.uri}; there are: {known}")
        return ledger

    def create(self, plan: Plan, clips: Mapping[str, ClipTable]) -> None:
        """Write the plan and each machine's scored clips; refused where the name is taken."""
        if self.storage.exists(f"{self.name}/plan.json"):
            raise UsageError(f"there is a search named {self.name!r} already: humtune resume {self.name}")
        for machine, table in clips.items():
            self.storage.write(f"{self.name}/clips/{machine}.json", table.to_json())
        self.write_plan(plan)

    def write_plan(self, plan: Plan) -> None:
        """Write the plan (again, where a resumed search wants more trials)."""
        self.storage.write(f"{self.name}/plan.json", plan.model_dump_json(indent=1).encode())

    @property
    def plan(self) -> Plan:
        """What was asked for."""
        name = f"{self.name}/plan.json"
        try:
            return Plan.model_validate_json(self.storage.read(name))
        except ValidationError as error:
            raise HumtuneError(f"{self.storage.uri}/{name} can't be read: {_first(error)}") from error

    def clips(self, machine: str) -> ClipTable:
        """The machine's scored clips, that is all but those to train on; the order of every score vector."""
        return ClipTable.from_json(self.storage.read(f"{self.name}/clips/{machine}.json"))

    def bank(self, machine: str) -> ClipBank:
        """The machine's recordings, with the role of each clip; memory-mapped."""
        plan = self.plan
        bank = ClipBank.open(self.storage, plan.banks[machine])
        return replace(bank, table=assign_roles(bank.table, holdout=plan.holdout))

    def probes(self, machine: str) -> ClipBank | None:
        """The machine's probes, memory-mapped; None where the search has none."""
        folder = self.plan.probes.get(machine)
        return ClipBank.open(self.storage, folder) if folder else None

    def file(self, trial: str, name: str) -> str:
        """The storage's name of a trial's file."""
        return f"{self.name}/trials/{trial}/{name}"

    def begin_sitting(self) -> None:
        """Take over: whatever is left of an earlier sitting may write no trial any more."""
        self.sitting = uuid.uuid4().hex
        self.storage.write(f"{self.name}/sitting", self.sitting.encode())

    def check_sitting(self) -> None:
        """Raise Superseded where a later sitting has begun, or the claimed trial has been begun elsewhere.

        A ledger of no sitting that has claimed nothing may always write.
        """
        if self.sitting and self.storage.read(f"{self.name}/sitting") != self.sitting.encode():
            raise Superseded(f"{self.name} was resumed elsewhere, and goes on there")
        for name, mark in self._claims.items():
            if self.storage.read(name) != mark:
                raise Superseded(f"{name.split('/')[-2]} was begun again elsewhere, and goes on there")

    def claim(self, trial: str) -> None:
        """Take over a trial: a process on a computer that was thought lost may write it no more."""
        name, mark = self.file(trial, "holder"), uuid.uuid4().bytes
        self.check_sitting()
        self.storage.write(name, mark)
        self._claims = {name: mark}

    def write(self, record: TrialRecord) -> None:
        """Write one trial's record over the one before; Superseded where a later sitting has begun."""
        self.check_sitting()
        self.storage.write(self.file(record.id, "record.json"), record.model_dump_json().encode())

    def find(self, trial: str) -> TrialRecord | None:
        """One trial's record, where there is one; of a damaged one a failed trial with that reason."""
        name = self.file(trial, "record.json")
        reason = ""
        for _ in range(1 if self.storage.is_local else READINGS):
            try:
                return TrialRecord.model_validate_json(self.storage.read(name))
            except (FileNotFoundError, NotADirectoryError):
                return None
            except ValidationError as error:
                reason = f"{self.storage.uri}/{name} can't be read: {_first(error)}"
        return self._stand_in(trial, reason)

    def _stand_in(self, trial: str, reason: str) -> TrialRecord | None:
        """A failed trial in memory: the damaged record stays where it is, and costs no other trial."""
        machine, _, number = trial.rpartition("-")
        if not number.isdecimal():
            return None
        return TrialRecord(
            id=trial,
            machine=machine,
            number=int(number),
            origin="sampler",
            params={},
            config=TrialConfig(),
            state=TrialState.FAILED,
            reason=reason,
            started=(created := self.plan.created),
            ended=created,
            readable=False,
        )

    def read(self, trial: str) -> TrialRecord:
        """One trial's record; a UsageError where there is no such trial."""
        record = self.find(trial)
        if record is None:
            raise UsageError(f"search {self.name!r} has no trial {trial!r}")
        return record

    def records(self, machine: str | None = None) -> Iterator[TrialRecord]:
        """Every trial's record in the order of machine and number, or those of one machine."""
        trials = sorted(self.storage.list(f"{self.name}/trials"), key=lambda t: t.rpartition("-"))
        wanted = [trial for trial in trials if machine is None or machine_of(trial) == machine]
        for record in self._found(wanted):
            if record is not None:  # a folder without a record: killed before its first write
                yield record

    def _found(self, trials: list[str]) -> Iterator[TrialRecord | None]:
        """The records of some trials in their order; many at a time from afar, where each takes a while."""
        if self.storage.is_local:
            yield from map(self.find, trials)
            return
        with ThreadPoolExecutor(READERS) as pool:
            yield from pool.map(self.find, trials)

    def write_scores(self, trial: str, scores: Mapping[str, NDArray[np.float64]]) -> None:
        """Write a trial's score vectors, a file per score type."""
        for name, vector in scores.items():
            self.storage.write(self.file(trial, f"scores/{name}.npy"), npy_bytes(vector))

    def scores(self, trial: str, score_type: str) -> NDArray[np.float64]:
        """Scores of the scored clips, float64 [N], higher is more anomalous; DamagedScores of a torn file."""
        name = self.file(trial, f"scores/{score_type}.npy")
        data = self.storage.read(name)
        try:
            return np.asarray(np.load(io.BytesIO(data), allow_pickle=False), dtype=np.float64)
        except (ValueError, EOFError, BadZipFile, TypeError) as error:
            raise DamagedScores(trial, f"{self.storage.uri}/{name} is damaged") from error


def trial_id(machine: str, number: int) -> str:
    """The trial's name and folder."""
    return f"{machine}-{number:05d}"


def machine_of(trial: str) -> str:
    """The machine that a trial's name begins with."""
    return trial.rpartition("-")[0]


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()


def searches(storage: Storage) -> list[str]:
    """Names of the searches in a storage."""
    return [name for name in storage.list() if storage.exists(f"{name}/plan.json")]


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
