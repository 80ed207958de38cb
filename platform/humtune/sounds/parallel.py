"""Work on many files at once, in order, with progress on the screen."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
R = TypeVar("R")

_QUIET = 2.0  # seconds before a first line without a terminal
_PERIOD = 10.0  # seconds between two of them


def map_in_order(
    function: Callable[[T], R], items: Sequence[T], *, title: str, workers: int | None = None
) -> Iterator[R]:
    """Yield function(item) for every item, in order, computed by `workers` threads; None: one a core."""
    results = in_order(function, items, workers=workers or _cores())
    yield from tracked(results, total=len(items), title=title)


def in_order(function: Callable[[T], R], items: Iterable[T], *, workers: int) -> Iterator[R]:
    """The same without a word.

    Only a few results are ever held, so that a slow consumer doesn't fill the memory.
    """
    pool = ThreadPoolExecutor(workers)
    source = iter(items)
    try:
        waiting: deque[Future[R]] = deque(pool.submit(function, item) for item in islice(source, 4 * workers))
        while waiting:
            result = waiting.popleft().result()
            for item in islice(source, 1):
                waiting.append(pool.submit(function, item))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def tracked(items: Iterable[T], *, total: int, title: str) -> Iterator[T]:
    """Pass items on and show how far they are: a bar on a terminal, now and then a line elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            yield from progress.track(items, total=total, description=title)
        return
    due = time.monotonic() + _QUIET
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() >= due:
            console.print(f"{title}: {done} of {total}", highlight=False)
            due = time.monotonic() + _PERIOD


def _cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
