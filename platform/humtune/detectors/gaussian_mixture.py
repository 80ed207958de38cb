"""GaussianMixture: how likely a clip's spectrum is, pooled over time. Seconds of work, and no classes.

After Guan et al. 2023 (arXiv:2305.03328): the frames of each band of a log-mel spectrogram are pooled into
one number, and a mixture of Gaussians is fitted to these vectors of the training clips.
"""

import hashlib
import json
import math
from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from humtune.config import SAMPLE_RATE, Acceleration, Output
from humtune.detectors.encoder import Encoder, Graph
from humtune.detectors.fit import Fit
from humtune.detectors.frontends import FrontendLayer, Spectrogram, SpectrogramLayer
from humtune.detectors.kept import kept_rows
from humtune.detectors.recipe import Check, Recipe
from humtune.errors import UsageError
from humtune.names import count
from humtune.scores.encoded import Encoded
from humtune.scores.gaussians import Covariance, Gaussians, Likelihood, fit_gaussians, negative_log_likelihood
from humtune.sounds.bank import ClipBank
from humtune.sounds.sound_file import to_waveform
from humtune.sounds.table import ClipTable, Role

POOLED = 1  # counts changes to how a spectrum is pooled: what was kept before is not trusted


class GaussianMixture(Recipe):
    """A mixture of Gaussians on time-pooled log-mel spectra; scores by −log p (`own`) or by the spectra."""

    sizes: ClassVar[tuple[str, ...]] = ("n_fft", "n_mels", "components")

    family: str = "gaussian_mixture"
    n_fft: int = Field(1024, ge=16, le=16_384, description="samples in one Fourier transform")
    n_mels: int = Field(128, ge=8, description="mel filters")
    pooling: Literal["mean", "max", "gwrp"] = Field("mean", description="of a band's frames")
    decay: float = Field(0.99, gt=0, le=1, description="gwrp: weight of a frame beside the next louder one")
    components: int = Field(2, ge=1, description="Gaussians")
    covariance: Covariance = "full"
    floor: float = Field(1e-3, gt=0, description="added to variances, of bands scaled to variance 1")
    likelihood: Likelihood = Field(
        "mixture", description="of the mixture with its weights, or of the likeliest component alone"
    )
    scores: tuple[str, ...] = Field(("own",), min_length=1)

    @model_validator(mode="after")
    def _has_a_spectrogram(self) -> "GaussianMixture":
        _ = self.spectrogram
        return self

    @property
    def spectrogram(self) -> Spectrogram:
        """What is pooled."""
        return Spectrogram(n_fft=self.n_fft, n_mels=self.n_mels, chunk_frames=16)

    @property
    def gives(self) -> frozenset[Output]:
        """The negative log-likelihood, and the pooled spectrum."""
        return frozenset({Output.SCORE, Output.EMBEDDING})

    @property
    def size(self) -> str:
        """Spectrogram and mixture."""
        return f"gaussian mixture {self.n_mels} × {self.n_fft}, {self.components} components"

    def remarks(self) -> tuple[str, ...]:
        """Those of the spectrogram."""
        return self.spectrogram.remarks()

    def _check_count(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        clips = len(table.having(Role.TRAIN))
        if clips < max(2, self.components):
            raise UsageError(
                f"{table.machine}: components = {self.components} need as many training clips, two at least; "
                f"there are {clips}"
            )

    def _check_length(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        shortest = int(lengths.argmin())
        if lengths[shortest] < self.n_fft:
            samples = count(int(lengths[shortest]), "sample")
            raise UsageError(
                f"{table.machine}: n_fft = {self.n_fft} is longer than the shortest clip, "
                f"{table.name[shortest]}, which has {samples} at {SAMPLE_RATE} Hz"
            )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(("components",), _check_count),
        Check(("n_fft",), _check_length),
    )

    def build(self, classes: tuple[str, ...]) -> "MixtureEncoder":
        """The encoder, of a standard normal distribution."""
        return MixtureEncoder(self, classes)

    def start(
        self,
        bank: ClipBank,
        *,
        device: str = "cpu",
        acceleration: Acceleration = Acceleration(),  # noqa: B008  frozen
    ) -> "MixtureFit":
        """A fit before its only step."""
        return MixtureFit(self, bank, self.build(()).to(device))


class MixtureFit(Fit):
    """Fits the mixture by scikit-learn's expectation maximisation, in one step."""

    recipe: GaussianMixture
    encoder: "MixtureEncoder"

    def step(self) -> dict[str, float]:
        """The whole fit; its mean negative log-likelihood."""
        recipe, encoder = self.recipe, self.encoder
        pooled = encoder.pooled(self.bank, self.clips).cpu().double().numpy()
        mean, spread = pooled.mean(axis=0), np.maximum(pooled.std(axis=0), 1e-6)
        gaussians, loss = fit_gaussians(
            (pooled - mean) / spread,
            components=recipe.components,
            covariance=recipe.covariance,
            floor=recipe.floor,
            seed=recipe.seed,
        )
        encoder.learn(mean, spread, gaussians)
        self.done = 1
        return {"loss": loss}


class MixtureEncoder(Encoder):
    """Clips to pooled spectra [n, F], scaled, and their negative log-likelihoods; one row a clip."""

    recipe: GaussianMixture
    mean: Tensor
    spread: Tensor
    centres: Tensor
    whiteners: Tensor
    log_weights: Tensor

    def __init__(self, recipe: GaussianMixture, classes: tuple[str, ...]) -> None:
        super().__init__(recipe, classes)
        rows, count = recipe.n_mels, recipe.components
        self.frontend = PooledLayer(recipe)
        self.register_buffer("mean", torch.zeros(rows, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(rows, dtype=torch.float64))
        self.register_buffer("centres", torch.zeros(count, rows, dtype=torch.float64))
        self.register_buffer("whiteners", torch.eye(rows, dtype=torch.float64).repeat(count, 1, 1))
        self.register_buffer("log_weights", torch.full((count,), -math.log(count), dtype=torch.float64))

    def learn(self, mean: NDArray[np.float64], spread: NDArray[np.float64], gaussians: Gaussians) -> None:
        """Take a mixture of vectors that were brought to mean 0 and deviation 1."""
        self.mean.copy_(torch.from_numpy(mean))
        self.spread.copy_(torch.from_numpy(spread))
        for own, fitted in zip(self.gaussians, gaussians, strict=True):
            own.copy_(fitted)

    @property
    def gaussians(self) -> Gaussians:
        """The mixture of the scaled vectors."""
        return Gaussians(self.centres, self.whiteners, self.log_weights)

    def pooled(self, bank: ClipBank, clips: NDArray[np.intp]) -> Tensor:
        """Pooled spectra [n, F] of the clips, as they are; those of an opened bank are kept beside it."""
        name = f"pooled-{self.frontend.print(self.device)}"
        found = kept_rows(bank, name, clips, lambda some: self._pool(bank, some).cpu().numpy())
        return torch.from_numpy(found).to(self.device)

    @torch.no_grad()
    def _pool(self, bank: ClipBank, clips: NDArray[np.intp]) -> Tensor:
        self.eval()
        waveforms = (torch.from_numpy(to_waveform(bank.clip(int(i)))) for i in clips)
        found = (self.frontend.chunks(self.frontend.whole(w[None].to(self.device))) for w in waveforms)
        return torch.cat([pooled for (pooled,) in found])

    @torch.no_grad()
    def encode(self, bank: ClipBank, clips: NDArray[np.intp]) -> Encoded:
        """Scaled pooled spectra, and their negative log-likelihoods."""
        return replace(self.read(self.pooled(bank, clips)), **self.rows(bank, clips, 1))

    def read(self, pooled: Tensor) -> Encoded:
        """Rows of pooled spectra [n, F]."""
        z = (pooled.double() - self.mean) / self.spread
        score = negative_log_likelihood(z, self.gaussians, self.recipe.likelihood)
        return Encoded(mean=z.float(), score=score, chunks=1)

    def graph(self) -> Graph:
        """The pooling is the front end's, the mixture is read; there is no network between them."""
        spectrogram = self.recipe.spectrogram
        return Graph(self.frontend, nn.Identity(), self.read, least_samples=spectrogram.n_fft)


class PooledLayer(FrontendLayer):
    """A clip's log-mel spectrogram, pooled over its frames: one vector a clip."""

    def __init__(self, recipe: GaussianMixture) -> None:
        super().__init__()
        self.spectrogram: SpectrogramLayer = recipe.spectrogram.build()
        self.pooling = recipe.pooling
        self.decay = recipe.decay

    @property
    def shapes(self) -> tuple[tuple[int, int, int]]:
        """One row of bands."""
        return ((1, 1, self.spectrogram.settings.bins),)

    @property
    def key(self) -> Hashable:
        """That of the spectrogram."""
        return self.spectrogram.key

    def print(self, device: torch.device) -> str:
        """Stands for all that a pooled spectrum depends on but the clip."""
        settings = [POOLED, self.spectrogram.settings.model_dump(), self.pooling, device.type]
        settings += [self.decay] if self.pooling == "gwrp" else []
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]

    def forward(self, samples: Tensor) -> tuple[Tensor]:
        """Pooled spectra [B, F] of samples [B, n]."""
        return (torch.cat([self.chunks(self.whole(row[None]))[0] for row in samples]),)

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Nothing to learn: the mixture scales the bands."""

    def whole(self, waveform: Tensor) -> Tensor:
        """The spectrogram [F, frames]."""
        return self.spectrogram.whole(waveform)

    def chunks(self, whole: Tensor) -> tuple[Tensor]:
        """The pooled spectrum [1, F]: mean, maximum, or global weighted rank pooling of each band's frames.

        The latter weighs a band's frames by decay^rank, the loudest first (Kolesnikov and Lampert 2016,
        arXiv:1603.06098).
        """
        match self.pooling:
            case "mean":
                return (whole.mean(dim=1)[None],)
            case "max":
                return (whole.amax(dim=1)[None],)
            case _:
                ranked = whole.sort(dim=1, descending=True).values
                rank = torch.arange(whole.shape[1], device=whole.device, dtype=whole.dtype)
                weight = torch.pow(torch.tensor(self.decay, dtype=whole.dtype), rank)
                return (((ranked * weight).sum(dim=1) / weight.sum())[None],)
