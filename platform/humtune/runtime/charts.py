"""Charts of scores over time as HTML: a line, points, and the limit, in a box of any width."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

MOST = 500  # points of a line, or about so many dots


class Point(NamedTuple):
    """A point of a chart: its place in time 0…1, its height, what it is called, and its kind in the style."""

    x: float
    y: float
    name: str = ""
    kind: str = ""


def chart(
    caption: str,
    line: Sequence[tuple[float, float]],
    *,
    limit: float,
    ends: tuple[str, str],
    points: Sequence[Point] = (),
) -> str:
    """A line through (x, y), x being 0…1, with points, a line at the limit, and what stands at both ends."""
    heights = [limit, *(y for _, y in line), *(point.y for point in points)]
    room = (max(heights) - min(heights)) / 20 or 1.0
    low, high = min(heights) - room, max(heights) + room

    def top(y: float) -> str:
        return f"{100 * (high - y) / (high - low):.1f}"

    dots = "".join(
        f'<b class="{point.kind}" title="{escape(point.name)}" style="left:{100 * point.x:.2f}%;'
        f'top:{top(point.y)}%"></b>'
        for point in points
    )
    return (
        f'<p class="small">{escape(caption)}</p>'
        f'<div class="chart" role="img" aria-label="{escape(caption)}">'
        '<svg viewBox="0 0 1000 100" preserveAspectRatio="none">'
        f'<polyline points="{" ".join(f"{1000 * x:.1f},{top(y)}" for x, y in line)}"/>'
        f'<line x1="0" x2="1000" y1="{top(limit)}" y2="{top(limit)}"/></svg>{dots}'
        f'<em style="top:{top(limit)}%">limit</em></div>'
        f'<div class="ends"><span>{escape(ends[0])}</span><span>{escape(ends[1])}</span></div>'
    )


def compressed(times: float) -> float:
    """A multiple of the limit on a scale that is logarithmic far from 0, so that the limit is still seen."""
    return math.copysign(math.log1p(abs(times)), times)
