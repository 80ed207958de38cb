"""The searches of a storage: how far each has come and the best that it found."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rich import box
from rich.table import Table

from humtune.errors import HumtuneError, TooNew
from humtune.formatting.text import MISSING, in_percent, percent
from humtune.ledger import Ledger, searches
from humtune.metrics.omega import harmonic_mean
from humtune.records import CONFIRM, SYMBOLS, TrialState, of_machine
from humtune.results.candidates import choose
from humtune.sounds.parallel import tracked
from humtune.storage import Storage


@dataclass(frozen=True)
class SearchSummary:
    """One search in a line; of one that can't be read only the problem."""

    name: str
    created: float = 0.0  # seconds since 1970
    machines: tuple[str, ...] = ()
    planned: int = 0  # trials, of all machines
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    unfinished: int = 0  # running, or left behind by a search that was killed
    omega_best: float | None = None  # official, selecting clips: harmonic mean of the machines' best trials
    pseudo_best: float | None = None  # the same of the machines that are judged without labels
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The summary for a program; Ω in percent, the time as ISO 8601."""
        best = {name: in_percent(getattr(self, name)) for name in ("omega_best", "pseudo_best")}
        created = datetime.fromtimestamp(self.created).astimezone().isoformat(timespec="seconds")
        return asdict(self) | best | {"created": None if self.problem else created}


def summarise(storage: Storage) -> list[SearchSummary]:
    """Every search of a storage, in the order in which they were made."""
    names = searches(storage)
    found = [_summary(Ledger(storage, name)) for name in tracked(names, total=len(names), title="reading")]
    return sorted(found, key=lambda s: (s.created, s.name))


def to_terminal(summaries: list[SearchSummary]) -> Table:
    """A line a search for a screen: trials as complete + pruned + failed of those planned; Ω in percent."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("search", overflow="fold")
    table.add_column("created", no_wrap=True)
    table.add_column("machines", overflow="fold")
    for name in ("trials", "unfinished", "best"):
        table.add_column(name, justify="right", no_wrap=True)
    for s in summaries:
        if s.problem:
            table.add_row(s.name, MISSING, s.problem)
            continue
        when = datetime.fromtimestamp(s.created).strftime("%Y-%m-%d %H:%M")
        trials = f"{s.complete}+{s.pruned}+{s.failed} of {s.planned}"
        table.add_row(s.name, when, ", ".join(s.machines), trials, str(s.unfinished), _best(s))
    return table


def continuations(ledger: Ledger) -> list[str]:
    """The searches that go on from this one, with more recordings; of those whose plans can be read."""
    found = []
    for name in searches(ledger.storage):
        with suppress(HumtuneError):
            if Ledger(ledger.storage, name).plan.asked.continues == ledger.name:
                found.append(name)
    return sorted(found)


def lineage(ledger: Ledger) -> list[str]:
    """A line on the search that this one goes on from, and one on those that go on from it."""
    lines = []
    if earlier := ledger.plan.asked.continues:
        lines.append(f"continues {earlier}: its detectors, with other recordings beside those of it")
    if later := continuations(ledger):
        lines.append(f"continued by {', '.join(later)}")
    return lines


def _best(summary: SearchSummary) -> str:
    metrics = {"omega": summary.omega_best, "pseudo": summary.pseudo_best}
    shown = [f"{SYMBOLS[name]} {percent(value)}" for name, value in metrics.items() if value is not None]
    return ", ".join(shown) or MISSING


def _summary(ledger: Ledger) -> SearchSummary:
    try:
        plan, records = ledger.plan, list(ledger.records())
    except TooNew as error:
        return SearchSummary(ledger.name, problem=str(error))
    except HumtuneError:
        return SearchSummary(ledger.name, problem="can't be read: torn, or of another version")
    states = Counter(r.state for r in records)
    best = [found for machine in plan.machines if (found := choose(of_machine(records, machine)))]
    return SearchSummary(
        name=ledger.name,
        created=plan.created,
        machines=tuple(plan.machines),
        planned=sum(map(plan.quota, plan.studies)) + sum(r.origin == CONFIRM for r in records),
        complete=states[TrialState.COMPLETE],
        pruned=states[TrialState.PRUNED],
        failed=states[TrialState.FAILED],
        unfinished=states[TrialState.RUNNING],
        omega_best=_mean(c.metric for c in best if c.trial.judged_by == "omega"),
        pseudo_best=_mean(c.metric for c in best if c.trial.judged_by == "pseudo"),
    )


def _mean(metrics: Iterable[float]) -> float | None:
    found = list(metrics)
    return float(harmonic_mean(found)) if found else None
