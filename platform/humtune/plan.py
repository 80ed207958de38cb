"""Plan: what a search was asked to do, and what was found of its machines before it began."""

import re
from typing import Any, Self

from pydantic import Field, model_validator

from humtune.config import SHARED, Acceleration, Frozen, Stored
from humtune.errors import UsageError
from humtune.records import Objective

PRECISIONS = ("auto", "fp32", "bf16")  # auto: bf16 on a GPU alone

MOST_TRIALS = 10_000  # of a study: a quota that only the time ends


class Resources(Frozen):
    """What a trial computes on, and what it may take."""

    device: str = "cpu"
    cpus: float = 1.0
    gpus: float = 0.0
    hours_per_trial: float = Field(24.0, description="of work, over all runs; then it has failed")
    checkpoint_seconds: float = Field(5.0, ge=0, description="the work that a kill may cost a trial, at most")
    precision: str = "auto"  # of its network
    compiled: bool | None = Field(None, description="whether networks are compiled; null: where it pays")

    @model_validator(mode="before")
    @classmethod
    def _with_a_gpu(cls, said: Any) -> Any:
        """Where nobody says how many, a trial that computes on a GPU gets a whole one."""
        if isinstance(said, dict) and said.get("gpus") is None:
            on_gpu = str(said.get("device", "cpu")).startswith("cuda")
            return {**said, "gpus": float(on_gpu)}
        return said

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise UsageError(f"device {self.device!r}: it should be cpu or cuda")
        if not 0 < self.hours_per_trial < float("inf"):
            raise UsageError(f"{self.hours_per_trial:g} hours per trial: a trial needs more than none")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision {self.precision!r}: it should be one of {', '.join(PRECISIONS)}")
        return self

    @property
    def bf16(self) -> bool:
        """Whether networks are computed in bfloat16."""
        return self.precision == "bf16" or (self.precision == "auto" and self.device.startswith("cuda"))


class Asked(Frozen):
    """What a search was asked to do; a resume may ask for more."""

    space: dict[str, Any]  # as it was read, validated by search.space.Space
    data: str  # the folder of recordings
    trials: int = Field(ge=0, description="per machine, where the space holds as many")
    shared_trials: int = Field(0, ge=0, description="of all machines together, where the space holds as many")
    warm: str | None = Field(None, description="the earlier search that this one started from")
    continues: str | None = Field(
        None, description="the search whose detectors it has, with more recordings than that"
    )
    taught_by: str | None = Field(None, description="the search whose ensembles teach this one's networks")
    holdout: float = Field(0.0, ge=0, lt=1, description="share of labelled dev test clips that nothing sees")
    held_out: float = Field(0.1, gt=0, lt=1, description="share of training clips that thresholds are of")
    confirm: int = Field(0, ge=0, description="best configurations of a machine that are trained again")
    confirm_seeds: int = Field(0, ge=0, description="new seeds for each of them")
    hours: float | None = Field(
        None, gt=0, description="by the clock, over all runs; null: until all trials have ended"
    )
    channel: int | None = Field(
        None, ge=1, description="that is read of a recording, counted from 1; null: all, mixed down"
    )
    resources: Resources = Resources()


class Machine(Frozen):
    """What was found of one machine's recordings."""

    bank: str = ""  # folder of its ClipBank, relative to the storage
    data_hash: str = ""  # of the bank's content
    probes: str | None = None  # folder of the bank of its probes
    judged_by: Objective = "omega"


class Plan(Stored):
    """What a search was asked to do, and what became of that; written before anything starts."""

    format: int = Field(2, ge=1, le=2)
    name: str
    created: float  # seconds since 1970
    version: str
    asked: Asked
    machines: dict[str, Machine]
    holds: dict[str, int] = Field(
        {}, description="machine -> trials that the space holds, where it says which"
    )
    left_out: dict[str, str] = Field(
        {}, description="preset of the family -> why the recordings don't do for it"
    )
    accelerations: dict[str, Acceleration] | None = Field(
        None, description="size of trial -> how it is computed; null until that has been timed"
    )
    seconds: dict[str, dict[str, float]] = Field(
        {}, description="study -> kind of trial -> what one takes, as timed before the first"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, values: Any) -> Any:
        is_first = isinstance(values, dict) and values.get("format", 1) == 1 and "asked" not in values
        return _from_first(values) if is_first else values

    def asking(self, **changes: Any) -> "Plan":
        """The plan with some of what is asked for changed."""
        return self.model_copy(update={"asked": self.asked.model_copy(update=changes)})

    @property
    def studies(self) -> tuple[str, ...]:
        """Whose trials the search makes: each machine's and, where there are such, shared ones."""
        return (*self.machines, *([SHARED] if self.asked.shared_trials else []))

    def quota(self, study: str) -> int:
        """The trials that a machine gets, or all of them together."""
        trials = self.asked.shared_trials if self.is_shared(study) else self.asked.trials
        return min(trials, self.holds.get(study, trials))

    def is_endless(self, study: str) -> bool:
        """Whether only its time, or that nothing is left to try, ends a study."""
        return self.quota(study) >= MOST_TRIALS

    def objective(self, study: str) -> Objective:
        """What trials are judged by; shared ones by Ω where every machine's are."""
        if self.is_shared(study):
            return "omega" if {m.judged_by for m in self.machines.values()} == {"omega"} else "pseudo"
        return self.machines[study].judged_by

    def is_shared(self, study: str) -> bool:
        """Whether it stands for all machines: without shared trials, there may be a machine of that name."""
        return study == SHARED and SHARED not in self.machines

    def acceleration(self, size: str) -> Acceleration:
        """How a trial of a size is computed."""
        resources = self.asked.resources
        untimed = Acceleration(compiled=bool(resources.compiled), bf16=resources.bf16)
        return (self.accelerations or {}).get(size, untimed)


_FIRST = {"bank": "banks", "data_hash": "data_hash", "probes": "probes", "judged_by": "judged_by"}


def _from_first(flat: dict[str, Any]) -> dict[str, Any]:
    """A plan of the first format, in which everything stood side by side, in today's."""
    rest = {name: value for name, value in flat.items() if name != "format"}
    found = {name: rest.pop(old, {}) for name, old in _FIRST.items()}
    try:
        machines = {m: {k: known[m] for k, known in found.items() if m in known} for m in rest["machines"]}
    except (KeyError, TypeError):
        raise ValueError("no machines") from None
    resources = {name: rest.pop(name) for name in Resources.model_fields if name in rest}
    resources["precision"] = "bf16" if rest.pop("bf16", False) else "fp32"
    asked = {name: rest.pop(name) for name in Asked.model_fields if name in rest}
    return rest | {"machines": machines, "asked": asked | {"resources": resources}}
