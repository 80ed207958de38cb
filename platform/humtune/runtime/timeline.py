"""A long recording's scores over time, as a table and as a plot.

It is cut into windows as long as those that a model's threshold was measured on.
"""

import csv
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from humtune.drafts import write_whole
from humtune.errors import UsageError
from humtune.names import caption

OVERLAP = 2  # windows that any moment lies in, but for the ends

Samples = NDArray[Any]  # [n], of one type throughout

HEADER = ("start_seconds", "end_seconds", "score", "anomaly")
_ROOM = 255 - len(".windows.csv")  # bytes of a file's name
_LETTERS = 110  # of a plot's title, in a line
BLUE, ORANGE, BLACK = "#0072B2", "#D55E00", "#222222"  # Okabe and Ito's
_TICKS, _STEPS = 12, (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400)  # seconds


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


def write_timeline(folder: Path, name: str, timeline: Timeline, threshold: float) -> list[Path]:
    """Write `<name>.windows.csv` and `<name>.windows.png`, and return both.

    `name` is what the recording stands by in the other files; the slashes of a path become underscores, and
    of a long one the end becomes a number.
    """
    plain = name.strip("/").replace("/", "_")
    if len(data := os.fsencode(plain)) > _ROOM:
        plain = f"{data[: _ROOM - 9].decode(errors='ignore')}-{crc32(data):08x}"
    files = {
        f"{plain}.windows.csv": _table(timeline),
        f"{plain}.windows.png": plot(timeline, name, threshold),
    }
    for file, content in files.items():
        try:
            write_whole(folder / file, content)
        except OSError as error:
            raise UsageError(f"{folder / file}: can't be written ({error.strerror or error})") from error
    return [folder / file for file in files]


def stretches(timeline: Timeline) -> Iterator[tuple[float, float]]:
    """Stretches of time, in seconds, in which every window is above the threshold."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], timeline.above.astype(np.int8), [0]])))
    for first, after in edges.reshape(-1, 2).tolist():
        yield float(timeline.starts[first]), float(timeline.starts[after - 1]) + timeline.window


def plot(timeline: Timeline, title: str, threshold: float) -> bytes:
    """Score over time with the threshold, what lies above it coloured, as PNG."""
    from matplotlib.figure import Figure  # here: only long recordings need it
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    middles, scores = timeline.starts + timeline.window / 2, timeline.scores
    figure = Figure(figsize=(9, 3), dpi=120, layout="constrained")
    panel = figure.subplots()
    for start, end in stretches(timeline):
        panel.axvspan(start, end, color=ORANGE, alpha=0.15, linewidth=0)
    panel.plot(middles, scores, color=BLUE, linewidth=1.2)
    panel.fill_between(
        middles,
        scores,
        threshold,
        where=scores > threshold,
        interpolate=True,
        color=ORANGE,
        alpha=0.5,
        linewidth=0,
    )
    panel.axhline(threshold, color=BLACK, linestyle="--", linewidth=1)
    panel.annotate(
        "threshold", (1, threshold), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
    )
    end = float(timeline.starts[-1]) + timeline.window
    panel.set_xlim(0, end)
    panel.xaxis.set_major_locator(MultipleLocator(next((s for s in _STEPS if end / s <= _TICKS), end)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds)))
    panel.set_xlabel(f"time in the recording; windows of {timeline.window:g} s")
    panel.set_ylabel("anomaly score")
    share = f"{int(timeline.above.sum())} of {len(scores)} windows above the threshold"
    panel.set_title(caption(f"{title}: {share}", letters=_LETTERS), loc="left", fontsize=10, parse_math=False)
    panel.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box stands in its place
        figure.savefig(stream, format="png")
    return stream.getvalue()


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
