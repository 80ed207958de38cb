"""What is written down of each trial of a search."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from math import inf
from time import time
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from humtune.config import SHARED, Acceleration, Frozen, Stored, leaves

ParamValue = str | int | float | bool | None
Objective = Literal["omega", "pseudo"]  # Ω of labelled clips, or what stands in for it (metrics.omega)

Origin = Literal["first", "warm", "transfer", "sampler", "grid", "confirm"]  # why there is a trial

OWN = "own"  # network of a trial that is the machine's alone, from its first step
CONFIRM: Literal["confirm"] = "confirm"  # the origin of a trial that repeats one of the best

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


class OnMachine(Frozen):
    """What a shared trial is worth on one of its machines."""

    judged_by: Objective = "omega"
    omega: dict[str, float] = Field(default={}, description="as a trial's own")
    pseudo: dict[str, float] = Field(default={}, description="as a trial's own")


class TrialRecord(Stored):
    """One trial, as far as it has come. A shared one is of all machines, and by `of` also a trial of each."""

    id: str  # "<machine>-<number>", the folder below trials/
    machine: str  # or SHARED
    number: int  # counts within the machine, from 0
    origin: Origin
    params: dict[str, ParamValue]  # what the sampler chose, by the names of the space
    config: dict[str, Any]  # its recipe, as plain data: a record can be read where its family can't
    state: TrialState = TrialState.RUNNING
    reason: str | None = None  # why it failed or was stopped
    started: float  # seconds since 1970
    ended: float | None = None
    seconds: float = 0.0  # of work, without the time between two runs
    epochs: tuple[Epoch, ...] = ()
    continued: tuple[int, ...] = ()  # the epochs after which it went on from a checkpoint
    judged_by: Objective = "omega"
    omega: dict[str, float] = Field(default={}, description="score type -> Ω of the selecting clips, 0…1")
    pseudo: dict[str, float] = Field(default={}, description="score type -> pseudo-Ω of the probes, 0…1")
    machines: dict[str, OnMachine] = Field(
        default={}, description="of a shared trial: machine -> what it gave there; its own Ω is over them all"
    )
    started_from: str | None = Field(None, description="the shared trial whose encoder it started from")
    data_hash: str = ""
    version: str = ""
    host: str = ""
    device: str = ""
    readable: bool = Field(True, exclude=True)  # False of what stands in for a record that can't be read
    acceleration: Acceleration | None = None  # until it has begun

    @field_validator("config", mode="before")
    @classmethod
    def _plain(cls, config: Any) -> Any:
        return config.model_dump(mode="json") if isinstance(config, BaseModel) else config

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe's settings by their dotted names."""
        return dict(leaves(self.config))

    @property
    def family(self) -> str:
        """Of whose detectors it is one; a record without the word is a classifier's."""
        return str(self.config.get("family", "classifier"))

    @property
    def seed(self) -> int:
        """That of its recipe."""
        return int(self.config.get("seed", 0))

    @property
    def judged(self) -> dict[str, float]:
        """What the trial is judged by, per score type; empty before it was measured."""
        return self.omega if self.judged_by == "omega" else self.pseudo

    @property
    def symbol(self) -> str:
        """What the trial is judged by, as a table writes it: Ω or pseudo-Ω."""
        return SYMBOLS[self.judged_by]

    @property
    def best_score(self) -> str:
        """The score type with the highest figure."""
        return max(self.judged, key=lambda name: self.judged[name])

    @property
    def objective(self) -> float:
        """The figure that the trial is judged by: its best score type's."""
        return self.judged[self.best_score]

    @property
    def configuration(self) -> tuple[object, ...]:
        """What it has in common with trials that differ by their seed alone."""
        return (self.network, *sorted(self.params.items()))

    @property
    def network(self) -> str:
        """Whose it is: the machine's own, all machines', or its own from that shared trial's on."""
        return SHARED if self.is_shared else self.started_from or OWN

    @property
    def is_shared(self) -> bool:
        """Whether it is of all machines, also where it stands as a trial of one of them."""
        return bool(self.machines) or self.machine != machine_of(self.id)

    @property
    def folder(self) -> str:
        """Where its scores and reference lie, below trials/: of a shared trial, by machine."""
        return self.id if self.machine == machine_of(self.id) else f"{self.id}/machines/{self.machine}"

    @property
    def folders(self) -> tuple[str, ...]:
        """All its folders below trials/."""
        return (self.id, *(seen.folder for m in self.machines if (seen := self.of(m))))

    def of(self, machine: str) -> "TrialRecord | None":
        """The trial as one of a machine, of which it may be the best; None where it knows nothing of it.

        A shared trial has there what it gave on that machine. Its epochs' figures are over all machines, and
        stay away. One that can't be read has failed on every machine.
        """
        if self.machine == machine:
            return self
        if machine not in self.machines and (self.readable or self.machine != SHARED):
            return None
        here = self.machines.get(machine, OnMachine())
        epochs = [
            e.model_copy(update={"metrics": {k: v for k, v in e.metrics.items() if k not in SYMBOLS}})
            for e in self.epochs
        ]
        found = {name: getattr(here, name) for name in OnMachine.model_fields}
        return self.model_copy(update=found | {"machine": machine, "machines": {}, "epochs": tuple(epochs)})


def trial_id(machine: str, number: int) -> str:
    """The trial's name and folder."""
    return f"{machine}-{number:05d}"


def machine_of(trial: str) -> str:
    """The machine that a trial's name begins with."""
    return trial.rpartition("-")[0]


def of_machine(records: Iterable[TrialRecord], machine: str) -> list[TrialRecord]:
    """The trials of a machine: its own, then shared ones as they are there."""
    found = [seen for record in records if (seen := record.of(machine))]
    return sorted(found, key=lambda record: record.is_shared)


def ended(record: TrialRecord, state: TrialState, reason: str) -> TrialRecord:
    """The record of a trial that ends now, before its time."""
    return record.model_copy(update={"state": state, "reason": reason, "ended": time()})


def seconds_worked(records: Iterable[TrialRecord]) -> float:
    """Seconds during which a step of one of some trials or more was made: those of two at once count once.

    What no record keeps doesn't count: the time between a kill and the next run, and a step that a kill broke
    off.
    """
    steps = sorted((e.ended - e.seconds, e.ended) for record in records for e in record.epochs)
    total, until = 0.0, -inf
    for began, ended_at in steps:
        total += max(0.0, ended_at - max(began, until))
        until = max(until, ended_at)
    return total


def why_none(records: Iterable[TrialRecord]) -> str:
    """Why none of some trials completed: how many failed, and the commonest reason; empty where one did."""
    records = list(records)
    states = Counter(record.state for record in records)
    if states[TrialState.COMPLETE]:
        return ""
    if not states[TrialState.FAILED]:
        return "no trial has run its whole budget yet"
    reasons = Counter(" ".join((r.reason or "").split()) for r in records if r.state == TrialState.FAILED)
    [(reason, times)] = reasons.most_common(1)
    failures = f"{states[TrialState.FAILED]} failed" + (
        f", {reason[:200]!r} ({times} of them)" if reason else ""
    )
    others = {"stopped early": states[TrialState.PRUNED], "unfinished": states[TrialState.RUNNING]}
    return ", ".join([f"no trial completed: {failures}", *(f"{n} {what}" for what, n in others.items() if n)])
