"""Average: a figure over seeds, its mean and how far the seeds lie apart."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Average:
    """A fraction 0…1 over seeds; the spread is their standard deviation (n − 1), None of a single one."""

    mean: float
    spread: float | None
    seeds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """The average of finite values; None where there are none."""
        found = np.array([v for v in map(float, values) if np.isfinite(v)])
        if not found.size:
            return None
        return cls(float(found.mean()), float(found.std(ddof=1)) if found.size > 1 else None, found.size)

    def __str__(self) -> str:
        """In percent: 66.4±0.3, or 66.4 of a single seed."""
        spread = "" if self.spread is None else f"±{100 * self.spread:.1f}"
        return f"{100 * self.mean:.1f}{spread}"
