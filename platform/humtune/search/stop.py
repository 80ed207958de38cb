"""What ends a search before its trials are through: a wish, a signal, another sitting, a Ray that died."""

from time import monotonic

import ray
from ray import tune

from humtune.errors import Superseded
from humtune.ledger import Ledger
from humtune.search.interruption import Interruption


class LeaveTune(BaseException):
    """Ends a Tune run at once: it would wait for epochs that nobody wants, or for a Ray that is no more.

    Tune cleans up after an Exception, which takes as long as what it waits for.
    """


def dead_ray_process() -> str:
    """Which of the processes that make up a Ray that was started here has died; nothing where none has."""
    node = ray._private.worker._global_node  # the public API hears of it half a minute later, if at all
    vital = {"raylet", "gcs_server"}
    return next((kind for kind, _ in node.dead_processes() if kind in vital), "") if node else ""


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
            self.ledger.check_sitting()
            return self.ledger.storage.exists(self.ledger.layout.stop)
        except Superseded:
            return True
        except OSError:  # a storage that is away for a moment is no wish to end
            return False


def request_stop(ledger: Ledger) -> None:
    """Ask a running search to end cleanly; it can be resumed."""
    ledger.storage.write(ledger.layout.stop, b"")


def withdraw_stop(ledger: Ledger) -> None:
    """Forget an earlier wish that the search should end."""
    ledger.storage.delete(ledger.layout.stop)
