"""How often thresholds raise false alarms, beside how often they promise to.

    python benchmarks/thresholds.py FOLDER... [--draws 30]

Each folder holds score files of real systems, one folder a system, whose clip names carry domain and label
(those of the DCASE 2022 development set, say). Of the normal clips of a machine and domain, about n are held
out and the rest counts the alarms. Single clips are drawn at random; then whole working conditions (section
and attributes), so that every clip that counts is of a condition which the threshold has never seen.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from humtune.dcase.files import read_folder
from humtune.metrics.calibration import GammaTail, false_alarm_rate, threshold_from
from humtune.sounds.clip import Clip
from humtune.sounds.table import NORMAL

CLIPS = (10, 20, 50, 100)
RATES = (0.01, 0.02, 0.05, 0.1)
LARGER = 1.15  # how much more than n clips whole conditions may be

Array = NDArray[np.float64]


class Pool(NamedTuple):
    """The normal clips of a machine and domain, by one system."""

    scores: Array
    conditions: NDArray[np.str_]


def read_pools(folder: Path) -> list[Pool]:
    """Of each machine and domain."""
    found: dict[tuple[str, int], list[tuple[float, str]]] = defaultdict(list)
    for machine, scores in read_folder(folder).items():
        for name, score in scores.items():
            clip = Clip.parse(Path(name), machine=machine, part="dev", split="test")
            if clip.label == NORMAL:
                found[machine, clip.domain].append((score, f"{clip.section} {clip.attributes}"))
    return [Pool(*map(np.array, zip(*clips, strict=True))) for clips in found.values()]


def clips_alone(pool: Pool, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """So many clips."""
    return rng.permutation(len(pool.scores)) < count


def whole_conditions(pool: Pool, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The clips of conditions, together about so many."""
    chosen = np.zeros(len(pool.scores), dtype=bool)
    for condition in rng.permutation(np.unique(pool.conditions)):
        more = chosen | (pool.conditions == condition)
        if not chosen.any() or more.sum() <= LARGER * count:
            chosen = more
    return chosen


def highest(held_out: Array, conditions: NDArray[np.str_], rate: float) -> float:
    """A quantile of the held-out clips, their highest score where they are few."""
    return float(np.quantile(held_out, 1 - rate, method="higher"))


def gamma(held_out: Array, conditions: NDArray[np.str_], rate: float) -> float:
    """A quantile of a gamma distribution (the DCASE baselines' way)."""
    tail = GammaTail.of(held_out)
    return tail.scale.mean + tail.scale.spread * float(tail._tail.isf(rate))


def of_clips(held_out: Array, conditions: NDArray[np.str_], rate: float) -> float:
    """humtune's, as if clips of a condition were independent."""
    return threshold_from(held_out, false_alarms=rate).value


def of_groups(held_out: Array, conditions: NDArray[np.str_], rate: float) -> float:
    """humtune's: clips of a condition count for less."""
    return threshold_from(held_out, false_alarms=rate, groups=conditions).value


WAYS: dict[str, Callable[[Array, NDArray[np.str_], float], float]] = {
    "quantile": highest,
    "gamma": gamma,
    "by clips": of_clips,
    "by groups": of_groups,
}


def draws(
    pool: Pool, draw: Callable[..., NDArray[np.bool_]], clips: int, count: int
) -> Iterator[NDArray[np.bool_]]:
    """The masks of held-out clips, always the same ones; none that leaves too few to count by."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        chosen = draw(pool, clips, rng)
        if (~chosen).sum() >= len(chosen) / 6:
            yield chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--draws", type=int, default=30)
    words = parser.parse_args()
    pools = [pool for folder in words.folders for pool in read_pools(folder) if len(pool.scores) > CLIPS[-1]]
    console = Console()
    console.print(f"{len(pools)} machines and domains, {words.draws} draws each")
    for title, draw in (("clips drawn at random", clips_alone), ("whole conditions", whole_conditions)):
        rates: dict[tuple[float, int, str], list[float]] = defaultdict(list)
        for pool in track(pools, description=title, console=Console(stderr=True)):
            for clips in CLIPS:
                found: dict[tuple[float, str], list[float]] = defaultdict(list)
                for held_out in draws(pool, draw, clips, words.draws):
                    scores, conditions = pool.scores[held_out], pool.conditions[held_out]
                    if draw is clips_alone:
                        conditions = np.arange(len(scores)).astype(np.str_)
                    for rate in RATES:
                        for way, choose in WAYS.items():
                            threshold = choose(scores, conditions, rate)
                            found[rate, way].append(false_alarm_rate(pool.scores[~held_out], threshold))
                for (rate, way), given in found.items():
                    rates[rate, clips, way].append(float(np.mean(given)))
        table = Table("promised %", "held-out clips", *(f"{way} %" for way in WAYS), title=title)
        for rate in RATES:
            for clips in CLIPS:
                cells = (np.array(rates[rate, clips, way]) for way in WAYS)
                table.add_row(
                    f"{100 * rate:g}",
                    str(clips),
                    *(f"{100 * c.mean():.1f} ({100 * np.mean(c <= 2 * rate):.0f})" for c in cells),
                )
        console.print(table)
    console.print(
        "mean false-alarm rate on the other clips (% of machines and domains within twice the promise)"
    )


if __name__ == "__main__":
    main()
