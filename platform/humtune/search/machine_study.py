"""One machine's study, or that of all, and where its trials stand: asked for, running, ended, to confirm."""

from bisect import insort
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

import optuna
from optuna.trial import TrialState as OptunaState

from humtune.records import CONFIRM, ParamValue, TrialRecord, TrialState
from humtune.results.candidates import Candidate, choose, configurations, searched_trials
from humtune.search.space.dimensions import FAMILY
from humtune.search.space.grid import Run

FIRST_SEED = 1_000_000  # above the space's own seed: no trial of a search gets as far


@dataclass
class Running:
    """A trial that has been asked for and has not ended; one that confirms is nothing to Optuna."""

    trial: optuna.Trial | None
    record: TrialRecord
    epoch: int = 0
    restarts: int = 0  # in this run, as its process died


class Ended(dict[str, TrialRecord]):
    """Trials that have ended, sorted as they come: with thousands of them, none is looked through again."""

    def __init__(self) -> None:
        super().__init__()
        self.searched: list[TrialRecord] = []
        self.confirming: list[TrialRecord] = []
        self.ranking: list[TrialRecord] = []  # those that ran their whole budget, best first

    def __setitem__(self, trial: str, record: TrialRecord) -> None:
        super().__setitem__(trial, record)
        (self.confirming if record.origin == CONFIRM else self.searched).append(record)
        if record.state == TrialState.COMPLETE:
            insort(self.ranking, record, key=lambda r: (-r.objective, r.number))


@dataclass
class MachineStudy:
    """One machine's study and where its trials stand."""

    machine: str  # or SHARED
    study: optuna.Study
    quota: int  # of the search; what confirms comes on top
    running: dict[str, Running] = field(default_factory=dict)
    ended: Ended = field(default_factory=Ended)
    unfinished: list[Running] = field(default_factory=list)  # of an earlier run, not yet asked for
    interrupted: list[Running] = field(default_factory=list)  # the same, of trials that confirm
    next_number: int = 0
    confirm: int = 0  # best configurations that are trained again after the search
    seeds: int = 0  # new ones for each of them
    first_seed: int = 0  # of the space
    closed: bool = False  # nothing more can be begun in the time that is left

    @property
    def searched(self) -> list[TrialRecord]:
        """Trials of the search that have ended."""
        return self.ended.searched

    @property
    def tried(self) -> list[dict[str, ParamValue]]:
        """Points of trials that have ended or run."""
        return [r.params for r in self.searched] + [r.record.params for r in self.running.values()]

    @property
    def has_queue(self) -> bool:
        """Whether points wait to be asked for, before the sampler's turn."""
        return bool(self.study.get_trials(deepcopy=False, states=(OptunaState.WAITING,)))

    @property
    def started(self) -> int:
        """Trials of the search that run or have ended."""
        return len(self.searched) + self._running(confirms=False)

    @property
    def is_searched(self) -> bool:
        """Whether the search's own trials have ended, so that it is known which are the best."""
        return (self.closed or len(self.searched) >= self.quota) and not self._running(confirms=False)

    @property
    def is_open(self) -> bool:
        """Whether trials of the search are still to be begun."""
        return self.started < self.quota and not self.closed

    @property
    def due(self) -> list[Run]:
        """What is still to be asked for to confirm the best."""
        if not (self.confirm and self.is_searched):
            return []
        records = [*self.ended.values(), *(r.record for r in (*self.running.values(), *self.interrupted))]
        return to_confirm(records, best=self.confirm, seeds=self.seeds, seed=self.first_seed)

    @property
    def is_asked(self) -> bool:
        """Whether there is nothing more to ask for."""
        over = self.is_searched if self.confirm else not self.is_open
        return over and not self.interrupted and not self.due

    @property
    def confirmations(self) -> tuple[int, int]:
        """Trials that confirm: how many have ended, of how many, as far as that is known."""
        ended = len(self.ended.confirming)
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
        return self.ended.ranking

    def best_of(self, family: str, presets: Container[str] | None) -> TrialRecord | None:
        """The best of those with a family, and with one of some presets of it where these are named."""
        for record in self.ranking:
            if record.config["family"] == family and (
                presets is None or record.params.get(FAMILY) in presets
            ):
                return record
        return None

    @property
    def best(self) -> Candidate | None:
        """The best candidate, as the report chooses it."""
        return choose([*self.ranking[:1], *self.ended.confirming])


def to_confirm(records: Iterable[TrialRecord], *, best: int, seeds: int, seed: int) -> list[Run]:
    """The best configurations, each with the same new seeds, that no trial has had yet; seed by seed.

    Configurations are ranked by what the search's own trials are judged by, those with several seeds by the
    mean. What confirms has no say in what is confirmed, so a resumed search asks for the same.
    """
    records = list(records)
    had = [Run(r.params, r.seed, r.started_from) for r in records if r.origin == CONFIRM]
    firsts = [c.trials[0] for c in configurations(searched_trials(records))[:best]]
    runs = [Run(r.params, seed + FIRST_SEED + i, r.started_from) for i in range(seeds) for r in firsts]
    return [run for run in runs if run not in had]
