"""Work on many files at once, in order, with progress on the screen: in items, or in bytes."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from threading import Event, Lock, Semaphore, Thread
from typing import Self, TypeVar

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from humtune.names import console, shortened, shown

T = TypeVar("T")
R = TypeVar("R")

_QUIET = 2.0  # seconds before a first line without a terminal
_PERIOD = 10.0  # seconds between two of them
_BAR = 20  # places of a terminal that a bar takes
_SPINNER, _COUNT, _BYTES = 3, 48, 68  # places beside a title: of what turns, of counts, of bytes
_LEAST = 20  # places that a title has
_MINUTE = 60.0  # seconds between two lines where there is nothing to count


def map_in_order(
    function: Callable[[T], R], items: Sequence[T], *, title: str, workers: int | None = None
) -> Iterator[R]:
    """Yield function(item) for every item, in order, computed by `workers` threads; None: one a core.

    Only a few results are ever held, so that a slow consumer doesn't fill the memory.
    """
    yield from tracked(in_order(function, items, workers=workers), total=len(items), title=title)


def in_order(
    function: Callable[[T], R], items: Iterable[T], *, workers: int | None = None, ended: Event | None = None
) -> Iterator[R]:
    """`map_in_order` without progress, of items that may come slowly and without end.

    A result is there as soon as it and those before it are: a thread of its own waits for items.
    `ended` is set as soon as no more results are wanted, for functions that take long to notice.
    """
    ended = ended or Event()
    workers = workers or cores()
    waiting: SimpleQueue[Future[R] | BaseException | None] = SimpleQueue()
    room = Semaphore(4 * workers)
    pool = ThreadPoolExecutor(workers)

    def feed() -> None:
        try:
            for item in items:
                room.acquire()
                if ended.is_set():
                    return
                waiting.put(pool.submit(function, item))
            waiting.put(None)
        except BaseException as error:  # also of the items: raised for who waits for results
            waiting.put(error)

    feeder = Thread(target=feed, daemon=True)  # which may wait for its next item when all is over
    feeder.start()
    try:
        while (found := waiting.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found.result()
            room.release()
    finally:
        ended.set()
        room.release()
        pool.shutdown(wait=True, cancel_futures=True)
        feeder.join(timeout=0.1)


def tracked(items: Iterable[T], *, total: int | None, title: str) -> Iterator[T]:
    """Pass items on and show how far they are: a bar on a terminal, now and then a line elsewhere.

    `total` is None where nobody knows it.
    """
    screen, title = _console(), shown(title)
    if screen.is_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=_BAR),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=screen, transient=True) as progress:
            yield from progress.track(items, total=total, description=_fitting(screen, title, _COUNT))
        return
    done = 0
    with _Lines(screen, lambda: f"{title}: {done}" + (f" of {total}" if total else "")) as lines:
        for item in items:
            yield item
            done += 1
            lines.news()


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """Show that something goes on that can't tell how far it is; without a terminal, a line now and then."""
    screen, title, began = _console(), shown(title), time.monotonic()
    if screen.is_terminal:
        with screen.status(_fitting(screen, title, _SPINNER)):
            yield
        return
    with _Lines(screen, lambda: f"{title}: {time.monotonic() - began:.0f} s so far", first=_QUIET):
        yield


def _fitting(screen: Console, title: str, beside: int) -> str:
    """A title in the room that what stands beside it leaves."""
    return shortened(title, max(_LEAST, screen.width - beside))


class _Lines:
    """Lines of a log on how far something is: now and then as it goes on, and each minute where it doesn't.

    `first` is how many seconds nothing need go on before the first of these.
    """

    def __init__(self, screen: Console, state: Callable[[], str], *, first: float | None = None) -> None:
        self.screen, self.state, self.lock, self.over = screen, state, Lock(), Event()
        self.due = time.monotonic() + _QUIET
        self.late = time.monotonic() + (_MINUTE if first is None else first)

    def __enter__(self) -> Self:
        self.thread = Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def news(self) -> None:
        """There is something new to say: a line, unless the last one is just over."""
        if time.monotonic() >= self.due:
            self._say()

    def _watch(self) -> None:
        while not self.over.wait(max(0.0, self.late - time.monotonic())):
            if time.monotonic() >= self.late:
                self._say()

    def _say(self) -> None:
        with self.lock:
            self.screen.print(self.state(), markup=False, soft_wrap=True)
            self.due, self.late = time.monotonic() + _PERIOD, time.monotonic() + _MINUTE


@cache
def _console() -> Console:
    """One for all: bars on one screen stand below each other."""
    return console(stderr=True)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def byte_progress(title: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the bytes done: a bar on a terminal, now and then a line elsewhere."""
    screen, title = console(stderr=True), shown(title)
    if screen.is_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=_BAR),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=screen, transient=True) as progress:
            yield _bar(progress, _fitting(screen, title, _BYTES), total)
        return
    now = 0
    with _Lines(screen, lambda: f"{title}: {decimal(now)} of {decimal(total)}") as lines:

        def show(done: int) -> None:
            nonlocal now
            now = done
            lines.news()

        yield show


def _bar(progress: Progress, title: str, total: int) -> Callable[[int], None]:
    task = progress.add_task(title, total=total)
    last = -1

    def show(done: int) -> None:
        nonlocal last
        if last < 0 or done < last:  # what was there before, or was thrown away, is no speed
            progress.reset(task, completed=done)
        else:
            progress.update(task, completed=done)
        last = done

    return show
