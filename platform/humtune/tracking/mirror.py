"""Keep MLflow up to date while a search runs, without ever standing in its way."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from humtune.ledger import Ledger
from humtune.names import command, count
from humtune.sounds.parallel import waiting
from humtune.tracking.sync import Tracker

_LONGEST_WAIT = 60.0  # seconds between two tries while MLflow is away


class Mirror:
    """Syncs a ledger to MLflow every `interval` seconds in a background thread.

    MLflow may be away, slow or full: `warn` is called once, and once when it is back; nothing is raised.
    `close` makes a last sync, waits for it no longer than `patience` seconds, and says what is left.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        uri: str | None = None,
        interval: float = 5.0,
        patience: float = 60.0,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._ledger, self._uri = ledger, uri
        self._interval, self.patience = interval, patience
        self._warn = warn or logging.getLogger("humtune").warning
        self._tracker: Tracker | None = None
        self._failing = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="humtune-mlflow", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with waiting("bringing MLflow up to date"):
            self.close()

    def close(self) -> int:
        """Make the last sync; how many trials MLflow is behind by."""
        self._closing.set()
        self._thread.join(self.patience)
        if not (self._failing or self._thread.is_alive()):
            return 0
        behind = self._tracker.behind() if self._tracker else sum(1 for _ in self._ledger.records())
        if behind:
            trials = count(behind, "trial")
            self._warn(f"MLflow is behind by {trials}: {command('track', self._ledger.name)}")
        return behind

    def _run(self) -> None:
        wait, closing = self._interval, False
        while not closing:
            closing = self._closing.wait(wait)
            wait = self._interval if self._try(closing) else min(2 * wait, _LONGEST_WAIT)

    def _try(self, closing: bool) -> bool:
        try:
            self._tracker = self._tracker or Tracker(self._ledger, uri=self._uri)
            self._tracker.sync(ends=closing)
        except Exception as error:  # whatever it is, the search goes on
            if not self._failing:
                self._warn(f"{error or type(error).__name__}; the search goes on, its record is kept")
            self._failing = True
            return False
        if self._failing:
            self._warn("MLflow is back and up to date")
        self._failing = False
        return True
