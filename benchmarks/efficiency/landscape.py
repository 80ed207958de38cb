"""The table that searches are replayed from: each configuration's curves, and what a choice is worth."""

from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet
from scipy.stats import spearmanr

Key = tuple[Any, ...]


class Landscape:
    """The table: each configuration's curves."""

    def __init__(self, path: Path) -> None:
        curves: dict[tuple[str, Key], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in sorted(parquet.read_table(path).to_pylist(), key=lambda row: row["epoch"]):
            params = {k: v for k, v in row.items() if k == "spectrogram" or k.startswith("head.")}
            curves[row["machine"], key(params)][row["seed"]].append(row["omega"])
        self.curves = {
            at: np.array(list(by_seed.values())) for at, by_seed in curves.items()
        }  # [seeds, epochs]
        self.machines = tuple(dict.fromkeys(machine for machine, _ in self.curves))
        self.mean = {at: float(curve[:, -1].mean()) for at, curve in self.curves.items()}
        self.best = {
            m: max(v for (machine, _), v in self.mean.items() if machine == m) for m in self.machines
        }

    def regret(self, machine: str, params: dict[str, Any]) -> float:
        """Points that a configuration lies below the machine's best."""
        return 100 * (self.best[machine] - self.mean[machine, key(params)])

    def foretold(self, machine: str, epoch: int) -> float:
        """Spearman's ρ of Ω after an epoch with the last one's, over the machine's trials."""
        curves = np.concatenate([c for (m, _), c in self.curves.items() if m == machine])
        return float(spearmanr(curves[:, epoch - 1], curves[:, -1]).statistic)

    def repeated(self, machine: str) -> float:
        """Spearman's ρ of the last Ω of one seed with the other's: what the end itself is worth."""
        ends = np.array([c[:, -1] for (m, _), c in self.curves.items() if m == machine])
        return float(spearmanr(ends[:, 0], ends[:, 1]).statistic)


def key(params: dict[str, Any]) -> Key:
    """A point as the table knows it."""
    return tuple(params[name] for name in sorted(params))


@cache
def landscape(path: Path) -> Landscape:
    """The table, read once in each process."""
    return Landscape(path)
