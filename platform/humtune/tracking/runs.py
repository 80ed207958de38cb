"""What MLflow should hold of one trial: its record as parameters, tags and metric points."""

import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from humtune.config import leaves, short_names
from humtune.plan import Plan
from humtune.records import TrialRecord, TrialState

STATUS = {  # in MLflow's words
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
}
TRIAL = "humtune.trial"
MACHINE = "humtune.machine"
SEARCH = "humtune.search"
CREATED = "humtune.created"  # tells a search from an earlier one of the same name
DIGEST = "humtune.digest"  # of the record that the run is level with; written last
BEST = "humtune.best"
TOLD = "humtune.told"  # digest of the trials that a machine's description is about

_FORMAT = 2  # of what this file makes out of a record: raise it, and every run is brought up to date
LONGEST = 5000  # characters of a tag that every MLflow store takes


Identity = tuple[str, str, int, int]


class Point(NamedTuple):
    """One value of one metric; `timestamp` in milliseconds since 1970."""

    key: str
    value: float
    timestamp: int
    step: int

    @property
    def identity(self) -> Identity:
        """The point as something that equals itself, NaN included."""
        return self.key, repr(self.value), self.timestamp, self.step


def milliseconds(seconds: float) -> int:
    """MLflow's unit of time."""
    return round(seconds * 1000)


def ended(record: TrialRecord) -> int:
    """When a trial that is over ended, in milliseconds since 1970."""
    return milliseconds(record.started + record.seconds if record.ended is None else record.ended)


def digest(record: TrialRecord) -> str:
    """A short mark of everything that the record says."""
    return mark(record.model_dump_json())


def mark(text: str) -> str:
    """A short mark of a text, another one for each format of what is written."""
    return hashlib.sha256(f"{_FORMAT} {text}".encode()).hexdigest()[:16]


def lookup_tags(plan: Plan, machine: str) -> dict[str, str]:
    """The tags that a machine's runs are found by."""
    return {SEARCH: plan.name, CREATED: repr(plan.created), MACHINE: machine}


def params(config: Mapping[str, Any]) -> dict[str, str]:
    """Every choice of a configuration by its leaf's name; by its dotted path where two share a name.

    Values as a search space writes them (JSON): 0.02, true, null, ["cosine", "nll"].
    """
    found = dict(leaves(dict(config)))
    return {name: _text(found[path]) for name, path in short_names(found).items()}


def tags(record: TrialRecord) -> dict[str, str]:
    """What is known of a trial beside its configuration; `searched` is what the sampler chose."""
    return {
        "searched": ", ".join(f"{name}={_text(value)}" for name, value in record.params.items())[:LONGEST],
        "origin": record.origin,
        "state": record.state.value,
        "reason": (record.reason or "")[:LONGEST],
        "judged_by": record.judged_by,
        "score_type": record.best_score if record.judged else "",
        "data_hash": record.data_hash,
        "version": record.version,
        "host": record.host,
        "device": record.device,
    }


def points(record: TrialRecord) -> list[Point]:
    """Every epoch's metrics; of a trial that ended also its objective by name, and one per score type."""
    found = {
        (key, epoch.epoch): Point(key, _storable(value), milliseconds(epoch.ended), epoch.epoch)
        for epoch in record.epochs
        for key, value in epoch.metrics.items()
    }
    if record.judged and record.state != TrialState.RUNNING:
        when = milliseconds(record.epochs[-1].ended) if record.epochs else ended(record)
        last = record.epochs[-1].epoch if record.epochs else 0
        finals = {record.judged_by: record.objective} | {
            f"{record.judged_by}_{name}": value for name, value in record.judged.items()
        }
        for key, value in finals.items():
            found[key, last] = Point(key, _storable(value), when, last)
    return list(found.values())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _storable(value: float) -> float:
    """MLflow's databases know NaN, but keep the largest float for infinity."""
    return max(-sys.float_info.max, min(sys.float_info.max, value)) if value == value else value
