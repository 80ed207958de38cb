"""Long recordings as windows of the length that a model's threshold was measured on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONG = 2  # a recording of more than so many windows is scored in windows
OVERLAP = 2  # windows that hear any moment, but for the ends


@dataclass(frozen=True, eq=False)
class Timeline:
    """A long recording's scores over time."""

    starts: NDArray[np.float64]  # [W] seconds
    scores: NDArray[np.float64]  # [W]
    window: float  # seconds
    above: NDArray[np.bool_]  # [W] whether the window's score says anomaly


def cut(blocks: Iterable[NDArray[np.int16]], size: int) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Windows of `size` samples as (first sample, samples), half over each other; the last ends at the end.

    What is not longer than `LONG` windows comes whole. Two windows or so are in memory at a time.
    """
    hop = size // OVERLAP
    held: NDArray[np.int16] = np.empty(0, np.int16)
    start, is_long = 0, False  # start: of what is held
    for block in blocks:
        held = np.concatenate([held, block])
        is_long = is_long or len(held) > LONG * size
        if is_long:
            # A whole window stays back: what comes after it may be too little for one of its own.
            while len(held) >= size + hop:
                yield start, held[:size]
                held, start = held[hop:], start + hop
    if not is_long:
        yield 0, held
        return
    yield start, held[:size]
    if len(held) > size:
        yield start + len(held) - size, held[-size:]
