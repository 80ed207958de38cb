"""A long recording's scores over time.

It is cut into windows as long as those that a model's threshold was measured on.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humtune.drafts import write_output

OVERLAP = 2  # windows that any moment lies in, but for the ends

Samples = NDArray[Any]  # [n], of one type throughout

HEADER = ("start_seconds", "end_seconds", "score", "anomaly")


@dataclass(frozen=True, eq=False)
class Timeline:
    """A long recording's scores over time."""

    starts: NDArray[np.float64]  # [W] seconds
    scores: NDArray[np.float64]  # [W]
    window: float  # seconds
    above: NDArray[np.bool_]  # [W] whether the window's score says anomaly


def cut(blocks: Iterable[Samples], size: int) -> Iterator[tuple[int, Samples]]:
    """Windows of `size` samples as (first sample, samples), half over each other; the last ends at the end.

    What is not longer than a window comes whole. Two windows or so are in memory at a time.
    """
    hop = size // OVERLAP
    held: Samples = np.empty(0, np.int16)
    start = 0  # of what is held
    for block in blocks:
        held = np.concatenate([held, block])
        # A whole window stays back: what comes after it may be too little for one of its own.
        while len(held) >= size + hop:
            yield start, held[:size]
            held, start = held[hop:], start + hop
    yield start, held[:size]
    if len(held) > size:
        yield start + len(held) - size, held[-size:]


def count_windows(samples: int, size: int) -> int:
    """How many windows `cut` makes of so many samples."""
    return 1 + max(0, -(-(samples - size) // (size // OVERLAP)))


def write_timeline(path: Path, timeline: Timeline) -> Path:
    """Write the windows as a table, and return its path."""
    return write_output(path, _table(timeline))


def stretches(timeline: Timeline) -> Iterator[tuple[float, float]]:
    """Stretches of time, in seconds, in which every window is above the threshold."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], timeline.above.astype(np.int8), [0]])))
    for first, after in edges.reshape(-1, 2).tolist():
        yield float(timeline.starts[first]), float(timeline.starts[after - 1]) + timeline.window


def clock(seconds: float) -> str:
    """Seconds as 4:05 or 1:04:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _table(timeline: Timeline) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for start, score, above in zip(
        timeline.starts.tolist(), timeline.scores.tolist(), timeline.above.tolist(), strict=True
    ):
        writer.writerow((round(start, 6), round(start + timeline.window, 6), score, int(above)))
    return text.getvalue().encode()
