"""The watchdog: it lets quick work be, and ends a process that hangs, with a last word where it can."""

import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE

from humtune.search.watchdog import Watchdog

HANG = """
import sys, time
from pathlib import Path
from humtune.search import watchdog

watchdog.GRACE = 0.3
def last_word():
    Path(sys.argv[1]).write_text("too late")
    {word}
with watchdog.Watchdog(0.2, last_word):
    {work}
print("survived")
"""


def hang(folder: Path, *, work: str, word: str = "pass") -> subprocess.CompletedProcess[str]:
    script = HANG.format(work=work, word=word)
    command = [sys.executable, "-c", script, str(folder / "word")]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def test_work_that_hangs_ends_its_process_after_a_last_word(tmp_path: Path) -> None:
    done = hang(tmp_path, work="time.sleep(3600)")
    assert (done.returncode, done.stdout) == (1, "")
    assert (tmp_path / "word").read_text() == "too late"


def test_a_last_word_that_fails_ends_the_process_all_the_same(tmp_path: Path) -> None:
    done = hang(tmp_path, work="time.sleep(3600)", word="raise OSError(28, 'No space left on device')")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_hang_that_lets_no_thread_run_ends_without_a_word(tmp_path: Path) -> None:
    """A regular expression that backtracks for ever holds the interpreter's lock."""
    done = hang(tmp_path, work="__import__('re').match('(a+)+b', 40 * 'a')")
    assert (done.returncode, done.stdout) == (1, "")
    assert not (tmp_path / "word").exists()
    assert "Timeout" in done.stderr


def test_work_that_is_done_in_time_is_let_be() -> None:
    said: list[str] = []
    with Watchdog(3600.0, lambda: said.append("too late")):
        pass
    assert said == []


def test_an_error_in_the_work_is_the_works_own() -> None:
    with pytest.raises(KeyError), Watchdog(1e12, lambda: None):
        raise KeyError("typo")
