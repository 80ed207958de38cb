"""One trial's run in MLflow."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from humtune.ledger import TrialRecord, TrialState
from humtune.tracking import runs

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH = 900  # metrics a call: MLflow takes 1,000 entries in all, up to 100 of them parameters


def level_child(
    client: "MlflowClient",
    experiment: str,
    record: TrialRecord,
    *,
    run_id: str | None,
    tags: Mapping[str, str],
) -> str:
    """Bring a trial's run level with its record and return the run's id; `tags` are those it is found by.

    MLflow forgets no metric and changes no parameter. A run that says what the record does not say (the
    trial went back to a checkpoint and on from there) is therefore deleted and written anew.
    """
    params = runs.params(record.config) if record.readable else {}
    points = {point.identity: point for point in runs.points(record)}
    if run_id is not None:
        run = client.get_run(run_id)
        logged = _logged(client, run_id, run.data.metrics)
        if logged <= points.keys() and run.data.params.items() <= params.items():
            points = {identity: point for identity, point in points.items() if identity not in logged}
        else:
            client.delete_run(run_id)
            run_id = None
    if run_id is None:
        started = runs.milliseconds(record.started)
        run = client.create_run(experiment, start_time=started, tags=dict(tags), run_name=record.id)
        run_id = str(run.info.run_id)
    _log(client, run_id, params, list(points.values()))
    _set_status(client, run_id, record)
    tag(client, run_id, {**tags, **runs.tags(record), runs.DIGEST: runs.digest(record)})
    return run_id


def tag(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    """Set several tags of a run in one call."""
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()], synchronous=True)


def _logged(client: "MlflowClient", run_id: str, keys: Iterable[str]) -> set[runs.Identity]:
    return {
        runs.Point(metric.key, metric.value, metric.timestamp, metric.step).identity
        for key in keys
        for metric in client.get_metric_history(run_id, key)
    }


def _log(client: "MlflowClient", run_id: str, params: Mapping[str, str], points: list[runs.Point]) -> None:
    """Log parameters and points in as few calls as MLflow allows."""
    from mlflow.entities import Metric, Param

    wanted = [Param(name, value) for name, value in params.items()]
    for start in range(0, max(len(points), 1), _BATCH):
        metrics = [Metric(p.key, p.value, p.timestamp, p.step) for p in points[start : start + _BATCH]]
        client.log_batch(run_id, metrics=metrics, params=wanted, synchronous=True)
        wanted = []


def _set_status(client: "MlflowClient", run_id: str, record: TrialRecord) -> None:
    status = runs.STATUS[record.state]
    if record.state == TrialState.RUNNING:
        client.update_run(run_id, status=status)
    else:
        client.set_terminated(run_id, status, end_time=runs.ended(record))
