"""One trial's run in MLflow."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from humtune.records import TrialRecord, TrialState
from humtune.tracking import runs

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH = 900  # metrics a call: MLflow takes 1,000 entries in all, up to 100 of them parameters
_RUNNING = runs.STATUS[TrialState.RUNNING]


class Said(NamedTuple):
    """What a run says that MLflow can't take back, and its status."""

    params: frozenset[tuple[str, str]] = frozenset()
    points: frozenset[runs.Identity] = frozenset()
    status: str = _RUNNING


def level_child(
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
    params = frozenset((runs.params(record.config) if record.readable else {}).items())
    points = {point.identity: point for point in runs.points(record)}
    if run_id is not None:
        said = said or _read(client, run_id)
        if not (said.params <= params and said.points <= points.keys()):
            client.delete_run(run_id)
            run_id = None
    if run_id is None:
        started = runs.milliseconds(record.started)
        run = client.create_run(experiment, start_time=started, tags=dict(tags), run_name=record.id)
        run_id, said = str(run.info.run_id), Said()
    said = said or Said()
    _set_status(client, run_id, record, said.status)
    missing = [point for identity, point in points.items() if identity not in said.points]
    last = {**tags, **runs.tags(record), runs.DIGEST: runs.digest(record)}
    _log(client, run_id, dict(params - said.params), missing, last)
    return run_id, Said(params, frozenset(points), runs.STATUS[record.state])


def tag(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    """Set several tags of a run in one call."""
    _log(client, run_id, {}, [], tags)


def _read(client: "MlflowClient", run_id: str) -> Said:
    run = client.get_run(run_id)
    points = (
        runs.Point(metric.key, metric.value, metric.timestamp, metric.step).identity
        for key in run.data.metrics
        for metric in client.get_metric_history(run_id, key)
    )
    return Said(frozenset(run.data.params.items()), frozenset(points), run.info.status)


def _set_status(client: "MlflowClient", run_id: str, record: TrialRecord, known: str) -> None:
    status = runs.STATUS[record.state]
    if record.state != TrialState.RUNNING:
        client.set_terminated(run_id, status, end_time=runs.ended(record))
    elif known != status:
        client.update_run(run_id, status=status)


def _log(
    client: "MlflowClient",
    run_id: str,
    params: Mapping[str, str],
    points: Sequence[runs.Point],
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
