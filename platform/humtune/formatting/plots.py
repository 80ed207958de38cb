"""Plots of scores and searches."""

import io
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from humtune.metrics.cells import Array, Cell, Cells
from humtune.metrics.omega import MAX_FPR, PseudoCells, auc, pauc
from humtune.names import caption
from humtune.records import Objective, TrialRecord, TrialState
from humtune.sounds.table import SOURCE, TARGET, ClipTable, Role

# Okabe and Ito's colours: told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, GREY, BLACK = "#0072B2", "#D55E00", "#009E73", "#8C8C8C", "#222222"

_DOMAINS = {SOURCE: "source", TARGET: "target"}
_RATES = np.linspace(0, 1, 1001)  # false positive rates at which the sections' curves are averaged
_BINS = 30
_HEIGHTS: dict[Objective, str] = {
    "omega": "Ω official, selecting clips (%)",
    "pseudo": "pseudo-Ω, held-out clips and probes (%)",
}


class Plot(Figure):
    """A figure of matplotlib's that pyplot knows nothing of, and that a notebook shows by itself."""

    def titled(self, title: str) -> Self:
        """The plot with its title. A dollar in a name is one, no formula's."""
        if title:
            self.suptitle(caption(title, letters=round(10 * self.get_figwidth())), fontsize=12)
        for text in self.findobj(Text):
            text.set_parse_math(False)
        return self

    def to_png(self) -> bytes:
        """The bytes of a PNG."""
        stream = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box stands in its place
            self.savefig(stream, format="png")
        return stream.getvalue()

    def _repr_png_(self) -> bytes:
        return self.to_png()


def score_histogram(
    scores: ArrayLike,
    table: ClipTable,
    *,
    role: Role = Role.SELECT,
    threshold: float | None = None,
    title: str = "",
) -> Plot:
    """Anomaly scores of normal and anomalous clips, a panel per domain, with the threshold of the decision.

    Scores [N] aligned to the table; labelled clips of the role are drawn. Scores far off the rest are counted
    in the outermost bars.
    """
    cells = Cells.of(table, role)
    domains = sorted({c.domain for c in cells.cells})
    panels = {_DOMAINS.get(d, ""): [c for c in cells.cells if c.domain == d] for d in domains}
    return _histogram(panels, cells.check_scores(scores), threshold=threshold, title=title, odd="anomaly")


def probe_histogram(
    scores: ArrayLike, table: ClipTable, *, threshold: float | None = None, title: str = ""
) -> Plot:
    """Anomaly scores of held-out clips and of probes, a panel per kind of probe; scores [N] of the table."""
    kinds = PseudoCells(table).kinds
    scores = np.asarray(scores, np.float64)
    panels = {str(kind): list(cells.cells) for kind, cells in kinds.items()}
    return _histogram(panels, scores, threshold=threshold, title=title, odd="probe")


def _histogram(
    parts: Mapping[str, list[Cell]], scores: Array, *, threshold: float | None, title: str, odd: str
) -> Plot:
    """A panel for each part's cells; `odd` is what stands against the normal clips."""
    edges = _edges(scores, [cell for cells in parts.values() for cell in cells], threshold)
    figure = Plot(figsize=(7, 1.2 + 2.1 * len(parts)), dpi=120, layout="constrained")
    panels = figure.subplots(len(parts), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, (part, cells) in zip(panels, parts.items(), strict=True):
        for label, colour, clips in (
            ("normal", BLUE, np.concatenate([c.normal for c in cells])),
            (odd, ORANGE, np.concatenate([c.anomaly for c in cells])),
        ):
            values = np.clip(scores[clips], edges[0], edges[-1])
            panel.hist(values, edges, histtype="stepfilled", color=colour, alpha=0.3)
            panel.hist(values, edges, histtype="step", color=colour, linewidth=1.5, label=label)
        if threshold is not None:
            panel.axvline(threshold, color=BLACK, linestyle="--", linewidth=1.2, label="threshold")
        panel.set_ylabel("clips")
        panel.set_title(part, loc="left", fontsize=10)
        plain(panel)
    panels[0].legend(frameon=False, fontsize=9, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    panels[-1].set_xlabel("anomaly score")
    return figure.titled(title)


def roc_curves(scores: ArrayLike, table: ClipTable, *, role: Role = Role.SELECT, title: str = "") -> Plot:
    """ROC curves of source, target and all clips, each the mean over the sections; the pAUC region is shaded.

    Scores [N] aligned to the table; labelled clips of the role are drawn. A domain's curve sets its normals
    against the anomalies of both. The legend's areas are arithmetic means over sections (Ω's are harmonic).
    """
    cells = Cells.of(table, role)
    scores = cells.check_scores(scores)
    curves: dict[str, list[Array]] = {}
    areas: dict[str, list[Array]] = {}
    for _, section in cells.sections():
        anomaly = scores[np.concatenate([c.anomaly for c in section])]
        normals = {_DOMAINS[c.domain]: scores[c.normal] for c in section if c.domain in _DOMAINS}
        for name, normal in {**normals, "all": scores[np.concatenate([c.normal for c in section])]}.items():
            curves.setdefault(name, []).append(_curve(anomaly, normal))
            areas.setdefault(name, []).append(auc(anomaly, normal))
        areas.setdefault("pAUC", []).append(pauc(anomaly, normal))
    figure = Plot(figsize=(5.4, 5.4), dpi=120, layout="constrained")
    panel = figure.subplots()
    means = {name: np.mean(sections, axis=0) for name, sections in curves.items()}
    percents = {name: f"{100 * np.mean(sections):.1f} %" for name, sections in areas.items()}
    looks = {"source": (BLUE, "-"), "target": (ORANGE, "--"), "all": (BLACK, "-")}
    for name, curve in means.items():
        colour, line = looks[name]
        panel.plot(_RATES, curve, color=colour, linestyle=line, label=f"{name}: AUC {percents[name]}")
    inside = _RATES <= MAX_FPR
    label = f"all: pAUC {percents['pAUC']}"
    panel.fill_between(_RATES[inside], means["all"][inside], color=GREEN, alpha=0.3, linewidth=0, label=label)
    panel.axvline(MAX_FPR, color=GREEN, linewidth=0.8, linestyle=":")
    panel.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    panel.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    panel.set(xlabel="false positive rate", ylabel="true positive rate")
    if len(areas["all"]) > 1:
        panel.set_title(f"arithmetic means of {len(areas['all'])} sections", loc="left", fontsize=10)
    panel.legend(frameon=False, fontsize=9, loc="lower right")
    plain(panel)
    return figure.titled(title)


def search_history(records: Iterable[TrialRecord], *, title: str = "") -> Plot:
    """What one machine's trials are judged by, in the order in which they ended, with the best so far.

    A pruned trial stands at the figure that stopped it; one without any, and a failed one, at the lower edge.
    """
    ended = sorted(
        (r for r in records if r.state != TrialState.RUNNING), key=lambda r: (r.ended or 0, r.number)
    )
    heights = np.array([_height(r) for r in ended])
    judged_by = ended[0].judged_by if ended else "omega"
    known = heights[np.isfinite(heights)]
    low, high = (float(known.min()), float(known.max())) if known.size else (40.0, 60.0)
    margin = max(0.08 * (high - low), 0.5)
    figure = Plot(figsize=(7, 3.8), dpi=120, layout="constrained")
    panel = figure.subplots()
    looks = {
        TrialState.COMPLETE: ("complete", BLUE, "o"),
        TrialState.PRUNED: ("pruned", GREY, "x"),
        TrialState.FAILED: ("failed", ORANGE, "v"),
    }
    order = np.arange(1, len(ended) + 1)
    for state, (label, colour, marker) in looks.items():
        mine = np.array([r.state == state for r in ended], dtype=bool)
        if mine.any():
            at = np.where(np.isfinite(heights[mine]), heights[mine], low - margin)
            panel.scatter(order[mine], at, s=26, color=colour, marker=marker, label=f"{label} ({mine.sum()})")
    best = np.fmax.accumulate(
        [h if r.state == TrialState.COMPLETE else np.nan for h, r in zip(heights, ended, strict=True)]
        or [np.nan]
    )
    if np.isfinite(best).any():
        steps = np.append(best, best[-1])
        panel.step(np.append(order, len(ended) + 0.5), steps, where="post", color=BLACK, label="best so far")
    panel.set(xlabel="trials that have ended", ylabel=_HEIGHTS[judged_by])
    panel.set(xlim=(0.5, max(len(ended), 1) + 0.5), ylim=(low - 1.6 * margin, high + margin))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if ended:
        marks = panel.get_legend_handles_labels()
        figure.legend(*marks, frameon=False, fontsize=9, ncols=4, loc="outside lower center")
    else:
        panel.text(0.5, 0.5, "no trial has ended yet", ha="center", transform=panel.transAxes, color=GREY)
    plain(panel)
    return figure.titled(title)


def _height(record: TrialRecord) -> float:
    """A trial's Ω in percent: its objective, or the last one that it measured; NaN without any."""
    if record.state == TrialState.FAILED:
        return math.nan
    if record.judged:
        return 100 * record.objective
    name = record.judged_by
    measured = [epoch.metrics[name] for epoch in record.epochs if name in epoch.metrics]
    return 100 * measured[-1] if measured else math.nan


def _curve(anomaly: Array, normal: Array) -> Array:
    from sklearn.metrics import roc_curve  # here: a second to import, which other plots do without

    labels = np.repeat([1, 0], [len(anomaly), len(normal)])
    false, true, _ = roc_curve(labels, np.concatenate([anomaly, normal]), drop_intermediate=False)
    return np.asarray(np.interp(_RATES, false, true))


def _edges(scores: Array, cells: list[Cell], threshold: float | None) -> Array:
    """Bars that cover the scores and the threshold, without what lies far off the rest."""
    shown: NDArray[np.float64] = scores[np.concatenate([i for c in cells for i in (c.normal, c.anomaly)])]
    low, high = np.quantile(shown, [0.05, 0.95])
    low, high = max(shown.min(), 2 * low - high), min(shown.max(), 2 * high - low)
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    return np.histogram_bin_edges([low, high], bins=_BINS)


def plain(panel: Axes) -> None:
    """Take the frame off the sides that have no axis."""
    panel.spines[["top", "right"]].set_visible(False)
