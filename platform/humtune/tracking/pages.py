"""What MLflow says in words of a search and of each machine: the best trials, the way to them, the table."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from humtune.formatting.columns import SHORT_LEGEND, fields, headline
from humtune.formatting.text import MISSING, code, escaped, percent, to_markdown
from humtune.ledger import Ledger
from humtune.names import command
from humtune.records import TrialRecord, TrialState
from humtune.results.candidates import Candidate
from humtune.results.measure import measure
from humtune.results.rows import machine_row
from humtune.tracking import runs

NOTE = "mlflow.note.content"  # the tag that MLflow shows as a description
_VIEWS = {  # title, filter and whether the best come first, by key; MLflow nests runs only by their start
    "humtune-machines": ("each machine with its trials", "", False),
    "humtune-best": ("the best of each machine", f"tags.`{runs.BEST}` = 'true'", True),
    "humtune-trials": ("all trials, the best first", f"tags.`{runs.TRIAL}` LIKE '%'", True),
}
_PLAIN_VIEW = {  # what MLflow wants beside
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
    "viewMaximized": True,
}
OURS = "*humtune keeps this text up to date; without this line it is yours.*"


class Best(NamedTuple):
    """A machine's best candidate, and where MLflow has its trial."""

    candidate: Candidate
    experiment: str
    run_id: str

    @property
    def named(self) -> str:
        """The trial's name, which leads to it from any page of the same MLflow."""
        return f"[{escaped(self.candidate.trial.id)}](#/experiments/{self.experiment}/runs/{self.run_id})"

    @property
    def metric(self) -> str:
        """What it is judged by, in percent."""
        return percent(self.candidate.metric)


class MachineSummary(NamedTuple):
    """A machine as the search's page tells of it."""

    machine: str
    best: Best | None
    records: Sequence[TrialRecord]  # of trials that ended


def counted(records: Iterable[TrialRecord]) -> str:
    """How many trials ended in which way: 7 complete, 3 pruned, 1 failed."""
    found = Counter(record.state for record in records)
    kinds = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)
    return ", ".join(f"{found[kind]} {kind.value}" for kind in kinds if found[kind])


def search_page(experiment: str, machines: Sequence[MachineSummary]) -> str:
    """Every machine's best trial, and the way to it.

    MLflow shows the first line alone until it is unfolded: that leads to each machine's best.
    """
    symbol = next((parent.best.candidate.trial.symbol for parent in machines if parent.best), "Ω")
    first = " · ".join(f"{parent.best.named} {parent.best.metric}" for parent in machines if parent.best)
    rows = []
    for machine, best, records in machines:
        cells = (best.named, best.candidate.score_type, best.metric) if best else (MISSING,) * 3
        rows.append([escaped(machine), *cells, counted(records)])
    table = to_markdown(["machine", "best trial", "score type", f"{symbol}, %", "trials"], rows, left=3)
    ways = ", ".join(f"[{title}]({_view_link(experiment, key)})" for key, (title, _, _) in _VIEWS.items())
    rest = f"{symbol} is of the clips that chose, so it is too high. A machine's run has the whole table."
    return _signed(f"Best trials by {symbol}: {first or MISSING}\n\n{table}\n\n{rest} As lists: {ways}.")


def views(metric: str) -> dict[str, str]:
    """The tags that hold the lists of runs which a search's page leads to, with few and telling columns.

    `metric` is the one that trials are judged by.
    """
    tags = [f"tags.`{name}`" for name in ("score_type", "searched", "state")]
    columns = ["attributes.`Duration`", f"metrics.`{metric}`", *tags]
    return {
        f"mlflow.sharedViewState.{key}": json.dumps(
            _PLAIN_VIEW
            | {
                "selectedColumns": columns,
                "searchFilter": wanted,
                "orderByKey": f"metrics.`{metric}`" if best_first else "attributes.start_time",
                "orderByAsc": not best_first,
            }
        )
        for key, (_, wanted, best_first) in _VIEWS.items()
    }


def _view_link(experiment: str, key: str) -> str:
    return f"#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={key}"


def machine_page(
    ledger: Ledger, best: Best, *, plots: Sequence[str], place: tuple[str, str], over: bool
) -> tuple[str, bool]:
    """A machine's best trial and its plots, and its part of the table when all its trials are `over`.

    `plots` are files in the artifacts of a run, at this `place`: its id, and a folder or "". Of shared
    trials there is what the best one is worth on each machine. Also whether all trials' scores could be read.
    """
    is_whole = True
    run_id, folder = place
    record = best.candidate.trial
    metric = f"{record.symbol} {best.metric} % with {best.candidate.score_type}"
    text = [f"{best.named} is the best of {escaped(record.machine)}: {metric}.", ""]
    if record.machines:
        worth = [(m, seen) for m in record.machines if (seen := record.of(m))]
        rows = [[escaped(m), seen.best_score, percent(seen.objective)] for m, seen in worth if seen.judged]
        text += [to_markdown(["machine", "score type", f"{record.symbol}, %"], rows, left=2), ""]
    elif over:
        measured = measure(ledger, record.machine)
        row, is_whole = machine_row(measured), not measured.lost
        cells = {name: cell for name, show in fields([row]).items() if (cell := show(row)) != MISSING}
        cells |= {name: f"**{cells[name]}**" for name in headline([row]) if name in cells}
        text += [to_markdown(["", escaped(record.id)], cells.items()), "", *SHORT_LEGEND[:2], ""]
        text += [
            line for trial in measured.lost for line in (f"{escaped(trial.id)}: its scores are lost.", "")
        ]
    else:
        before = code(command("report", ledger.name))
        text += [f"The table follows when its trials have ended; before: {before}.", ""]
    text += [f"![{name}](get-artifact?path={folder}{name}&run_uuid={run_id})" for name in plots]
    return _signed("\n".join(text)), is_whole


def may_write(shown: str) -> bool:
    """Whether a description is ours to change: there is none, or it says so."""
    return not shown or OURS in shown


def _signed(text: str) -> str:
    """A text that says that it is ours, no longer than MLflow takes."""
    return f"{text[: runs.LONGEST - len(OURS) - 2]}\n\n{OURS}"
