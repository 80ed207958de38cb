"""How unlikely an embedding is under a mixture of Gaussians that is fitted to the references."""

import numpy as np
from pydantic import Field
from torch import Tensor

from humtune.scores.base import FittedScore, Score
from humtune.scores.encoded import Encoded
from humtune.scores.gaussians import (
    Covariance,
    Gaussians,
    Likelihood,
    fit_gaussians,
    negative_log_likelihood,
)

LEAST_SPREAD = 1e-6  # of the embeddings' size: copies of one clip have none
SEED = 0  # of the first guess: the same references give the same mixture, whatever the trial's seed


class Mixture(Score):
    """−log p(z), p a mixture of Gaussians, or −max_j log N_j(z) over its Gaussians j, in nats.

    Embeddings are brought to a mean variance of 1, all dimensions by one factor, so that `floor` means the
    same for every encoder. Of fewer distinct references than Gaussians each is one.
    """

    components: int = Field(2, ge=1, description="Gaussians, K")
    covariance: Covariance = Field(
        "full", description="of a Gaussian: full, diag, spherical; tied: one for all"
    )
    floor: float = Field(1e-3, gt=0, description="added to variances, of embeddings scaled to variance 1")
    likelihood: Likelihood = Field(
        "mixture", description="of the mixture with its weights, or of the likeliest component alone"
    )

    def fit(self, reference: Encoded) -> "MixtureDensity":
        """To these references."""
        return MixtureDensity(self, reference)


class MixtureDensity(FittedScore):
    """The negative log-likelihood under a fitted mixture."""

    settings: Mixture
    centres: Tensor
    whiteners: Tensor
    log_weights: Tensor

    def __init__(self, settings: Mixture, reference: Encoded) -> None:
        super().__init__(settings, reference)
        rows = reference.embedding.double().cpu().numpy()
        least = LEAST_SPREAD * np.sqrt(np.square(rows).mean())
        self.spread = float(max(np.sqrt(rows.var(axis=0).mean()), least)) or 1.0
        rows = rows / self.spread
        gaussians, _ = fit_gaussians(
            np.repeat(rows, 2, axis=0) if len(rows) == 1 else rows,
            components=min(settings.components, len(np.unique(rows, axis=0))),
            covariance=settings.covariance,
            floor=settings.floor,
            seed=SEED,
        )
        for name, values in gaussians._asdict().items():
            self.register_buffer(name, values.to(reference.embedding.device))

    def score(self, encoded: Encoded) -> Tensor:
        """Nats."""
        gaussians = Gaussians(self.centres, self.whiteners, self.log_weights)
        z = encoded.embedding.double() / self.spread
        return negative_log_likelihood(z, gaussians, self.settings.likelihood)
