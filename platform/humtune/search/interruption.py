"""Ctrl-C and a polite kill: a search that is asked to end does so cleanly, once."""

import os
import signal
import socket
import sys
import threading
from types import TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h"


class Interruption:
    """Hears SIGINT and SIGTERM while it is entered; the second one ends the process at once.

    A thread listens: Python's handlers wait until the main thread is back from whatever it has called, which
    may be a storage that hangs, and by then two signals are one. Ray's own processes end with their driver.
    Away from the main thread, where Python takes no signals, nothing is heard.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._mouth: socket.socket | None = None

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
        if threading.current_thread() is threading.main_thread():
            ear, self._mouth = socket.socketpair()
            self._mouth.setblocking(False)
            self._fd_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._listen, args=(ear,), daemon=True).start()
            self.take_signals()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._mouth:
            signal.set_wakeup_fd(self._fd_before)
            self._mouth.close()

    def take_signals(self) -> None:
        """Take the signals, where this is entered; again, where a library has taken them since."""
        if self._mouth:
            for number in SIGNALS:
                before = signal.signal(number, lambda *_: None)
                self._before.setdefault(number, before)

    def _listen(self, ear: socket.socket) -> None:
        """Hear the number of each signal as it comes, until the other end is closed."""
        with ear:
            while heard := ear.recv(1):
                self._hear(heard[0])

    def _hear(self, number: int) -> None:
        if number not in SIGNALS:
            return
        if self.asked:
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), SHOW_CURSOR.encode())  # a live table hides it
            os._exit(128 + number)
        self.signal = number
