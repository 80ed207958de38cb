"""Scores of the k nearest references. Distances are Euclidean, between embeddings of length one."""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from humtune.scores.base import DistanceScore, Score
from humtune.scores.encoded import Encoded

LEAST_DENSITY = 1e-6  # of a reference whose neighbours are copies of it: no score may be divided by zero
LEAST_REACH = 1e-10  # beside a reachability that may be 0 among copies; scikit-learn's


class NearestNeighbours(Score):
    """Mean of the k smallest ‖z − r_i‖ (Ramaswamy et al. 2000; the mean: Angiulli and Pizzuti 2002).

    Where fewer than k references count, it is the mean over those.
    """

    neighbours: int = Field(5, ge=1, description="references that are looked at: k")

    def fit(self, reference: Encoded) -> "NeighbourDistance":
        """Against these references."""
        return NeighbourDistance(self, reference)


class NeighbourDistance(DistanceScore):
    """Mean distance from the k nearest references, 0…2."""

    settings: NearestNeighbours

    def distances(self) -> Callable[[Tensor], Tensor]:
        """Euclidean distances of unit vectors: √(2 − 2 cos)."""
        unit = F.normalize(self.mean.double(), dim=1).T
        return lambda z: (2 - 2 * (F.normalize(z, dim=1) @ unit)).clamp_min(0).sqrt()

    def reduce(self, distances: Tensor) -> Tensor:
        """The mean of the k smallest that are finite."""
        return nearest_mean(distances, self.settings.neighbours)


class NormalisedNeighbours(NearestNeighbours):
    """min_i ‖z − r_i‖ / ρ_i, with ρ_i the mean distance of r_i from its own k nearest references.

    A distance counts for more where the references lie close together: source and target clips, which differ
    in number, become comparable (Wilkinghoff et al. 2025, arXiv:2509.10951). Chunks of r_i's own clip are no
    neighbours of it. With references of one clip alone there is no density, and the score is the smallest
    distance itself.
    """

    def fit(self, reference: Encoded) -> "DensityDistance":
        """Against these references: measures all pairs of them."""
        return DensityDistance(self, reference)


class DensityDistance(NeighbourDistance):
    """Distance from the nearest reference, in units of the references' own distances there."""

    density: Tensor

    def __init__(self, settings: NormalisedNeighbours, reference: Encoded) -> None:
        super().__init__(settings, reference)
        density = NeighbourDistance(settings, reference)(reference, mask_own=True)
        density = torch.where(density.isfinite(), density, 1.0)
        self.register_buffer("density", density.clamp_min(LEAST_DENSITY))

    def distances(self) -> Callable[[Tensor], Tensor]:
        """Distances in units of each reference's own."""
        measure = super().distances()
        return lambda z: measure(z) / self.density

    def reduce(self, distances: Tensor) -> Tensor:
        """The smallest."""
        return distances.amin(dim=1)

    def forward(self, encoded: Encoded, *, mask_own: bool = False) -> Tensor:
        """Scores [n]; a clip that doesn't count is nobody's neighbour either."""
        return super(DistanceScore, self).forward(encoded, mask_own=mask_own)


class LocalOutlierFactor(NearestNeighbours):
    """How much more thinly the references lie about z than about its k nearest (Breunig et al. 2000).

    The reachability of z is the mean of max(‖z − r_i‖, d_i) over its k nearest references r_i, with d_i the
    distance of r_i from its own k-th nearest; the score is the reachability of z times the mean of 1 /
    reachability of those r_i: about 1 where z lies among them. Chunks of r_i's own clip are no neighbours of
    it. With references of one clip alone there is no density, and the score is the mean distance.
    """

    def fit(self, reference: Encoded) -> "OutlierFactor":
        """Against these references: measures all pairs of them, twice."""
        return OutlierFactor(self, reference)


class OutlierFactor(NeighbourDistance):
    """The references' density about a row's neighbours, over that about the row."""

    farthest: Tensor
    density: Tensor

    def __init__(self, settings: LocalOutlierFactor, reference: Encoded) -> None:
        super().__init__(settings, reference)
        clip = reference.clip
        assert clip is not None
        self.register_buffer("farthest", self._in_blocks(reference.embedding, clip, self._kth))
        reachability = self._in_blocks(reference.embedding, clip, self._reachability)
        self.register_buffer(
            "density", torch.where(reachability.isfinite(), 1 / (reachability + LEAST_REACH), 1.0)
        )

    def reduce(self, distances: Tensor) -> Tensor:
        """Reachability, in units of the neighbours' own."""
        nearest = _nearest(distances, self.settings.neighbours)
        density = torch.where(nearest.values.isfinite(), self.density[nearest.indices], torch.inf)
        return _finite_mean(density) * (self._reachability(distances) + LEAST_REACH)

    def _reachability(self, distances: Tensor) -> Tensor:
        nearest = _nearest(distances, self.settings.neighbours)
        return _finite_mean(torch.maximum(nearest.values, self.farthest[nearest.indices]))

    def _kth(self, distances: Tensor) -> Tensor:
        """The distance of the k-th nearest, or of the last that counts; 0 where none does."""
        nearest = _nearest(distances, self.settings.neighbours).values
        return torch.where(nearest.isfinite(), nearest, 0.0).amax(dim=1)

    def forward(self, encoded: Encoded, *, mask_own: bool = False) -> Tensor:
        """Scores [n]; a clip that doesn't count is nobody's neighbour either."""
        return super(DistanceScore, self).forward(encoded, mask_own=mask_own)


def nearest_mean(distances: Tensor, k: int) -> Tensor:
    """Means [n] of the k smallest of each row that are finite; infinite where none is."""
    return _finite_mean(_nearest(distances, k).values)


def _nearest(distances: Tensor, k: int) -> torch.return_types.topk:
    return distances.topk(min(k, distances.shape[1]), dim=1, largest=False)


def _finite_mean(values: Tensor) -> Tensor:
    finite = values.isfinite()
    total = torch.where(finite, values, 0.0).sum(dim=1)
    count = finite.sum(dim=1)
    return torch.where(count > 0, total / count.clamp_min(1), torch.inf)
