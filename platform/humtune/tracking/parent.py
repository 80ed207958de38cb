"""One machine's run in MLflow: the parent of its trials, which shows the best of them."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from humtune.errors import DamagedScores
from humtune.ledger import Ledger
from humtune.metrics.cells import labelled
from humtune.plan import Plan
from humtune.records import CONFIRM, Objective, TrialRecord, TrialState
from humtune.results.candidates import Candidate
from humtune.sounds.table import ClipTable
from humtune.tracking import pages, runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class Result(NamedTuple):
    """What the parent needs to know of a trial that ended."""

    trial: str
    machine: str
    number: int
    ended: int  # milliseconds since 1970
    objective: float | None  # of a complete trial
    judged_by: Objective
    digest: str
    record: TrialRecord  # without its epochs, which need no second home

    @classmethod
    def of(cls, record: TrialRecord) -> Self:
        """The result of a trial that ended."""
        complete = record.state == TrialState.COMPLETE and record.judged
        return cls(
            trial=record.id,
            machine=record.machine,
            number=record.number,
            ended=runs.ended(record),
            objective=record.objective if complete else None,
            judged_by=record.judged_by,
            digest=runs.digest(record),
            record=record.model_copy(update={"epochs": ()}),
        )

    def seen_by(self, study: str) -> "Result | None":
        """The result as one of a machine, as `TrialRecord.of`."""
        seen = self.record.of(study)
        if seen is None or seen is self.record:
            return self if seen else None
        return Result.of(seen)._replace(digest=self.digest)


@dataclass(frozen=True)
class Parent:
    """What is known of a machine's run."""

    run_id: str
    status: str
    ended: int | None = None  # milliseconds since 1970
    shown: str = ""  # digest of the best trial that it shows
    described: str = ""  # mark of the trials that its description is about

    @classmethod
    def of(cls, run: "Run") -> Self:
        """As MLflow tells it."""
        info = run.info
        tags = run.data.tags
        return cls(
            info.run_id, info.status, info.end_time, tags.get(runs.DIGEST, ""), tags.get(runs.DESCRIBED, "")
        )


def create_parent(client: "MlflowClient", experiment: str, plan: Plan, machine: str) -> Parent:
    """Make the run that a machine's trials hang below."""
    tags = runs.lookup_tags(plan, machine) | {
        "data_hash": plan.machines[machine].data_hash if machine in plan.machines else "",  # none of all
        "version": plan.version,
    }
    started = runs.milliseconds(plan.created)
    return Parent.of(client.create_run(experiment, start_time=started, tags=tags, run_name=machine))


def show(
    client: "MlflowClient",
    ledger: Ledger,
    parent: Parent,
    *,
    best: Candidate,
    run_id: str,
    digest: str,
    results: Sequence[Result],
) -> Parent:
    """Put the best trial's configuration, plots and Ω on its own run and on its machine's.

    The machine's run has them in `best/`; its tags come last, among them the `digest` of the best. A shared
    trial's own run has none: it may be the best of several machines.

    A trial without stored scores gives no plots; it is then shown again by the next sync.
    """
    record = best.trial
    plots = _plots(ledger, best)
    with tempfile.TemporaryDirectory(prefix="humtune-") as folder:
        (Path(folder) / "config.json").write_bytes(
            json.dumps(record.config, indent=1, ensure_ascii=False).encode()
        )
        for name, data in plots.items():
            (Path(folder) / name).write_bytes(data)
        if not record.is_shared:
            client.log_artifacts(run_id, folder)
        client.log_artifacts(parent.run_id, folder, "best")
    _log_rise(client, parent.run_id, results)
    shown = digest if plots or record.machines else ""
    runs.tag(client, parent.run_id, {"best": record.id, "score_type": best.score_type, runs.DIGEST: shown})
    return replace(parent, shown=shown)


def _plots(ledger: Ledger, best: Candidate) -> dict[str, bytes]:
    """How a candidate's scores tell normal from anomalous, as PNG."""
    from humtune.formatting.plots import Plot, probe_histogram, roc_curves, score_histogram

    if best.trial.machines:  # of all machines together
        return {}
    try:
        scores = ledger.scores(best.trial.folder, best.score_type)
    except DamagedScores:
        return {}
    draw: dict[str, Callable[..., Plot]] = {
        "probes.png": probe_histogram,
        "scores.png": score_histogram,
        "roc.png": roc_curves,
    }
    clips = ledger.clips(best.trial.machine)
    return {name: draw[name](scores, clips, title=best.name).to_png() for name in _plot_names(clips)}


def _plot_names(clips: ClipTable) -> tuple[str, ...]:
    return ("scores.png", "roc.png") if labelled(clips) else ("probes.png",)


def settle(client: "MlflowClient", parent: Parent, *, results: Sequence[Result], over: bool) -> Parent:
    """Close a machine's run when all its trials ended; open it again when more of them are wanted."""
    if not over:
        if parent.status != "RUNNING":
            client.update_run(parent.run_id, status="RUNNING")
        return replace(parent, status="RUNNING")
    ended = max(result.ended for result in results)
    if (parent.status, parent.ended) != ("FINISHED", ended):
        client.set_terminated(parent.run_id, "FINISHED", end_time=ended)
    return replace(parent, status="FINISHED", ended=ended)


def tell(
    client: "MlflowClient", ledger: Ledger, parent: Parent, *, best: pages.Best, results: Sequence[Result]
) -> Parent:
    """Describe a machine: its best trial, and the table when all its trials have ended.

    What a person wrote in its place stays. Where scores can't be read, the next call looks again.
    """
    over = parent.status == "FINISHED"
    trials = sorted(result.digest for result in results) if over else []
    described = runs.mark(f"{best.run_id} {parent.shown} {trials}")
    if described == parent.described:
        return parent
    if pages.may_write(client.get_run(parent.run_id).data.tags.get(pages.NOTE, "")):
        trial = best.candidate.trial
        shows = parent.shown and not trial.machines
        plots = _plot_names(ledger.clips(trial.machine)) if shows else ()
        place = (parent.run_id, "best/") if trial.is_shared else (best.run_id, "")
        text, is_whole = pages.machine_page(ledger, best, plots=plots, place=place, over=over)
        described = described if is_whole else ""
        runs.tag(client, parent.run_id, {pages.NOTE: text, runs.DESCRIBED: described})
    return replace(parent, described=described)


def _log_rise(client: "MlflowClient", run_id: str, results: Sequence[Result]) -> None:
    """Log the best so far, a step each time it rose; what MLflow has already is where it goes on from."""
    name = results[0].judged_by
    logged = [metric.value for metric in client.get_metric_history(run_id, name)]
    step, top = len(logged), max(logged, default=-1.0)
    for result in sorted(results, key=lambda result: (result.ended, result.number)):
        if result.record.origin == CONFIRM:
            continue
        if result.objective is not None and result.objective > top:
            step, top = step + 1, result.objective
            client.log_metric(run_id, name, top, timestamp=result.ended, step=step, synchronous=True)
