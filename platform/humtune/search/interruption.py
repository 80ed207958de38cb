"""Ctrl-C and a polite kill: a search that is asked to end does so cleanly, once."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h"


class Interruption:
    """Hears SIGINT and SIGTERM while it is entered; the second one ends the process at once.

    Ray's own processes then end too: they share their driver's fate. Away from the main thread, where Python
    hears no signals, nothing changes.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __reduce__(self) -> tuple[type["Interruption"], tuple[()]]:
        return Interruption, ()  # Tune keeps a copy of what it is given, and handlers belong to a process

    @property
    def asked(self) -> bool:
        """Whether the search was asked to end."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that ended so: 130 after Ctrl-C; 0 where nothing came."""
        return 128 + self.signal if self.signal else 0

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals; again, where a library has taken them since."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.signal(number, self._hear)
                self._before.setdefault(number, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), SHOW_CURSOR.encode())  # a live table hides it
            os._exit(128 + number)
        self.signal = number
