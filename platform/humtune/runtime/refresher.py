"""What is made of results, made again while more arrive."""

import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from humtune.errors import HumtuneError

PAUSE = 2.0  # seconds between two times, at least
SHARE = 0.05  # of the time that goes into it, at most


class Refresher(Thread):
    """A thread that does some work after news, seldom enough that it takes little of the time."""

    def __init__(self, work: Callable[[], Any], warn: Callable[[str], Any]) -> None:
        """`warn` gets what goes wrong, the same only once."""
        super().__init__(daemon=True)
        self._work, self._warn = work, warn
        self._news, self._ended = Event(), Event()
        self._warned = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._news.set()
        if self.ident is not None:
            self.join()

    def news(self) -> None:
        """There is something new; the first starts the thread."""
        self._news.set()
        if self.ident is None:
            self.start()

    def run(self) -> None:
        """Work after news, till the end."""
        while self._news.wait() and not self._ended.is_set():
            self._news.clear()
            began = time.monotonic()
            try:
                self._work()
            except Exception as error:  # it must not end in silence
                expected = isinstance(error, HumtuneError | OSError)
                line = str(error) if expected else f"{type(error).__name__}: {error}"
                if line != self._warned:
                    self._warned = line
                    self._warn(line)
            self._ended.wait(max(PAUSE, (time.monotonic() - began) / SHARE))
