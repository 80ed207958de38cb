"""How a watch tells that it is one: what is watched, and once a minute that it goes on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from humtune.cli.scored import Teller
from humtune.names import count
from humtune.runtime.outcomes import Tally

PERIOD = 60.0  # seconds between two heartbeats


@contextmanager
def told(teller: Teller, tally: Tally, folder: Path, *, known: int, period: float = PERIOD) -> Iterator[None]:
    """Tell what is watched and, where there is no terminal, how far it is, every `period` seconds.

    `known` recordings need no scoring: the log has them.
    """
    threshold = teller.info.threshold
    teller.warn(
        f"watching {folder} for {teller.info.machine} since {_now()}; the limit is {threshold.value:.6g} "
        f"({threshold.false_alarms:.2%} false alarms wanted)"
        + (f"; not scored again: {count(known, 'recording')} that the log has" if known else "")
    )
    ended = Event()

    def beat() -> None:
        while not ended.wait(period):
            teller.warn(f"{_now()}: {_state(tally)}")

    heart = Thread(target=beat, daemon=True)
    if not teller.errors.is_terminal:
        heart.start()
    try:
        yield
    finally:
        ended.set()
        if heart.ident is not None:
            heart.join()


def _state(tally: Tally) -> str:
    state = f"{tally.scored} scored, {tally.anomalies} above the limit, {tally.failed} not scored"
    if tally.last is None:
        return state
    when, path = tally.last
    return f"{state}; the last one at {_clock(when)}, {path}"


def _now() -> str:
    return _clock(time.time())


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
