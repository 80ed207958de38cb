"""Vae: how badly a variational autoencoder expects a few frames of a log-mel spectrogram. Needs no classes.

Encoder and decoder give mean and variance of Gaussians. The score is the reconstruction probability of An and
Cho 2015 (Variational Autoencoder based Anomaly Detection using Reconstruction Probability): −log p(x | z),
averaged over samples of z given x.
"""

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from humtune.detectors.frames import FrameNetwork, FrameRecipe, dense_layers, log_normal, noise_like


class Vae(FrameRecipe):
    """Fully connected layers around a sampled bottleneck; scores by −log p(x | z) for each bin, or by it."""

    sizes: ClassVar[tuple[str, ...]] = (*FrameRecipe.sizes, "hidden", "layers", "samples")
    does: ClassVar[str] = "rebuilds"

    family: str = "vae"
    hidden: int = Field(128, ge=1, description="width of a layer")
    layers: int = Field(4, ge=1, description="of this width, on either side of the bottleneck")
    bottleneck: int = Field(8, ge=1, description="values of z: length of an embedding")
    kl_weight: float = Field(1.0, ge=0, description="of the divergence of z from the prior, in training")
    samples: int = Field(8, ge=1, description="of z that a score averages over; the same for every clip")
    floor: float = Field(1e-2, gt=0, description="added to variances, of bands scaled to variance 1")

    @property
    def layers_size(self) -> str:
        """Layers and samples."""
        return f"{self.layers} × {self.hidden}, {self.samples} samples"

    def network(self, rows: int) -> "VaeNetwork":
        """Encoder, decoder, and the noise that scores are made with."""
        return VaeNetwork(self, rows)


class VaeNetwork(FrameNetwork):
    """Runs of frames to −log p(x | z) for each bin, and the mean of z."""

    noise: Tensor

    def __init__(self, recipe: Vae, rows: int) -> None:
        super().__init__(recipe.frames)
        size, hidden, depth = rows * recipe.frames, recipe.hidden, recipe.layers
        self.kl_weight, self.floor = recipe.kl_weight, recipe.floor
        layers = dense_layers([size, *[hidden] * depth])
        self.encode = nn.Sequential(*layers, nn.Linear(hidden, 2 * recipe.bottleneck))
        layers = dense_layers([recipe.bottleneck, *[hidden] * depth])
        self.decode = nn.Sequential(*layers, nn.Linear(hidden, 2 * size))
        self.register_buffer("noise", torch.randn(recipe.samples, recipe.bottleneck))

    def posterior(self, runs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [n, k] of z given runs [n, D]."""
        mean, log_variance = self.encode(runs).to(runs.dtype).chunk(2, dim=1)
        return mean, log_variance

    def log_likelihood(self, runs: Tensor, z: Tensor) -> Tensor:
        """The log-likelihood log p(x | z) [n] of runs [n, D] and z [n, k]."""
        mean, log_variance = self.decode(z).to(runs.dtype).chunk(2, dim=1)
        return log_normal(runs, mean, (log_variance.exp() + self.floor).log()).sum(dim=1)

    def bound(self, runs: Tensor, noise: Tensor) -> Tensor:
        """What training makes larger, [n], with standard normal noise [n, k].

        With a `kl_weight` of 1 its mean over the noise is never above log p(x).
        """
        mean, log_variance = self.posterior(runs)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
        z = mean + torch.exp(log_variance / 2) * noise
        return self.log_likelihood(runs, z) - self.kl_weight * divergence

    def judge(self, runs: Tensor) -> tuple[Tensor, Tensor]:
        """−log p(x | z) for each bin [n], and the mean of z [n, k]."""
        mean, log_variance = self.posterior(runs)
        deviation = torch.exp(log_variance / 2)
        found = [self.log_likelihood(runs, mean + deviation * noise) for noise in self.noise]
        return -torch.stack(found).mean(dim=0) / runs.shape[1], mean

    def loss(self, spectrogram: Tensor, rng: np.random.Generator) -> Tensor:
        """The negative bound for each bin, with one sample of z."""
        runs = self.runs(spectrogram)
        noise = noise_like(self.noise[0].expand(len(runs), -1), rng)
        return -self.bound(runs, noise).mean() / runs.shape[1]
