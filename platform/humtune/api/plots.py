"""Plots: those of a search as figures of matplotlib."""

from humtune.api.trials import limit_of, trial_on
from humtune.errors import HumtuneError, UsageError
from humtune.formatting.plots import Plot, probe_histogram, roc_curves, score_histogram, search_history
from humtune.ledger import Ledger
from humtune.metrics.cells import Array
from humtune.records import CONFIRM
from humtune.results.candidates import choose
from humtune.sounds.table import ClipTable


class Plots:
    """The plots of a search, as figures of matplotlib that a notebook shows by itself.

    Each is of a machine, which needs no name where there is but one, and of its best trial unless another one
    and its score type are named.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def history(self, machine: str | None = None) -> Plot:
        """What its trials are judged by, in the order in which they ended, with the best so far."""
        machine = self._machine(machine)
        records = [r for r in self._ledger.trials_of(machine) if r.origin != CONFIRM]
        return search_history(records, title=f"{machine}: search")

    def scores(
        self, machine: str | None = None, *, trial: str | None = None, score_type: str | None = None
    ) -> Plot:
        """Scores of normal and anomalous selecting clips, with the limit; UsageError without labels."""
        what, scores, clips = self._scores(machine, trial, score_type)
        return score_histogram(
            scores, clips, threshold=_threshold(scores, clips), title=f"{what}, selecting clips"
        )

    def probes(
        self, machine: str | None = None, *, trial: str | None = None, score_type: str | None = None
    ) -> Plot:
        """Scores of held-out clips and of each kind of probe, with the limit."""
        what, scores, clips = self._scores(machine, trial, score_type)
        return probe_histogram(scores, clips, threshold=_threshold(scores, clips), title=f"{what}, probes")

    def roc(
        self, machine: str | None = None, *, trial: str | None = None, score_type: str | None = None
    ) -> Plot:
        """ROC curves of the selecting clips, by domain; UsageError without labels."""
        what, scores, clips = self._scores(machine, trial, score_type)
        return roc_curves(scores, clips, title=f"{what}, selecting clips")

    def _machine(self, name: str | None) -> str:
        machines = tuple(self._ledger.plan.machines)
        if name is None and len(machines) == 1:
            return machines[0]
        if name not in machines:
            what = "name one of" if name is None else f"there is no machine '{name}'; there are"
            raise UsageError(f"search '{self._ledger.name}': {what} {', '.join(machines)}")
        return name

    def _scores(
        self, machine: str | None, trial: str | None, score_type: str | None
    ) -> tuple[str, Array, ClipTable]:
        """What they are of, in words, and scores [N] of the machine's scored clips."""
        machine = self._machine(machine)
        if trial is None:
            best = choose(self._ledger.trials_of(machine))
            if best is None:
                raise HumtuneError(f"{machine}: no trial has run its whole budget yet")
            record, score_type = best.trial, score_type or best.score_type
        else:
            record = trial_on(self._ledger, trial, machine)
            score_type = score_type or (record.best_score if record.judged else "")
        clips = self._ledger.clips(machine)
        if score_type not in record.judged:
            known = ", ".join(record.judged) or "none"
            raise UsageError(f"{record.id}: no scores of type '{score_type}'; there are {known}")
        scores = self._ledger.scores(record.folder, score_type, clips=len(clips))
        return f"{record.id}, {score_type}", scores, clips


def _threshold(scores: Array, clips: ClipTable) -> float | None:
    limit = limit_of(scores, clips)
    return limit.value if limit else None
