"""Waits of tests: for a condition, never for a time that must be long enough; and ports to wait at."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 300.0  # seconds, on a computer that has a lot else to do; what comes sooner is not waited for


def wait_for(holds: Callable[[], object], what: str = "it", *, seconds: float = PATIENCE) -> None:
    """Look at a condition until it holds; an AssertionError where it doesn't in time."""
    end, pause = time.monotonic() + seconds, 0.005
    while not holds():
        assert time.monotonic() < end, f"{what} did not happen in {seconds:g} s"
        time.sleep(pause)
        pause = min(1.5 * pause, 0.2)  # what takes long is not slowed down by looking


def send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal and wait until the process has taken it: two that wait together are one to the kernel."""
    process.send_signal(number)
    status, bit = Path(f"/proc/{process.pid}/status"), 1 << (number - 1)

    def taken() -> bool:
        held = {key: value for key, _, value in (s.partition(":") for s in status.read_text().splitlines())}
        return not (int(held["ShdPnd"], 16) | int(held["SigPnd"], 16)) & bit

    if status.exists():  # not on every system
        wait_for(taken, f"the taking of {number.name}")


def free_port() -> int:
    """A port of this computer that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
