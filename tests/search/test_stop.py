"""What ends a search from outside is noticed, whatever the computer's clock does."""

import time
from typing import Any

import pytest

from humtune.search.interruption import Interruption
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
