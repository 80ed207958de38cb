"""What Ray Tune does of a search, done here: a trial after the other, by the same searcher and scheduler."""

from types import SimpleNamespace
from typing import Any

import pytest

from humtune.ledger import Ledger
from humtune.plan import Resources
from humtune.search import run
from humtune.search.actor import DetectorTrial
from humtune.search.space import planned_space
from humtune.search.stop import Interruption, Stop
from humtune.search.studies import Studies
from humtune.search.tune import MachineSearcher, StudyScheduler


class Loop:
    """In the place of a Tuner."""

    def __init__(
        self, studies: Studies, resources: Resources, *, interruption: Interruption | None = None, **_: Any
    ) -> None:
        self.searcher, self.scheduler = MachineSearcher(studies, cpus=resources.cpus), StudyScheduler(studies)
        self.stop = Stop(studies.ledger, interruption or Interruption())

    def fit(self) -> None:
        while not self.stop.stop_all() and isinstance(config := self.searcher.suggest(""), dict):
            self.train(SimpleNamespace(config=config))

    def train(self, trial: SimpleNamespace) -> None:
        self.scheduler.on_trial_add(None, trial)
        actor = DetectorTrial(trial.config)
        while not (result := actor.step())["done"]:
            if self.scheduler.on_trial_result(None, trial, result) == StudyScheduler.STOP:
                return
        self.scheduler.on_trial_complete(None, trial, result)


def studies_of(ledger: Ledger) -> Studies:
    """The studies of a search as a run that takes it over has them."""
    ledger.take_lease()
    return Studies(ledger, planned_space(ledger.plan))


def search(ledger: Ledger) -> Studies:
    """Run what is left of a search; its studies at the end."""
    studies = studies_of(ledger)
    Loop(studies, ledger.plan.asked.resources).fit()
    return studies


def search_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let searches run without Ray: its processes take longer to start than small trials to train."""
    monkeypatch.setattr(run, "connect", lambda address: False)
    monkeypatch.setattr(run, "check_shared", lambda ledger: None)
    monkeypatch.setattr(run, "calibrated", lambda ledger, clock: ledger.plan)
    monkeypatch.setattr(run.ray, "cluster_resources", lambda: {"CPU": 1.0})
    monkeypatch.setattr(run, "tuner", Loop)
