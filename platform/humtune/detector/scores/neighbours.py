"""Scores of the k nearest references. Distances are Euclidean, between embeddings of length one."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from humtune.config import Scoring
from humtune.detector.head import Embeddings
from humtune.detector.scores.score import Classify, DistanceScore

LEAST_DENSITY = 1e-6  # of a reference whose neighbours are copies of it: no score may be divided by zero


class NearestNeighbours(DistanceScore):
    """Mean of the k smallest ‖z − r_i‖ (Ramaswamy et al. 2000; the mean: Angiulli and Pizzuti 2002).

    Needs k references; where fewer count, it is the mean over those.
    """

    def distances(self) -> Callable[[Tensor], Tensor]:
        """Euclidean distances of unit vectors, 0…2: √(2 − 2 cos)."""
        unit = F.normalize(self.mean.double(), dim=1).T
        return lambda z: (2 - 2 * (F.normalize(z, dim=1) @ unit)).clamp_min(0).sqrt()

    def reduce(self, distances: Tensor) -> Tensor:
        """The mean of the k smallest that are finite."""
        return nearest_mean(distances, self.scoring.neighbours)


class NormalisedNeighbours(NearestNeighbours):
    """min_i ‖z − r_i‖ / ρ_i, with ρ_i the mean distance of r_i from its own k nearest references.

    A distance counts for more where the references lie close together: source and target clips, which differ
    in number, become comparable (Wilkinghoff et al. 2025, arXiv:2509.10951). Chunks of r_i's own clip are no
    neighbours of it. Building it measures all pairs of references. Needs those of two clips; with one alone
    there is no density, and the score is the smallest distance itself.
    """

    density: Tensor

    def __init__(
        self, reference: Embeddings, scoring: Scoring | None = None, classify: Classify | None = None
    ) -> None:
        super().__init__(reference, scoring, classify)
        density = NearestNeighbours(reference, scoring)(reference.mean, reference.clip)
        density = torch.where(density.isfinite(), density, 1.0)
        self.register_buffer("density", density.clamp_min(LEAST_DENSITY))

    def distances(self) -> Callable[[Tensor], Tensor]:
        """Distances in units of each reference's own."""
        measure = super().distances()
        return lambda z: measure(z) / self.density

    def reduce(self, distances: Tensor) -> Tensor:
        """The smallest."""
        return distances.amin(dim=1)

    def forward(self, embedding: Tensor, clip: Tensor | None = None) -> Tensor:
        """Scores [n]; a clip that doesn't count is nobody's neighbour either."""
        return super(DistanceScore, self).forward(embedding, clip)


def nearest_mean(distances: Tensor, k: int) -> Tensor:
    """Means [n] of the k smallest of each row that are finite; infinite where none is."""
    nearest = distances.topk(min(k, distances.shape[1]), dim=1, largest=False).values
    finite = nearest.isfinite()
    total = torch.where(finite, nearest, 0.0).sum(dim=1)
    count = finite.sum(dim=1)
    return torch.where(count > 0, total / count.clamp_min(1), torch.inf)
