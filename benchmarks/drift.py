"""How often fifty healthy recordings are taken for drift, and how often fifty that have moved.

    python benchmarks/drift.py FOLDER... [--draws 20]

Each folder holds score files of a real system, as for benchmarks/thresholds.py. Of the normal clips of a
machine and domain, some are the healthy ones that a threshold was chosen by, and fifty are drawn out of the
others (with replacement): at random, or all out of one working condition that the healthy ones don't have, if
it has as many clips as half of that. Then the fifty are moved by standard deviations of all.
"""

import argparse
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from thresholds import Pool, read_pools

from humtune.runtime.drift import LAST, Drift
from humtune.runtime.outcomes import Scored
from humtune.runtime.promises import GroupScores, HealthyScores
from humtune.runtime.scale import Scale

MOVES = (0.0, 1.0, 2.0, 4.0)
HEALTHY = 100  # clips at random
LEAST = 3  # conditions that are left


def large(pool: Pool) -> np.ndarray:
    """The conditions with clips enough."""
    names, counts = np.unique(pool.conditions, return_counts=True)
    return names[counts >= LAST / 2]


def split(
    pool: Pool, rng: np.random.Generator, *, by_condition: bool
) -> tuple[list[GroupScores], np.ndarray]:
    """The healthy clips in groups, and the scores that fifty are drawn from."""
    if by_condition:
        out = pool.conditions == rng.choice(large(pool))
        names = pool.conditions
    else:
        out = rng.permutation(len(pool.scores)) >= HEALTHY
        names = np.arange(len(pool.scores)).astype(np.str_)
    groups = [
        GroupScores(domain="any", group=name, scores=pool.scores[~out & (names == name)].tolist())
        for name in np.unique(names[~out])
    ]
    return groups, pool.scores[out]


def is_drift(healthy: list[GroupScores], scores: np.ndarray) -> bool:
    """Whether these are taken for drift."""
    drift, path = Drift(HealthyScores(tuple(healthy))), Path("one.wav")
    return any(drift.add(Scored(path, float(score), Scale(math.inf), 10.0)) for score in scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--draws", type=int, default=20)
    words = parser.parse_args()
    rng = np.random.default_rng(0)
    found: dict[tuple[bool, float], list[bool]] = defaultdict(list)
    pools = [pool for folder in words.folders for pool in read_pools(folder)]
    for pool in track(pools, console=Console(stderr=True)):
        for by_condition in (False, True):
            if by_condition and (len(np.unique(pool.conditions)) <= LEAST or not len(large(pool))):
                continue
            for _ in range(words.draws):
                healthy, others = split(pool, rng, by_condition=by_condition)
                new = rng.choice(others, LAST)
                for move in MOVES:
                    found[by_condition, move].append(is_drift(healthy, new + move * pool.scores.std()))
    table = Table("fifty recordings", "draws", *(f"moved by {move:g} sd, %" for move in MOVES))
    for by_condition, name in ((False, "at random"), (True, "of a new condition")):
        shares = (100 * np.mean(found[by_condition, move]) for move in MOVES)
        table.add_row(name, str(len(found[by_condition, 0.0])), *(f"{share:.2f}" for share in shares))
    Console().print(table)


if __name__ == "__main__":
    main()
