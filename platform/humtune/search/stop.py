"""What ends a search before its trials are through: a wish, a signal, another run, a Ray that died."""

import os
import signal
import socket
import sys
import threading
from time import monotonic
from types import TracebackType
from typing import Any, Self

import ray
from ray import tune

from humtune.errors import Superseded
from humtune.ledger import Ledger
from humtune.search.clock import Clock

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h"


class Interruption:
    """Catches SIGINT and SIGTERM while it is entered; the second one ends the process at once.

    A thread listens: Python's handlers wait until the main thread is back from whatever it has called, which
    may be a storage that hangs, and by then two signals are one. Ray's own processes end with their driver.
    Away from the main thread, where Python takes no signals, nothing is caught. It also comes by itself, when
    the time of a clock is over.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.signal: int | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._sender: socket.socket | None = None

    def __reduce__(self) -> tuple[type["Interruption"], tuple[()]]:
        return Interruption, ()  # Tune keeps a copy of what it is given, and handlers belong to a process

    @property
    def asked(self) -> bool:
        """Whether the search was asked to end, or its time is over."""
        return self.signal is not None or self.is_over

    @property
    def is_over(self) -> bool:
        """Whether it is the clock that ends the search."""
        return self.signal is None and self.clock.is_over

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that ended so: 130 after Ctrl-C; 0 where nothing came."""
        return 128 + self.signal if self.signal else 0

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            receiver, self._sender = socket.socketpair()
            self._sender.setblocking(False)
            self._fd_before = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._listen, args=(receiver,), daemon=True).start()
            self.take_signals()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._sender:
            signal.set_wakeup_fd(self._fd_before)
            self._sender.close()

    def take_signals(self) -> None:
        """Take the signals, where this is entered; again, where a library has taken them since."""
        if self._sender:
            for number in SIGNALS:
                before = signal.signal(number, lambda *_: None)
                self._before.setdefault(number, before)

    def _listen(self, receiver: socket.socket) -> None:
        """Read the number of each signal as it comes, until the other end is closed."""
        with receiver:
            while number := receiver.recv(1):
                self._catch(number[0])

    def _catch(self, number: int) -> None:
        if number not in SIGNALS:
            return
        if self.signal is not None:
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), SHOW_CURSOR.encode())  # a live table hides it
            os._exit(128 + number)
        self.signal = number


class LeaveTune(BaseException):
    """Ends a Tune run at once: it would wait for epochs that nobody wants, or for a Ray that is no more.

    Tune cleans up after an Exception, which takes as long as what it waits for.
    """


class Stop(tune.Stopper):  # type: ignore[misc]
    """Ends the run when `humtune stop` has left its mark in the storage, by a signal, or when taken over."""

    SECONDS = 2.0

    def __init__(self, ledger: Ledger, interruption: Interruption) -> None:
        self.ledger = ledger
        self.interruption = interruption
        self.looked = monotonic()  # clocks are set back now and then

    def __call__(self, trial_id: str, result: dict[str, object]) -> bool:
        """No trial is stopped by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether the search should end; the storage is looked at every few seconds."""
        if self.interruption.asked:
            raise LeaveTune
        if monotonic() - self.looked < self.SECONDS:
            return False
        self.looked = monotonic()
        if dead_ray_process():
            raise LeaveTune
        try:
            self.ledger.check_lease()
            return self.ledger.is_asked_to_stop
        except Superseded:
            return True
        except OSError:  # a storage that is away for a moment is no wish to end
            return False


def dead_ray_process() -> str:
    """Which of the processes that make up a Ray that was started here has died; nothing where none has."""
    node = ray._private.worker._global_node  # the public API knows of it half a minute later, if at all
    vital = {"raylet", "gcs_server"}
    return next((kind for kind, _ in node.dead_processes() if kind in vital), "") if node else ""
