"""The plots of the paper's results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from humtune.formatting.plots import BLACK, BLUE, GREEN, GREY, ORANGE, Plot, plain
from humtune.metrics.cells import Array
from humtune.results.reading import Average

COLOURS = (BLUE, ORANGE, GREEN, BLACK)


@dataclass(frozen=True, eq=False)
class Heat:
    """A panel of a heat map: values [R, C] in percent, NaN where there is none; marked cells are framed."""

    title: str
    values: Array
    marked: frozenset[tuple[int, int]] = frozenset()


def heat_maps(
    panels: Sequence[Heat],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    labels: tuple[str, str],
    title: str,
) -> bytes:
    """Panels side by side, two a row, in one scale of colours; labels name the rows and the columns."""
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    wide, high = 1.6 + 0.8 * len(columns), 1.2 + 0.42 * len(rows)
    figure = Plot(figsize=(1 + across * wide, 0.6 + down * high), dpi=120, layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    known = np.concatenate([p.values[np.isfinite(p.values)] for p in panels])
    low, high_value = (float(known.min()), float(known.max())) if known.size else (0.0, 100.0)
    for axis, panel in zip(axes, panels, strict=False):
        image = axis.imshow(panel.values, cmap="cividis", vmin=low, vmax=high_value, aspect="auto")
        axis.set_xticks(range(len(columns)), columns)
        axis.set_yticks(range(len(rows)), rows)
        axis.set(xlabel=labels[1], ylabel=labels[0])
        axis.set_title(panel.title, loc="left", fontsize=10)
        axis.spines[:].set_visible(False)
        middle = (low + high_value) / 2
        for (r, c), value in np.ndenumerate(panel.values):
            if np.isfinite(value):
                ink = "white" if value < middle else "black"
                axis.text(c, r, f"{value:.1f}", ha="center", va="center", color=ink, fontsize=9)
        for r, c in panel.marked:
            frame = Rectangle((c - 0.46, r - 0.46), 0.92, 0.92, fill=False, edgecolor=ORANGE, linewidth=2.2)
            axis.add_patch(frame)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    if known.size:
        figure.colorbar(image, ax=list(axes[: len(panels)]), label="Ω paper (%)", shrink=0.9)
    return figure.titled(title).to_png()


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[Average]]], *, xlabel: str, ylabel: str, title: str
) -> bytes:
    """Averages against a value on a logarithmic axis, a line each, with the seeds' spread as bars."""
    figure = Plot(figsize=(6.4, 4), dpi=120, layout="constrained")
    panel = figure.subplots()
    for (name, (x, averages)), colour, marker in zip(lines.items(), COLOURS * 9, "os^D" * 9, strict=False):
        spread = [100 * (a.spread or 0) for a in averages]
        y = [100 * a.mean for a in averages]
        panel.errorbar(x, y, yerr=spread, color=colour, marker=marker, capsize=3, label=name)
    panel.set_xscale("log")
    ticks = sorted({value for x, _ in lines.values() for value in x})
    panel.set_xticks(ticks, [f"{t:g}" for t in ticks])
    panel.minorticks_off()
    panel.set(xlabel=xlabel, ylabel=ylabel)
    if lines:
        panel.legend(frameon=False, fontsize=9)
    plain(panel)
    return figure.titled(title).to_png()


@dataclass(frozen=True)
class Bar:
    """A bar in percent; a published one is grey and hatched, a measured one never is."""

    label: str
    height: float
    spread: float = 0.0
    series: int = 0  # which of the measured series, or of the published ones
    published: bool = False

    @classmethod
    def of(cls, label: str, average: Average, *, series: int = 0) -> "Bar":
        """A measured bar."""
        return cls(label, 100 * average.mean, 100 * (average.spread or 0), series)


def bars(
    found: Sequence[Bar], *, series: Sequence[str], published: Sequence[str] = (), xlabel: str, title: str
) -> bytes:
    """Horizontal bars from the top, those with one label side by side; a legend names the series."""
    labels = list(dict.fromkeys(bar.label for bar in found))
    figure = Plot(figsize=(7.6, 1.6 + 0.52 * max(1, len(labels))), dpi=120, layout="constrained")
    panel = figure.subplots()
    named = set()
    for row, label in enumerate(labels):
        mine = [bar for bar in found if bar.label == label]
        thick = 0.8 / len(mine)
        for i, bar in enumerate(mine):
            look: dict[str, Any] = (
                {"facecolor": "#E4E4E4", "edgecolor": GREY, "hatch": ("//", "..")[bar.series]}
                if bar.published
                else {"facecolor": COLOURS[bar.series], "edgecolor": COLOURS[bar.series]}
            )
            name = (published if bar.published else series)[bar.series]
            panel.barh(
                row + (i + 0.5) * thick - 0.4,
                bar.height,
                height=0.92 * thick,
                xerr=bar.spread or None,
                ecolor=BLACK,
                capsize=2,
                label=None if name in named else name,
                **look,
            )
            named.add(name)
            edge = bar.height + bar.spread
            panel.annotate(
                f"{bar.height:.1f}",
                (edge, row + (i + 0.5) * thick - 0.4),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    panel.set_yticks(range(len(labels)), labels)
    panel.invert_yaxis()
    panel.margins(x=0.08)
    panel.set_xlabel(xlabel)
    if found:
        figure.legend(frameon=False, fontsize=9, ncols=2, loc="outside lower center")
    plain(panel)
    return figure.titled(title).to_png()
