"""What ends a search from outside is noticed, whatever the computer's clock does."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher
from waiting import PATIENCE, send, wait_for

from humtune.ledger import Ledger
from humtune.search.clock import Clock
from humtune.search.stop import Interruption, Stop
from humtune.search.tune import MachineSearcher, StudyScheduler


@pytest.mark.parametrize("jump", [-3_600.0, 86_400.0])
def test_a_wish_to_stop_is_seen_though_the_clock_jumps(
    on_disk: Any, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    ledger = on_disk().ledger
    ledger.take_lease()
    monkeypatch.setattr(Stop, "SECONDS", 0.05)
    stop = Stop(ledger, Interruption())
    ledger.request_stop()
    now = time.time()
    for module in ("time.time", "humtune.search.stop.time"):
        monkeypatch.setattr(module, lambda: now + jump, raising=False)
    time.sleep(0.1)
    assert stop.stop_all()


def test_a_run_that_lost_its_trials_to_another_asks_for_no_more(on_disk: Any) -> None:
    """Tune would wait ten minutes for the next trial, and ask nobody meanwhile whether to end."""
    search = on_disk()
    search.ledger.take_lease()
    studies = search.studies()
    scheduler, searcher = StudyScheduler(studies), MachineSearcher(studies, cpus=1.0)
    asked = searcher.suggest("a")
    assert isinstance(asked, dict)
    Ledger(search.ledger.storage, search.ledger.name).take_lease()
    trial = SimpleNamespace(config=asked)
    scheduler.on_trial_complete(None, trial, {"done": True, "reason": "it goes on elsewhere"})
    assert searcher.suggest("b") == Searcher.FINISHED
    assert search.ledger.find(asked["trial"]) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_wish_and_nothing_more(number: signal.Signals) -> None:
    with Interruption() as interruption:
        os.kill(os.getpid(), number)
        wait_for(lambda: interruption.asked)
    assert interruption.exit_code == 128 + number


def test_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a library does
        interruption.take_signals()
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1
    assert not interruption.asked
    assert interruption.exit_code == 0


def test_another_signal_is_none_of_its_business() -> None:
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGTERM)  # a first one, after which nothing of before can still come
            wait_for(lambda: interruption.asked)
        assert interruption.signal == signal.SIGTERM
        assert heard
    finally:
        signal.signal(signal.SIGUSR1, before)


BUSY = """
import hashlib
from humtune.search.clock import Clock
from humtune.search.stop import Interruption
with Interruption():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2 * 10**9)  # C that lets no handler of Python's run
"""


def test_two_ends_a_process_that_is_deep_in_something_else() -> None:
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
    assert process.stdout
    with process:
        assert process.stdout.readline() == b"ready\n"
        send(process, signal.SIGINT)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


def test_time_is_over_once_there_is_enough() -> None:
    found: list[str] = []
    limit = Interruption(Clock(0.0, lambda: bool(found)))
    assert not limit.asked
    found.append("a trial")
    assert limit.asked
    assert limit.is_over
    assert limit.signal is None
    assert limit.exit_code == 0
    assert not Interruption(Clock(3600.0)).asked


def test_one_signal_ends_a_search_cleanly_though_its_time_is_over() -> None:
    limit = Interruption(Clock(0.0))
    limit._catch(signal.SIGTERM)  # a second one would end this process
    assert limit.asked
    assert not limit.is_over
    assert limit.exit_code == 143
