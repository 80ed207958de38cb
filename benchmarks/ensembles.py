"""What systems know together: ways of joining their scores, chosen and read on different clips.

The scores are folders of DCASE score files, one a system, of clips whose names tell their labels. All systems
are ranked within the section first (transductive: they come without scores of held-out clips). Three views:
random halves of every cell; halves without a common working condition; and a section that chose nothing.

    python benchmarks/ensembles.py --scores DIR --figure docs/images/ensembles.png
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from conditions import condition_halves
from joining import PLAIN, SIZES, Machine, join, subtracting, ways
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from humtune.dcase.files import read_folder
from humtune.dcase.truth import label_clips
from humtune.metrics.cells import Array
from humtune.metrics.cross_fitting import halves
from humtune.metrics.omega import Metrics, evaluate, harmonic_mean, pool
from humtune.results.ensembles import worth
from humtune.results.ensembles.greedy import select
from humtune.sounds.parallel import tracked

Views = dict[str, dict[str, Array]]  # view -> way of joining -> Ω in percent, a split each


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scores", type=Path, required=True, help="folder of folders of score files")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--figure", type=Path, help="where the figure goes")
    words = parser.parse_args()
    machines = read_systems(words.scores)
    seeds = range(words.first_seed, words.first_seed + words.splits)
    console = Console(width=110)
    views: Views = {}
    with ProcessPoolExecutor(words.workers) as workers:
        for view in ("random halves", "condition halves"):
            jobs = workers.map(partial(one_split, machines, view), seeds)
            found = list(tracked(jobs, total=len(seeds), title=view))
            views[view] = {name: 100 * np.array([f[name] for f in found]) for name in found[0]}
            console.print(halves_table(view, views[view]))
    console.print(sections_table(unseen_sections(machines)))
    if words.figure:
        words.figure.parent.mkdir(parents=True, exist_ok=True)
        draw(views["random halves"]).savefig(words.figure)


def read_systems(folder: Path) -> dict[str, Machine]:
    """Machine -> its systems' scores, for the clips of the first system."""
    systems = [read_folder(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    found = {}
    for machine, first in systems[0].items():
        names = list(first)
        scores = np.array([[system[machine][name] for name in names] for system in systems])
        found[machine] = Machine(label_clips(machine, names), scores)
    return found


def one_split(machines: dict[str, Machine], view: str, seed: int) -> dict[str, float]:
    """Ω over all machines of every way of joining: the mean of both directions of one split.

    Every machine's halves are those that `cross_fit` draws first with that seed.
    """
    parts = {}
    for name, machine in machines.items():
        rng = np.random.default_rng(seed)
        if view == "random halves":
            parts[name] = halves(machine.cells, rng)
        else:
            parts[name] = condition_halves(machine.cells, machine.table.attributes, rng)
    metrics: dict[str, list[float]] = {}
    for way in (0, 1):
        choosing = {name: parts[name][way] for name in machines}
        read: dict[str, list[Metrics]] = {}
        for name in machines:
            for joined, scores in join(machines, name, choosing, full=view == "random halves"):
                read.setdefault(joined, []).append(evaluate(scores, parts[name][1 - way]))
        for joined, values in read.items():
            metrics.setdefault(joined, []).append(float(pool(values).omega_official))
    return {joined: float(np.mean(values)) for joined, values in metrics.items()}


def unseen_sections(machines: dict[str, Machine]) -> dict[str, Array]:
    """Way of joining -> the values [sections, 3] of every section, chosen on the machine's other sections."""
    found: dict[str, list[Array]] = {}
    for machine in tracked(machines.values(), total=len(machines), title="unseen sections"):
        ranks, section = machine.scores["ranks"], machine.table.section
        choosers = ways(section) | {
            "plain greedy": lambda s, c: select(s, c, members=len(s), **PLAIN)(s),
            "with subtraction": subtracting(worth.greedy()),
        }
        del choosers["per section"]  # an unseen section has the machine's weights: greedy from the best few
        for number, group in machine.cells.sections():
            rest = replace(machine.cells, cells=tuple(c for c in machine.cells.cells if c.section != number))
            here = replace(machine.cells, cells=tuple(group))
            for joined, choose in choosers.items():
                metrics = evaluate(choose(ranks, rest), here)
                found.setdefault(joined, []).append(np.array(metrics.sections[0].values("official")))
    return {joined: np.stack(values) for joined, values in found.items()}


def halves_table(view: str, found: dict[str, Array]) -> Table:
    """Ω over the splits, and the paired difference to plain greedy."""
    table = Table("", "Ω", "± sd", "over plain greedy", "± sd", "splits won", title=view)
    for name, values in found.items():
        more = values - found["plain greedy"]
        metrics = (values.mean(), values.std(), more.mean(), more.std())
        texts = [f"{f:+.2f}" if i == 2 else f"{f:.2f}" for i, f in enumerate(metrics)]
        table.add_row(name, *texts, f"{np.sum(more > 0)} of {len(more)}")
    return table


def sections_table(found: dict[str, Array]) -> Table:
    """Ω over the unseen sections, and its difference to plain greedy with sections drawn again."""
    table = Table("", "Ω", "over plain greedy", "± sd", "sections better", title="unseen sections")
    base = found["plain greedy"]
    draws = np.random.default_rng(0).integers(len(base), size=(1000, len(base)))

    def over(values: Array) -> Array:
        return np.asarray(100 * harmonic_mean(values.reshape(*values.shape[:-2], -1)))

    for name, values in found.items():
        more = over(values[draws]) - over(base[draws])
        won = np.sum(harmonic_mean(values) > harmonic_mean(base))
        difference = float(over(values) - over(base))
        table.add_row(
            name, f"{over(values):.2f}", f"{difference:+.2f}", f"{more.std():.2f}", f"{won} of {len(base)}"
        )
    return table


def draw(found: dict[str, Array]) -> Figure:
    """Cross-fitted Ω against the number of systems that score a clip."""
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    panel = figure.subplots()
    for name, label, colour in (
        ("per section", "weights per section", "#D55E00"),
        ("greedy", "one weighting per machine", "#0072B2"),
    ):
        values = np.stack([found[f"{name}, {size} members"] for size in SIZES])
        panel.errorbar(
            SIZES, values.mean(axis=1), values.std(axis=1), color=colour, marker="o", capsize=3, label=label
        )
    for name, style in (("oracle single", "--"), ("best single", "-"), ("top-5 mean", ":")):
        level = found[name].mean()
        panel.axhline(level, color="#8C8C8C", linestyle=style, linewidth=1.2)
        panel.annotate(
            name, (max(SIZES), level), xytext=(0, 3), textcoords="offset points", ha="right", color="#555555"
        )
    panel.set(xlabel="members that score a clip, at most", ylabel="cross-fitted Ω, %", xticks=SIZES)
    panel.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper left", ncols=2)
    return figure


if __name__ == "__main__":
    main()
