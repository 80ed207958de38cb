"""One machine's study, and where its trials stand: asked for, running, ended, to be confirmed."""

from dataclasses import dataclass, field

import optuna

from humtune.ledger import CONFIRM, TrialRecord, TrialState
from humtune.report.best import best_trial
from humtune.search import confirm
from humtune.search.grid import Run


@dataclass
class Running:
    """A trial that has been asked for and has not ended; one that confirms is nothing to Optuna."""

    trial: optuna.Trial | None
    record: TrialRecord
    epoch: int = 0
    restarts: int = 0  # in this sitting, as its process died


@dataclass
class MachineStudy:
    """One machine's study and where its trials stand."""

    machine: str
    study: optuna.Study
    quota: int  # of the search; what confirms comes on top
    running: dict[str, Running] = field(default_factory=dict)
    ended: dict[str, TrialRecord] = field(default_factory=dict)
    unfinished: list[Running] = field(default_factory=list)  # of an earlier sitting, not yet asked for
    interrupted: list[Running] = field(default_factory=list)  # the same, of trials that confirm
    next_number: int = 0
    confirm: int = 0  # best configurations that are trained again after the search
    seeds: int = 0  # new ones for each of them
    first_seed: int = 0  # of the space

    @property
    def searched(self) -> list[TrialRecord]:
        """Trials of the search that have ended."""
        return [r for r in list(self.ended.values()) if r.origin != CONFIRM]

    @property
    def started(self) -> int:
        """Trials of the search that run or have ended."""
        return len(self.searched) + self._running(confirms=False)

    @property
    def is_searched(self) -> bool:
        """Whether the search's own trials have ended, so that it is known which are the best."""
        return len(self.searched) >= self.quota and not self._running(confirms=False)

    @property
    def due(self) -> list[Run]:
        """What is still to be asked for to confirm the best."""
        if not (self.confirm and self.is_searched):
            return []
        records = [*self.ended.values(), *(r.record for r in (*self.running.values(), *self.interrupted))]
        return confirm.due(records, best=self.confirm, seeds=self.seeds, seed=self.first_seed)

    @property
    def is_asked(self) -> bool:
        """Whether there is nothing more to ask for."""
        over = self.is_searched if self.confirm else self.started >= self.quota
        return over and not self.interrupted and not self.due

    @property
    def confirmations(self) -> tuple[int, int]:
        """Trials that confirm: how many have ended, of how many, as far as that is known."""
        ended = len(self.ended) - len(self.searched)
        if not self.is_searched:
            return ended, ended + self.confirm * self.seeds
        return ended, ended + self._running(confirms=True) + len(self.interrupted) + len(self.due)

    @property
    def left(self) -> int:
        """Trials that have not ended."""
        ended, wanted = self.confirmations
        return max(0, self.quota - len(self.searched)) + wanted - ended

    def _running(self, *, confirms: bool) -> int:
        return sum((r.record.origin == CONFIRM) == confirms for r in list(self.running.values()))

    @property
    def ranking(self) -> list[TrialRecord]:
        """The trials that ran their whole budget, best first."""
        complete = [r for r in list(self.ended.values()) if r.state == TrialState.COMPLETE]
        return sorted(complete, key=lambda r: (-r.objective, r.number))

    @property
    def best(self) -> TrialRecord | None:
        """The best trial, as the report chooses it."""
        return best_trial(list(self.ended.values()))
