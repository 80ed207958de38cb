"""Fusion: one score out of several, by how unusual each of them is among normal clips. Needs no labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.errors import HumtuneError

LEAST_CLIPS = 2  # held-out clips: one has no spread
LEAST_SPREAD = 1e-6  # of the scores' size: below it they differ by the network's float32 rounding alone
LEAST_SIZE = 1e-6  # taken for the scores' size where they are all but zero


@dataclass(frozen=True)
class Fusion:
    """min_t (s_t − centre_t) / spread_t over the score types t.

    A clip is strange where even the score type that finds it most ordinary says so. `centre` and `spread` are
    mean and standard deviation of the scores of held-out normal clips, so that a type's unit and offset don't
    count.
    """

    centre: dict[str, float]
    spread: dict[str, float]

    @classmethod
    def of(cls, scores: Mapping[str, ArrayLike], held_out: NDArray[np.intp] | slice = slice(None)) -> Self:
        """The fusion of score types by their scores [N] of the clips `held_out`, indices into them.

        A type that hardly varies counts as varying by 1e-6 of its size. HumtuneError with fewer than two
        types or clips, and for a score that is not finite.
        """
        if len(scores) < 2:
            raise HumtuneError(f"fusion joins two or more score types, got {', '.join(scores) or 'none'}")
        centre, spread = {}, {}
        for name, vector in scores.items():
            normal = np.asarray(vector, np.float64)[held_out]
            if len(normal) < LEAST_CLIPS:
                raise HumtuneError(f"fusion needs {LEAST_CLIPS} held-out clips or more, got {len(normal)}")
            if not np.isfinite(normal).all():
                bad = normal[~np.isfinite(normal)][0]
                raise HumtuneError(f"fusion: a held-out normal clip has the {name} score {bad}")
            size = max(LEAST_SIZE, float(np.abs(normal).max()))
            centre[name] = float(normal.mean())
            spread[name] = max(float(normal.std()), LEAST_SPREAD * size)
        return cls(centre, spread)

    def __call__(self, scores: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Fusion scores float64 [N] of clips with scores [N] of each type; HumtuneError where one is NaN."""
        lowest: NDArray[np.float64] | None = None
        for name, centre in self.centre.items():
            vector = np.asarray(scores[name], np.float64)
            if np.isnan(vector).any():
                raise HumtuneError(f"fusion: a clip's {name} score is nan")
            z = (vector - centre) / self.spread[name]
            lowest = z if lowest is None else np.minimum(lowest, z)
        assert lowest is not None  # `of` takes no fewer than two types
        return lowest
