"""The picture of Ω against the number of an ensemble's members."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from humtune.formatting.plots import BLUE, GREY, ORANGE, plain, to_png
from humtune.report.ways import ALL, front, ways
from humtune.results.ensembles.record import EnsembleRecord


def draw_front(records: Sequence[EnsembleRecord], *, title: str = "") -> bytes:
    """Cross-fitted Ω against the number of members, over all machines or of the only one."""
    machine = ALL if len(records) > 1 else records[0].machine
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    panel = figure.subplots()
    looks = {"ensemble": ("weights per section", ORANGE), "greedy": ("one weighting per machine", BLUE)}
    points = [point for point in front(records) if point.machine == machine]
    for way, (label, colour) in looks.items():
        mine = [point for point in points if point.way == way]
        if not mine:
            continue
        sizes = [point.members for point in mine]
        omegas = 100 * np.stack([point.splits for point in mine])
        panel.errorbar(
            sizes,
            omegas.mean(axis=1),
            omegas.std(axis=1),
            color=colour,
            marker="o",
            capsize=3,
            label=f"{label} ({mine[-1].networks:.3g} networks)",
        )
    for found in (w for w in ways(records) if w.machine == machine):
        if style := {"oracle single": "--", "best single": "-"}.get(found.name):
            level = 100 * found.splits.mean()
            panel.axhline(level, color=GREY, linestyle=style, linewidth=1.2, label=found.name)
    panel.set(xlabel="members that score a clip, at most", ylabel="cross-fitted Ω, %")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain(panel)
    figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize=9)
    how = " (transductive)" if any(r.transductive for r in records) else ""
    return to_png(figure, f"{title}, {machine}: what members bring{how}")
