"""What a person sees while a search runs: a live table on a terminal, log lines anywhere else."""

import threading
from contextlib import AbstractContextManager
from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from humtune import names
from humtune.plan import MOST_TRIALS
from humtune.records import CONFIRM, TrialRecord, TrialState
from humtune.results.candidates import Candidate
from humtune.search.machine_study import MachineStudy
from humtune.search.studies import Studies

REFRESH_SECONDS = 0.5
QUIET_SECONDS = 60.0  # without a terminal: after so long without a line there is one


class LiveTable(AbstractContextManager["LiveTable"]):
    """Shows where each machine's trials stand, from a thread that only reads the studies."""

    def __init__(self, studies: Studies, *, slots: int, console: Console | None = None) -> None:
        self.studies = studies
        self.slots = slots
        self.console = console or names.console()
        self.began = self._said = monotonic()
        self._printed: set[str] = {r for m in studies.machines.values() for r in m.ended}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> "LiveTable":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _show(self) -> None:
        if not self.console.is_terminal or self.console.is_dumb_terminal:
            while not self._over.wait(REFRESH_SECONDS):
                self._log()
            self._log()
            return
        with Live(console=self.console, auto_refresh=False) as live:
            while not self._over.wait(REFRESH_SECONDS):
                live.update(self.table(), refresh=True)
            live.update(self.table(), refresh=True)

    def _log(self) -> None:
        for this in list(self.studies.machines.values()):
            counts = {True: 0, False: 0}
            for record in list(this.ended.values()):
                confirms = record.origin == CONFIRM
                counts[confirms] += 1
                if record.id not in self._printed:
                    self._printed.add(record.id)
                    wanted = this.confirmations[1] if confirms else this.quota
                    line = self.line(record, counts[confirms], wanted)
                    self.console.print(f"{line} ({duration(record.seconds)})", soft_wrap=True)
                    self._said = monotonic()
        if monotonic() - self._said >= QUIET_SECONDS:
            running = [trial for this in list(self.studies.machines.values()) for trial in list(this.running)]
            self.console.print(self.quiet(running), soft_wrap=True)
            self._said = monotonic()

    def _times(self) -> str:
        left = self.studies.seconds_left(self.slots)
        coming = "starting" if left is None else f"{duration(left)} left"
        if left == 0 and any(list(this.running) for this in list(self.studies.machines.values())):
            coming = "more than expected"  # steps of one kind of detector are not as long as another's
        return f"{duration(monotonic() - self.began)} gone, {coming}"

    def quiet(self, running: list[str]) -> str:
        """What a log says where nothing has ended for a while."""
        return f"{self._times()}, running: {', '.join(running)}" if running else self._times()

    def line(self, record: TrialRecord, number: int, wanted: int) -> str:
        """What a log says of a trial that has ended, as the `number`-th of those `wanted`."""
        place = f"[{'confirms ' if record.origin == CONFIRM else ''}{of(number, wanted)}]"
        return f"{record.id} {place} {names.shown(outcome(record))}"

    def table(self) -> Table:
        """The table as it stands now."""
        table = Table(title=f"{self.studies.ledger.name}: {self._times()}", title_justify="left")
        for name in ("machine", "trials"):
            table.add_column(name, overflow="fold")
        for name in ("running", "stopped", "failed", "best"):
            table.add_column(name, justify="right")
        table.add_column("with", overflow="fold")
        for this in list(self.studies.machines.values()):
            table.add_row(*row(this))
        return table


class PlainTable(LiveTable):
    """For whoever wants a model and no search: how many detectors there are, nothing of their worth."""

    def quiet(self, running: list[str]) -> str:
        """How many detectors are trained at the moment."""
        return f"{self._times()}, in training: {len(running)}"

    def line(self, record: TrialRecord, number: int, wanted: int) -> str:
        """That a detector has been trained, or why not."""
        which = f"detector {number} of {wanted}"
        if record.state == TrialState.COMPLETE:
            return f"{which} is trained"
        return f"{which} can't be used: {names.shown(' '.join((record.reason or record.state).split()))}"

    def table(self) -> Table:
        """A line for each machine."""
        table = Table(title=self._times(), title_justify="left")
        for name in ("machine", "detectors", "trained", "in training"):
            table.add_column(name, overflow="fold")
        for this in list(self.studies.machines.values()):
            states = [record.state for record in list(this.ended.values())]
            trained = str(states.count(TrialState.COMPLETE))
            table.add_row(this.machine, str(this.quota), trained, str(len(this.running)))
        return table


def best_table(studies: Studies) -> Table:
    """Each machine's best so far, narrow enough for a log."""
    table = Table()
    for name in ("machine", "trials", "best", "trial", "score"):
        table.add_column(name, overflow="fold")
    for this in studies.machines.values():
        best = this.best
        found = (judged(best), best.trial.id, best.score_type) if best else ("–",)
        table.add_row(this.machine, of(len(this.searched), this.quota), *found)
    return table


def row(this: MachineStudy) -> list[str]:
    """A machine's line."""
    states = [r.state for r in list(this.ended.values())]
    best, (confirmed, wanted) = this.best, this.confirmations
    trials = of(len(this.searched), this.quota)
    return [
        this.machine,
        f"{trials}, {confirmed}/{wanted} confirm" if wanted else trials,
        str(len(this.running)),
        str(states.count(TrialState.PRUNED)),
        str(states.count(TrialState.FAILED)),
        judged(best) if best else "–",
        f"{settings(best.trial)} {best.score_type}" if best else "",
    ]


def of(number: int, wanted: int) -> str:
    """How many trials of how many there are; of as many as the time allows, the former alone."""
    return f"{number}/{wanted}" if wanted < MOST_TRIALS else str(number)


def judged(best: Candidate) -> str:
    """What a candidate is judged by, in percent."""
    return f"{best.trial.symbol} {100 * best.metric:.1f}"


def outcome(record: TrialRecord) -> str:
    """How a trial ended, in one line."""
    if record.state == TrialState.COMPLETE:
        chosen = " ".join(filter(None, (settings(record), record.best_score)))
        return f"{record.symbol} {100 * record.objective:.1f} with {chosen}"
    return f"{record.state}: {' '.join((record.reason or '').split())}"


def settings(record: TrialRecord) -> str:
    """What was searched and chosen, by short names."""
    values = {name.rpartition(".")[2]: value for name, value in record.params.items()}
    return " ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items())


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 05 s, 2 h 10 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
