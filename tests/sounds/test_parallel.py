import io
import re
import threading
import time

import pytest
from rich.console import Console
from waiting import wait_for

from humtune.sounds import parallel
from humtune.sounds.parallel import byte_progress, in_order, map_in_order, tracked


def test_results_come_in_order():
    second = threading.Event()

    def slow_first(i: int) -> int:
        if i == 0:
            assert second.wait(60)
        elif i == 1:
            second.set()
        return i * i

    assert list(map_in_order(slow_first, range(100), title="", workers=2)) == [i * i for i in range(100)]


def test_a_slow_consumer_is_not_run_ahead_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1})
    started = []
    results = map_in_order(started.append, range(1000), title="")
    for done in range(1, 6):
        next(results)
        wait_for(lambda so_far=done: len(started) >= so_far + 7)  # what there is room for
        assert len(started) <= done + 8
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


@pytest.mark.parametrize("terminal", [False, True])
def test_a_title_is_no_markup(monkeypatch: pytest.MonkeyPatch, terminal: bool):
    """A file's name may be in it."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=200)
    monkeypatch.setattr(parallel, "_console", lambda: console)
    monkeypatch.setattr(parallel, "_QUIET", 0.0)
    assert list(tracked("abc", total=3, title="[red]odd[/x].wav")) == ["a", "b", "c"]
    assert "[red]odd[/x].wav" in screen.getvalue()


def test_short_work_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys):
    assert parallel._QUIET == 2.0  # seconds
    monkeypatch.setattr(parallel, "_QUIET", 3600.0)
    assert list(tracked("abc", total=3, title="fan: reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_without_a_known_end_progress_counts(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(parallel, "_QUIET", 0.0)
    assert list(tracked("abc", total=None, title="fan: reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "fan: reading: 1\n"


def test_results_do_not_wait_for_items_that_come_slowly():
    more = threading.Event()

    def items():
        yield 1
        more.wait(60)
        yield 2

    results = in_order(lambda i: -i, items())
    assert next(results) == -1
    more.set()
    assert list(results) == [-2]


def test_an_error_of_the_items_is_told():
    def items():
        yield 1
        raise ValueError("no more")

    results = in_order(lambda i: -i, items())
    assert next(results) == -1
    with pytest.raises(ValueError, match="no more"):
        next(results)


def test_work_hears_that_its_results_are_not_wanted_any_more():
    ended = threading.Event()
    results = in_order(lambda i: i if i == 0 else ended.wait(60), range(3), workers=2, ended=ended)
    assert next(results) == 0
    results.close()  # waits for what was begun
    assert ended.is_set()


def test_without_a_terminal_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert parallel._QUIET == 2.0  # seconds
    monkeypatch.setattr(parallel, "_QUIET", 3600.0)
    with byte_progress("dev_fan.zip", total=2_000_000) as show:
        show(1)
    assert capsys.readouterr().err == "", "what is over sooner says nothing"
    monkeypatch.setattr(parallel, "_QUIET", 0.0)
    with byte_progress("dev_fan.zip", total=2_000_000) as show:
        show(500_000)
        show(600_000)
    assert capsys.readouterr().err == "dev_fan.zip: 500.0 kB of 2.0 MB\n"


def test_on_a_terminal_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with byte_progress("dev_fan.zip", total=2_000_000) as show:
        show(500_000)  # was there before
        show(1_000_000)
        show(0)  # thrown away
        show(1_500_000)
    assert "dev_fan.zip" in (shown := capsys.readouterr().err)
    assert "1.5/2.0 MB" in shown


def test_what_can_not_tell_how_far_it_is_says_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parallel, "_console", lambda: Console(stderr=True))
    with parallel.waiting("soon over"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(parallel, "_QUIET", 0.01)
    with parallel.waiting("long [work]"):
        time.sleep(0.1)  # ten times as long as it may be quiet
    assert capsys.readouterr().err == "long [work]: 0 s so far\n"


@pytest.mark.parametrize("begin", ["tracked", "waiting", "byte_progress"])
def test_a_name_that_does_not_fit_a_terminal_is_cut_in_its_middle(
    monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    monkeypatch.setattr(parallel, "_console", lambda: console)
    monkeypatch.setattr(parallel, "console", lambda **_: console)
    title = f"windows of monday {'x' * 200} 2026-11-07.wav"
    match begin:
        case "tracked":
            assert list(tracked("ab", total=2, title=title)) == ["a", "b"]
        case "waiting":
            with parallel.waiting(title):
                pass
        case _:
            with byte_progress(title, total=2_000_000) as show:
                show(1_000_000)
    assert re.search(r"windows[^\n]*…[^\n]*7\.wav", screen.getvalue())
    assert "x" * 80 not in screen.getvalue()


@pytest.mark.parametrize("kind", ["tracked", "byte_progress"])
def test_what_stands_still_is_a_line_each_minute_in_a_log(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The second step ends only after a line has come while it took so long."""
    assert parallel._MINUTE == 60.0
    monkeypatch.setattr(parallel, "_MINUTE", 0.01)
    monkeypatch.setattr(parallel, "_QUIET", 3600.0)
    screen = Console(file=io.StringIO(), width=80)
    monkeypatch.setattr(parallel, "_console", lambda: screen)
    monkeypatch.setattr(parallel, "console", lambda **_: screen)
    if kind == "tracked":
        for item in tracked(range(2), total=2, title="fan: reading"):
            if item:
                wait_for(lambda: "fan: reading: 1 of 2\n" in screen.file.getvalue())
    else:
        with byte_progress("fan: reading", total=2_000_000) as show:
            show(1_000_000)
            wait_for(lambda: "fan: reading: 1.0 MB of 2.0 MB\n" in screen.file.getvalue())
