"""Which scale by held-out clips serves an ensemble best: `Standard`, `GammaTail`, or ranks of the test set.

The scores are folders of DCASE score files, one a system, of clips whose names tell their labels. They come
without scores of training clips, so some normal clips of each cell stand for these, and neither choose nor
judge; the other clips do, by random halves.

    python benchmarks/calibrations.py --scores DIR --first-seed 100 --splits 12
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from ensembles import read_systems
from joining import Machine
from rich.console import Console
from rich.table import Table

from humtune.metrics.calibration import GammaTail, Standard
from humtune.metrics.cells import Array
from humtune.metrics.cross_fitting import halves
from humtune.metrics.omega import harmonic_mean, omega
from humtune.results.ensembles.greedy import ensemble
from humtune.sounds.parallel import tracked

HELD_OUT = 17  # normal clips of each cell, a third
MEMBERS = 5
SCALES = {"Standard": Standard, "GammaTail": GammaTail}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scores", type=Path, required=True, help="folder of folders of score files")
    parser.add_argument("--splits", type=int, default=12)
    parser.add_argument("--first-seed", type=int, default=100)
    words = parser.parse_args()
    machines = read_systems(words.scores)
    seeds = range(words.first_seed, words.first_seed + words.splits)
    splits = [one_split(machines, seed) for seed in tracked(seeds, total=len(seeds), title="splits")]
    found = {name: 100 * np.array([split[name] for split in splits]) for name in splits[0]}
    table = Table("", "Ω", "± sd", "over Standard", "± sd", "splits won")
    for name, values in found.items():
        more = values - found["Standard"]
        metrics = (f"{values.mean():.2f}", f"{values.std():.2f}", f"{more.mean():+.2f}", f"{more.std():.2f}")
        table.add_row(name, *metrics, f"{np.sum(more > 0)} of {len(more)}")
    Console(width=110).print(table)


def one_split(machines: dict[str, Machine], seed: int) -> dict[str, float]:
    """Ω over all machines of the ensemble on each scale: per machine the mean of both directions."""
    metrics: dict[str, list[Array]] = {}
    for machine in machines.values():
        rng = np.random.default_rng(seed)
        cells, held_out = [], []
        for cell in machine.cells.cells:
            mixed = rng.permutation(cell.normal)
            held_out.append(mixed[:HELD_OUT])
            cells.append(replace(cell, normal=mixed[HELD_OUT:]))
        scaled = {"ranks": machine.scores["ranks"]}
        clips = np.concatenate(held_out)
        for name, scale in SCALES.items():
            scaled[name] = np.stack([scale.of(row[clips])(row) for row in machine.raw])
        first, second = halves(replace(machine.cells, cells=tuple(cells)), rng)
        for name, scores in scaled.items():
            values = []
            for choosing, reading in ((first, second), (second, first)):
                joined = ensemble(scores, choosing, members=MEMBERS)(scores, machine.table.section)
                values.append(omega(joined, reading))
            metrics.setdefault(name, []).append(np.mean(values))
    return {name: float(harmonic_mean(np.array(values))) for name, values in metrics.items()}


if __name__ == "__main__":
    main()
