import threading
import time

import pytest

from humtune.sounds import parallel
from humtune.sounds.parallel import map_in_order, tracked


def test_results_come_in_order():
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i == 0 else 0)
        return i * i

    assert list(map_in_order(slow_first, range(100), title="squares")) == [i * i for i in range(100)]


def test_a_slow_consumer_is_not_run_ahead_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1})
    started = []
    results = map_in_order(started.append, range(1000), title="")
    next(results)
    time.sleep(0.1)
    assert len(started) <= 10
    results.close()


def test_an_error_ends_the_work():
    def fail(i: int) -> int:
        if i == 3:
            raise ValueError("three")
        return i

    before = threading.active_count()
    with pytest.raises(ValueError, match="three"):
        list(map_in_order(fail, range(1000), title=""))
    assert threading.active_count() == before


def test_without_a_terminal_progress_is_plain_lines(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(parallel, "_QUIET", 0.0)
    assert list(tracked("abc", total=3, title="fan: reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "fan: reading: 1 of 3\n"


def test_short_work_says_nothing(capsys):
    assert list(tracked("abc", total=3, title="fan: reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
