"""Work that is done again while there is news."""

import pytest
from waiting import wait_for

from humtune.errors import UsageError
from humtune.runtime import refresher
from humtune.runtime.refresher import Refresher


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(refresher, "PAUSE", 0.001)


def test_news_are_worked_off_and_without_any_nothing_is_done():
    done = []
    with Refresher(lambda: done.append(1), done.append):
        pass
    assert done == []
    with Refresher(lambda: done.append(1), done.append) as made:
        made.news()
        wait_for(lambda: len(done) == 1)
        made.news()
        wait_for(lambda: len(done) == 2)


def test_what_goes_wrong_is_told_once_and_tried_again():
    told, tries = [], []

    def fail():
        tries.append(1)
        if len(tries) > 5:
            raise ValueError("not foreseen")
        raise UsageError("the disk is full") if len(tries) < 4 else OSError(13, "not allowed")

    with Refresher(fail, told.append) as made:
        for count in range(1, 8):
            made.news()
            wait_for(lambda count=count: len(tries) == count)
        wait_for(lambda: len(told) == 3)
    assert told == ["the disk is full", "[Errno 13] not allowed", "ValueError: not foreseen"]


def test_it_ends_though_it_waits(monkeypatch):
    monkeypatch.setattr(refresher, "PAUSE", 1_000.0)
    done = []
    with Refresher(lambda: done.append(1), done.append) as made:
        made.news()
        wait_for(lambda: done)
    assert not made.is_alive()
