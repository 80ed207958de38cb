"""Alarms: a command of the user's is run for recordings above the limit, beside the scoring."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Self

from humtune.errors import UsageError
from humtune.runtime.info import ModelInfo
from humtune.runtime.outcomes import Scored

EVERY = 60.0  # seconds from one command to the next, at least
PATIENCE = 30.0  # seconds that a command may take


class Alarms(Thread):
    """A thread that runs a command for each alarm, without a shell, one at a time and seldom enough.

    The command has HUMTUNE_PATH, _SCORE, _LIMIT, _TIMES_LIMIT (empty where the model doesn't tell what is
    usual), _MACHINE and _HELD_BACK in its environment. Alarms that come too soon after a command are held
    back: when its time has come one is run for the strangest of them, with the number of the others. At the
    end that time is not waited for. All that is kept is the strangest and a number.
    """

    def __init__(
        self,
        command: str,
        info: ModelInfo,
        warn: Callable[[str], Any],
        *,
        every: float = EVERY,
        patience: float = PATIENCE,
    ) -> None:
        """`warn` gets a line for each command that failed; UsageError for a command that can't be one."""
        super().__init__(daemon=True)
        self._words, self._info, self._warn = _words(command), info, warn
        self._every, self._patience = every, patience
        self._changed = Condition()
        self._strangest: Scored | None = None
        self._waiting = 0
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self.ident is not None:
            self.join()

    def add(self, scored: Scored) -> None:
        """There is an alarm; the first starts the thread."""
        with self._changed:
            self._waiting += 1
            if self._strangest is None or scored.strangeness > self._strangest.strangeness:
                self._strangest = scored
            self._changed.notify()
        if self.ident is None:
            self.start()

    def run(self) -> None:
        """Run commands, till the end."""
        due = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                self._changed.wait_for(lambda: self._ended, max(0.0, due - time.monotonic()))
                scored, waiting = self._strangest, self._waiting
                self._strangest, self._waiting = None, 0
            if scored is None:
                return
            due = time.monotonic() + self._every
            if failure := self._run(scored, waiting - 1):
                self._warn(f"--on-alarm {self._words[0]}: {failure}, for {scored.path}")

    def _run(self, scored: Scored, held_back: int) -> str | None:
        """Run the command; why it failed, where it did. What it prints goes to standard error."""
        times = scored.times_limit
        said = {
            "PATH": os.path.abspath(scored.path),  # noqa: PTH100 - links stay as they are
            "SCORE": f"{scored.score:.6g}",
            "LIMIT": f"{scored.scale.limit:.6g}",
            "TIMES_LIMIT": "" if times is None else f"{times:.2f}",
            "MACHINE": self._info.machine,
            "HELD_BACK": str(held_back),
        }
        environment = os.environ | {f"HUMTUNE_{name}": value for name, value in said.items()}
        try:
            process = subprocess.Popen(
                self._words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=2,
                start_new_session=True,  # Ctrl-C is for the scoring
            )
        except OSError as error:
            return f"can't be run ({error.strerror or error})"
        try:
            code = process.wait(self._patience)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            process.wait()
            return f"ended after {self._patience:g} s, it should take less"
        return f"exit code {code}" if code else None


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--on-alarm {command}: can't be split into words ({error})") from error
    if not words or shutil.which(words[0]) is None:
        raise UsageError(f"--on-alarm {command}: no program that can be run; name one by its path")
    return words
