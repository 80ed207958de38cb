"""One trial's run in MLflow: its record as parameters, tags and metric points, and how they get there."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from humtune.config import leaves, short_names
from humtune.plan import Plan
from humtune.records import TrialRecord, TrialState

if TYPE_CHECKING:
    from mlflow import MlflowClient

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
DESCRIBED = "humtune.described"  # digest of the trials that a machine's description is about

_BATCH = 900  # metrics a call: MLflow takes 1,000 entries in all, up to 100 of them parameters
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


def params_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Every choice of a configuration by its leaf's name; by its dotted path where two share a name.

    Values as a search space writes them (JSON): 0.02, true, null, ["cosine", "nll"].
    """
    found = dict(leaves(dict(config)))
    return {name: _text(found[path]) for name, path in short_names(found).items()}


def tags_of(record: TrialRecord) -> dict[str, str]:
    """What is known of a trial beside its configuration; `searched` is what the sampler chose."""
    return {
        "searched": ", ".join(f"{name}={_text(value)}" for name, value in record.params.items())[:LONGEST],
        "origin": record.origin,
        "state": record.state.value,
        "reason": (record.reason or "")[:LONGEST],
        "judged_by": record.judged_by,
        "score_type": record.best_score if record.judged else "",
        "started_from": record.started_from or "",
        "data_hash": record.data_hash,
        "version": record.version,
        "host": record.host,
        "device": record.device,
    }


def points_of(record: TrialRecord) -> list[Point]:
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


class Said(NamedTuple):
    """What a run says that MLflow can't take back, and its status."""

    params: frozenset[tuple[str, str]] = frozenset()
    points: frozenset[Identity] = frozenset()
    status: str = STATUS[TrialState.RUNNING]


def level_run(
    client: "MlflowClient",
    experiment: str,
    record: TrialRecord,
    *,
    run_id: str | None,
    said: Said | None,
    tags: Mapping[str, str],
) -> tuple[str, Said]:
    """Bring a trial's run level with its record; the run's id and what it says now.

    `tags` are those that the run is found by. `said` spares a run from being read by whoever wrote it last.

    MLflow forgets no metric and changes no parameter. A run that says what the record does not say (the
    trial went back to a checkpoint and on from there) is therefore deleted and written anew.
    """
    params = frozenset((params_of(record.config) if record.readable else {}).items())
    points = {point.identity: point for point in points_of(record)}
    if run_id is not None:
        said = said or _read(client, run_id)
        if not (said.params <= params and said.points <= points.keys()):
            client.delete_run(run_id)
            run_id = None
    if run_id is None:
        started = milliseconds(record.started)
        run = client.create_run(experiment, start_time=started, tags=dict(tags), run_name=record.id)
        run_id, said = str(run.info.run_id), Said()
    said = said or Said()
    _set_status(client, run_id, record, said.status)
    missing = [point for identity, point in points.items() if identity not in said.points]
    last = {**tags, **tags_of(record), DIGEST: digest(record)}
    _log(client, run_id, dict(params - said.params), missing, last)
    return run_id, Said(params, frozenset(points), STATUS[record.state])


def tag(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    """Set several tags of a run in one call."""
    _log(client, run_id, {}, [], tags)


def _read(client: "MlflowClient", run_id: str) -> Said:
    run = client.get_run(run_id)
    points = (
        Point(metric.key, metric.value, metric.timestamp, metric.step).identity
        for key in run.data.metrics
        for metric in client.get_metric_history(run_id, key)
    )
    return Said(frozenset(run.data.params.items()), frozenset(points), run.info.status)


def _set_status(client: "MlflowClient", run_id: str, record: TrialRecord, known: str) -> None:
    status = STATUS[record.state]
    if record.state != TrialState.RUNNING:
        client.set_terminated(run_id, status, end_time=ended(record))
    elif known != status:
        client.update_run(run_id, status=status)


def _log(
    client: "MlflowClient",
    run_id: str,
    params: Mapping[str, str],
    points: Sequence[Point],
    tags: Mapping[str, str],
) -> None:
    """Log it in as few calls as MLflow allows: the parameters with the first, the tags with the last."""
    from mlflow.entities import Metric, Param, RunTag

    starts = range(0, max(len(points), 1), _BATCH)
    for start in starts:
        client.log_batch(
            run_id,
            metrics=[Metric(p.key, p.value, p.timestamp, p.step) for p in points[start : start + _BATCH]],
            params=[Param(name, value) for name, value in params.items()] if start == starts[0] else [],
            tags=[RunTag(key, value) for key, value in tags.items()] if start == starts[-1] else [],
            synchronous=True,
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _storable(value: float) -> float:
    """MLflow's databases know NaN, but keep the largest float for infinity."""
    return max(-sys.float_info.max, min(sys.float_info.max, value)) if value == value else value
