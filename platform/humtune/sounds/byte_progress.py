"""How far a long read or write is, in bytes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from humtune.names import console

_QUIET = 2.0  # seconds before a first line without a terminal
_PERIOD = 10.0  # seconds between two of them


@contextmanager
def byte_progress(title: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the bytes done: a bar on a terminal, now and then a line elsewhere."""
    screen = console(stderr=True)
    if screen.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=screen, transient=True) as progress:
            yield _bar(progress, title, total)
    else:
        yield _lines(screen, title, total)


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


def _lines(screen: Console, title: str, total: int) -> Callable[[int], None]:
    due = time.monotonic() + _QUIET

    def show(done: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            screen.print(f"{title}: {decimal(done)} of {decimal(total)}", soft_wrap=True)
            due = time.monotonic() + _PERIOD

    return show
