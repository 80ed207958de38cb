"""Ctrl-C: a search ends within seconds, with the table so far and the command that goes on with it."""

import os
import pty
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE, send, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = ("--slots", "1", "--no-compile")  # one process for trials, and no compiler to wait for
NOISE = ("Traceback", "Tune", "tune_controller", "KeyboardInterrupt", "WARNING", "ERROR")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_ready: Callable[[Path], Path]) -> Any:
    """A drill's folder of recordings and its way to start searches."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from drill_search import Drill, record_machines

    record_machines(tmp_path)
    drill = Drill(tmp_path)
    mlflow_ready(drill.storage)
    return drill


def ended(made: Any) -> list[str]:
    return [r.id for r in made.ledger("drill-0").records() if r.ended]


def test_a_log_ends_with_the_best_so_far_and_how_to_go_on(made: Any) -> None:
    """After a SIGTERM to all of its processes; a terminal's SIGINT comes below."""
    run = made.begin(*SMALL, seed=0, trials=40, epochs=4)
    wait_for(lambda: ended(made))
    os.killpg(run.process.pid, signal.SIGTERM)
    assert run.process.wait(PATIENCE) == 128 + signal.SIGTERM
    said = run.log.read_text()
    assert "fan" in said
    assert "│ trial" in said or "┃ trial" in said
    assert "trials left: humtune resume drill-0" in said
    assert not [word for word in NOISE if word in said], said
    wait_for(lambda: not run.processes())
    left = {r.id: r for r in made.ledger("drill-0").records() if r.ended}
    assert left
    assert all(record.state in ("complete", "pruned") for record in left.values())


def test_a_second_one_ends_at_once(made: Any) -> None:
    from drill_search import Kind

    run = made.begin(*SMALL, seed=0, trials=40, epochs=4)
    wait_for(lambda: ended(made))
    send(run.process, signal.SIGINT)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(PATIENCE) == 130
    assert "are left" not in run.log.read_text()
    wait_for(lambda: not run.pids(Kind.WORKER))
    made.clear(run)  # Ray's agents notice by themselves, a minute later


def test_on_a_terminal_the_table_stays(made: Any) -> None:
    from drill_search import write_space

    space = write_space(made.folder, seed=0, trials=40, epochs=4)
    words = ["search", str(space), "--data", str(made.folder / "data"), "--name", "drill-0", *SMALL]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["COLUMNS"] = "120"
        os.execv(
            sys.executable,
            [sys.executable, "-m", "humtune.cli.main", *words, "--storage", str(made.storage)],
        )
    os.set_blocking(terminal, False)
    shown = bytearray()

    def read() -> None:
        try:
            while chunk := os.read(terminal, 1 << 16):
                shown.extend(chunk)
        except OSError:  # nothing there now, or the other end is closed
            return

    def ended_while_reading() -> bool:
        read()
        return bool(ended(made))

    wait_for(ended_while_reading)
    os.write(terminal, b"\x03")  # the terminal makes it a SIGINT to all of its foreground processes

    def is_over() -> bool:
        read()
        over, status = os.waitpid(pid, os.WNOHANG)
        if over:
            assert os.waitstatus_to_exitcode(status) == 130
        return bool(over)

    wait_for(is_over)
    read()
    assert b"\x1b[?25h" in shown[shown.rindex(b"drill-0") - 2000 :]  # the cursor is back
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    last = text[text.rindex("drill-0: ") :]
    assert "fan" in last
    assert "valve" in last
    assert "trials left: humtune resume drill-0" in last
    assert not [word for word in NOISE if word in text], text
