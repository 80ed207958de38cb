"""What the best of many detectors is praised for, against what it is worth, on detectors whose Ω is known.

    python benchmarks/selection_bias.py [--repeats 24] [--out docs/images/selection-bias.png]

Scores are Gaussian, in 3 sections × 2 domains × (normal, anomaly) of 50 clips, as in the challenge's
development set. Of K detectors the best is chosen: its own Ω, the cross-fitted Ω and the true Ω of the chosen
one are compared. Then: how often intervals hold the true Ω, and how many equal detectors are within noise.
"""

import argparse
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from humtune.metrics.bootstrap import LEVEL, resample
from humtune.metrics.cells import Array, Cells
from humtune.metrics.cross_fitting import cross_fit, halves
from humtune.metrics.omega import MAX_FPR, harmonic_mean, omega
from humtune.sounds.parallel import tracked
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, ClipTable

SECTION_SKILL = np.array([0.5, 0.7, 0.9])  # anomalies' mean over the normals', in standard deviations
SHIFT = 0.4  # the target domain's mean over the source's
CLIPS = 50
COUNTS = (1, 3, 10, 30, 100, 300)
SPLITS = 10
CASES = {  # name -> share of the noise that all detectors have in common, more skill of the first one
    "equal": (0.0, 0.0),
    "equal, correlated": (0.8, 0.0),
    "one is better": (0.8, 0.15),
}
LEVELS = (0.0, 1.6, 2.8)  # more skill, where intervals are tried
DETECTORS, SAMPLES = 600, 500  # of each level
EQUALS = 100  # detectors, for who is within noise
UNCHOSEN = 6000

T = TypeVar("T")
R = TypeVar("R")


@cache
def clips() -> tuple[ClipTable, Cells]:
    """One machine's labelled clips."""
    rows = [
        (s, d, y) for s in range(3) for d in (SOURCE, TARGET) for y in (NORMAL, ANOMALY) for _ in range(CLIPS)
    ]
    table = ClipTable.from_columns(
        machine="gaussian",
        name=[f"{i}.wav" for i in range(len(rows))],
        section=[s for s, _, _ in rows],
        domain=[d for _, d, _ in rows],
        label=[y for _, _, y in rows],
        part="dev",
        split="test",
        attributes="",
        role="select",
    )
    return table, Cells.of(table)


def scores(rng: np.random.Generator, count: int, *, common: float = 0, skill: float = 0) -> Array:
    """Scores [count, N] of detectors of one skill, which have a share of their noise in common."""
    table, _ = clips()
    own, shared = rng.normal(size=(count, len(table))), rng.normal(size=len(table))
    mean = (SECTION_SKILL + skill)[table.section] * (table.label == ANOMALY) + SHIFT * (
        table.domain == TARGET
    )
    return np.asarray(mean + math.sqrt(1 - common) * own + math.sqrt(common) * shared)


@cache
def truth(skill: float) -> float:
    """Ω of infinitely many clips, by integrating the ROC curves."""
    at = np.linspace(14, -8, 20001)
    values = []
    for more in SECTION_SKILL + skill:
        false = np.stack([norm.sf(at), norm.sf(at - SHIFT)])
        true = (norm.sf(at - more) + norm.sf(at - more - SHIFT)) / 2
        values += [np.trapezoid(true, f) for f in false]
        left = np.linspace(0, MAX_FPR, 20001)
        area = np.trapezoid(np.interp(left, false.mean(axis=0), true), left)
        values.append((1 + (area - MAX_FPR**2 / 2) / (MAX_FPR - MAX_FPR**2 / 2)) / 2)
    return float(harmonic_mean(values))


def choose(job: tuple[str, int]) -> Array:
    """The best of 1…300 detectors: its own Ω, the cross-fitted Ω, the chosen one's true Ω; [COUNTS, 3]."""
    case, seed = job
    common, better = CASES[case]
    found = scores(np.random.default_rng(seed), max(COUNTS), common=common)
    true = np.full(len(found), truth(0))
    if better:
        table, cells = clips()
        found[0] += better * (table.label == ANOMALY)
        true[0] = truth(better)
    _, cells = clips()
    omegas = omega(found, cells)
    best = [int(omegas[:k].argmax()) for k in COUNTS]
    honest = [cross_fit(found[:k], cells, splits=SPLITS, seed=seed).mean for k in COUNTS]
    return np.stack([omegas[best], honest, true[best]], axis=1)


def cover(job: tuple[float, int]) -> Array:
    """Where one detector's true Ω lies by each kind of interval: below (−1), inside or above (1) it; [3]."""
    skill, seed = job
    drawn = resample(
        scores(np.random.default_rng([seed, 1]), 1, skill=skill)[0], clips()[1], samples=SAMPLES, seed=seed
    )
    plain = np.quantile(drawn.samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    used = drawn.interval()
    kinds = np.stack([[used.low, used.high], plain, 2 * drawn.estimate - plain[::-1]])
    return np.asarray((truth(skill) > kinds[:, 1]).astype(int) - (truth(skill) < kinds[:, 0]))


def keep(job: tuple[float, int]) -> Array:
    """Shares of equal detectors within noise of the best: each against it alone, and as humtune does; [2]."""
    common, seed = job
    drawn = resample(
        scores(np.random.default_rng([seed, 2]), EQUALS, common=common), clips()[1], samples=SAMPLES
    )
    lead = drawn.samples[drawn.estimate.argmax()] - drawn.samples
    return np.array([np.mean(np.quantile(lead, 0.05, axis=1) <= 0), drawn.within_noise().mean()])


def unchosen() -> list[Array]:
    """Ω of many equal detectors without any choice: on all clips, and on half of each cell."""
    rng = np.random.default_rng(77)
    found, (_, cells) = scores(rng, UNCHOSEN), clips()
    return [omega(found, part) for part in (cells, halves(cells, rng)[0])]


def everywhere(work: Callable[[T], R], jobs: list[T], *, title: str, pool: ProcessPoolExecutor) -> list[R]:
    return list(tracked(pool.map(work, jobs, chunksize=2), total=len(jobs), title=title))


def mean_and_error(values: Array) -> tuple[Array, Array]:
    """In percent, over the first axis."""
    return 100 * values.mean(axis=0), 100 * values.std(axis=0, ddof=1) / math.sqrt(len(values))


def draw(found: dict[str, Array], path: Path) -> None:
    """One panel a case: Ω against how many detectors there were to choose from."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True)
    for axes, (case, values) in zip(panels, found.items(), strict=True):
        mean, error = mean_and_error(values)
        for i, (name, colour, style) in enumerate(
            [
                ("best by its own Ω", "#D55E00", "o-"),
                ("cross-fitted", "#0072B2", "s-"),
                ("true", "#222222", "--"),
            ]
        ):
            axes.plot(COUNTS, mean[:, i], style, color=colour, markersize=4, label=name)
            axes.fill_between(
                COUNTS,
                mean[:, i] - 2 * error[:, i],
                mean[:, i] + 2 * error[:, i],
                color=colour,
                alpha=0.18,
                lw=0,
            )
        axes.set(title=case, xscale="log", xlabel="detectors to choose from", xticks=COUNTS)
        axes.set_xticklabels([str(k) for k in COUNTS])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("Ω (%)")
    panels[0].legend(frameon=False, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def show(title: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    table = Table(*head, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=24, help="draws of 300 detectors of each case")
    parser.add_argument("--out", type=Path, default=Path("selection-bias.png"), help="where the figure goes")
    words = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        chosen = {
            case: np.stack(
                everywhere(choose, [(case, seed) for seed in range(words.repeats)], title=case, pool=pool)
            )
            for case in CASES
        }
        covered = [
            np.stack(everywhere(cover, [(x, i) for i in range(DETECTORS)], title="intervals", pool=pool))
            for x in LEVELS
        ]
        noise = [
            np.stack(everywhere(keep, [(x, i) for i in range(words.repeats // 2)], title="noise", pool=pool))
            for x in (0.0, 0.8)
        ]
    draw(chosen, words.out)
    show(
        f"Ω in percent, mean and standard error over {words.repeats} draws",
        ["", "detectors", "best by its own Ω", "cross-fitted", "true, of the best"],
        [
            [case, str(count), *(f"{m:.2f} ± {e:.2f}" for m, e in zip(mean, error, strict=True))]
            for case, values in chosen.items()
            for count, mean, error in zip(COUNTS, *mean_and_error(values), strict=True)
        ],
    )
    show(
        f"Ω in percent of {UNCHOSEN} equal detectors, none of them chosen; true: {100 * truth(0):.2f}",
        ["all clips", "half of each cell"],
        [[f"{100 * x.mean():.2f} ± {100 * x.std() / math.sqrt(len(x)):.2f}" for x in unchosen()]],
    )
    show(
        f"Intervals of {LEVEL:.0%}: how often the true Ω of {DETECTORS} detectors is inside (below, above)",
        ["true Ω", "bias-corrected (used)", "percentile", "basic"],
        [
            [
                f"{100 * truth(skill):.1f}",
                *(f"{np.mean(k == 0):.1%} ({np.mean(k < 0):.1%}, {np.mean(k > 0):.1%})" for k in found.T),
            ]
            for skill, found in zip(LEVELS, covered, strict=True)
        ],
    )
    show(
        f"Of {EQUALS} equal detectors, how many are within noise of the best",
        ["", "against the best alone", "against the luck of the best (used)"],
        [
            [name, *(f"{share:.0%}" for share in kept.mean(axis=0))]
            for name, kept in zip(("equal", "equal, correlated"), noise, strict=True)
        ],
    )


if __name__ == "__main__":
    main()
