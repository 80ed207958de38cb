"""A time limit for work that may never come back."""

import faulthandler
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

GRACE = 60.0  # seconds after which the process ends without a last word: its interpreter hangs as a whole
STDERR = 2


class Watchdog:
    """Ends this process where the block that it guards takes longer than so many seconds.

    `last_word` is called first, from another thread, with the block still at work; whatever it raises is
    lost. A hang that holds the interpreter's lock lets no thread speak: `GRACE` seconds later the process
    ends all the same.
    """

    def __init__(self, seconds: float, last_word: Callable[[], object]) -> None:
        self.seconds = min(max(seconds, 0.0), threading.TIMEOUT_MAX - GRACE)
        self.last_word = last_word
        self._lock = threading.Lock()
        self._over = False
        self._timer = threading.Timer(self.seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        faulthandler.dump_traceback_later(self.seconds + GRACE, exit=True, file=STDERR)
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:  # either the block is done in time, or the last word is: never both
            self._over = True
        self._timer.cancel()
        faulthandler.cancel_dump_traceback_later()

    def _end(self) -> None:
        with self._lock:
            if self._over:
                return
            with suppress(BaseException):
                self.last_word()
            os._exit(1)
