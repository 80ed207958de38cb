"""What ends a search from outside is noticed, whatever the computer's clock does."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher

from humtune.ledger import Ledger
from humtune.search.interruption import Interruption
from humtune.search.scheduler import StudyScheduler
from humtune.search.searcher import MachineSearcher
from humtune.search.stop import Stop, request_stop


@pytest.mark.parametrize("jump", [-3_600.0, 86_400.0])
def test_a_wish_to_stop_is_seen_though_the_clock_jumps(
    on_disk: Any, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    ledger = on_disk().ledger
    ledger.begin_sitting()
    monkeypatch.setattr(Stop, "SECONDS", 0.05)
    stop = Stop(ledger, Interruption())
    request_stop(ledger)
    now = time.time()
    for module in ("time.time", "humtune.search.stop.time"):
        monkeypatch.setattr(module, lambda: now + jump, raising=False)
    time.sleep(0.1)
    assert stop.stop_all()


def test_a_sitting_that_lost_its_trials_to_another_asks_for_no_more(on_disk: Any) -> None:
    """Tune would wait ten minutes for the next trial, and ask nobody meanwhile whether to end."""
    search = on_disk()
    search.ledger.begin_sitting()
    studies = search.studies()
    scheduler, searcher = StudyScheduler(studies), MachineSearcher(studies, cpus=1.0)
    asked = searcher.suggest("a")
    assert isinstance(asked, dict)
    Ledger(search.ledger.storage, search.ledger.name).begin_sitting()
    trial = SimpleNamespace(config=asked)
    scheduler.on_trial_complete(None, trial, {"done": True, "reason": "it goes on elsewhere"})
    assert searcher.suggest("b") == Searcher.FINISHED
    assert search.ledger.find(asked["trial"]) is None
