"""What families have in common that judge a few consecutive frames of a spectrogram at a time.

Such runs of frames are cut at every frame of a chunk; the chunk's score is the mean of its runs', and
training makes that mean small on random chunks. A family adds its network, with a loss of its own where it
has one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from humtune import plugins
from humtune.config import Acceleration, Output
from humtune.detectors.chunk_fit import ChunkFit
from humtune.detectors.encoder import ENCODE_BATCH, ChunkEncoder, scoring_chunks
from humtune.detectors.fit import STANDARD_CLIPS, evenly
from humtune.detectors.frontends import Spectrogram, check_chunks
from humtune.detectors.recipe import Check, Recipe, open_union
from humtune.errors import UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import ClipTable


class FrameRecipe(Recipe, ABC):
    """Settings of a family that judges runs of frames; it needs no classes."""

    sizes: ClassVar[tuple[str, ...]] = ("spectrogram", "frames", "batch_size")
    does: ClassVar[str] = "judges"  # a spectrogram, in words

    spectrogram: open_union(plugins.FRONTEND, "spectrogram") = Spectrogram(  # type: ignore[valid-type]
        n_fft=1024, chunk_frames=64, n_mels=128
    )
    frames: int = Field(5, ge=1, description="consecutive frames that are judged together")
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(16, ge=1, description="chunks a step")
    chunks_per_clip: int = Field(5, ge=1, description="times an epoch visits a clip, each at a random start")
    learning_rate: float = Field(1e-3, gt=0)
    scores: tuple[str, ...] = Field(("own",), min_length=1)

    @model_validator(mode="after")
    def _frames_lie_in_a_chunk(self) -> Self:
        if self.frames > self.spectrogram.chunk_frames:
            raise ValueError(
                f"frames = {self.frames} are more than a chunk has: choose at most "
                f"spectrogram.chunk_frames = {self.spectrogram.chunk_frames}"
            )
        return self

    @property
    def gives(self) -> frozenset[Output]:
        """A score, and an embedding."""
        return frozenset({Output.SCORE, Output.EMBEDDING})

    @property
    def budget(self) -> int:
        """Epochs."""
        return self.epochs

    @property
    def size(self) -> str:
        """Front end, layers and batch."""
        runs = f"{self.family} {self.spectrogram.size}, {self.frames} frames"
        return f"{runs}, {self.layers_size}, batch {self.batch_size}"

    @property
    @abstractmethod
    def layers_size(self) -> str:
        """What of the network the time of a step depends on, in words."""

    def _check_chunks(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        gives = self.spectrogram.gives
        if gives != ("spectrogram",):
            raise UsageError(
                f"the family {self.family} {self.does} a spectrogram, spectrogram.kind = "
                f"{self.spectrogram.kind} gives a {' and a '.join(gives)}; set it to spectrogram"
            )
        check_chunks(self.spectrogram, table, lengths)

    checks: ClassVar[tuple[Check, ...]] = (Check(("spectrogram",), _check_chunks),)

    @abstractmethod
    def network(self, rows: int) -> "FrameNetwork":
        """The network for spectrograms of so many rows, with weights of PyTorch's generator."""

    def build(self, classes: tuple[str, ...]) -> "FrameEncoder":
        """The networks with the weights that the seed gives."""
        return FrameEncoder(self, classes)

    def start(
        self,
        bank: ClipBank,
        *,
        device: str = "cpu",
        acceleration: Acceleration = Acceleration(),  # noqa: B008  frozen
    ) -> "FrameFit":
        """A fit before its first epoch."""
        return FrameFit(self, bank, device=device, acceleration=acceleration)


class FrameFit(ChunkFit):
    """Trains by the network's loss."""

    recipe: FrameRecipe
    encoder: "FrameEncoder"

    def __init__(
        self, recipe: FrameRecipe, bank: ClipBank, *, device: str, acceleration: Acceleration
    ) -> None:
        super().__init__(recipe, bank, device=device, acceleration=acceleration)
        self.encoder.prepare(bank, evenly(self.clips, STANDARD_CLIPS))

    def loss(self, samples: Tensor, clips: NDArray[np.intp]) -> Tensor:
        """The network's."""
        (spectrogram,) = self.encoder.frontend(samples)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return self.encoder.layers.loss(spectrogram, self.rng)


class FrameEncoder(ChunkEncoder):
    """Chunks to scores and embeddings."""

    recipe: FrameRecipe

    def __init__(self, recipe: FrameRecipe, classes: tuple[str, ...]) -> None:
        super().__init__(recipe, classes, recipe.spectrogram)
        with torch.random.fork_rng(devices=[]):  # PyTorch's initialisers know no other generator
            torch.default_generator.manual_seed(recipe.seed)
            self.layers: FrameNetwork = recipe.network(self.frontend.shapes[0][1])

    @torch.no_grad()
    def prepare(self, bank: ClipBank, clips: NDArray[np.intp]) -> None:
        """Have front end and network take what they need of the clips before the first step."""
        self.fit_frontend(bank, clips)
        chunks = scoring_chunks(bank, clips, self.settings, ENCODE_BATCH)
        self.layers.prepare(self.frontend(samples.to(self.device))[0] for samples in chunks)

    @property
    def network(self) -> nn.Module:
        """Score and embedding [B, 1 + k]."""
        return self.layers

    def read(self, features: Tensor) -> dict[str, Any]:
        """The score, and the embedding."""
        return {"score": features[:, 0], "mean": features[:, 1:]}

    def replace_network(self, network: nn.Module) -> None:
        """Other layers."""
        self.layers = network  # type: ignore[assignment]  # only to score with


class FrameNetwork(nn.Module, ABC):
    """Spectrograms [B, 1, rows, frames] to [B, 1 + k]: means of the runs' scores and embeddings."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    @abstractmethod
    def judge(self, runs: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [n] and embeddings [n, k] of runs [n, frames · rows], frame after frame."""

    def runs(self, spectrogram: Tensor) -> Tensor:
        """All runs [B · n, frames · rows] of `frames` consecutive frames, n of each spectrogram."""
        runs = spectrogram[:, 0].unfold(2, self.frames, 1).permute(0, 2, 3, 1).flatten(2)
        return runs.flatten(0, 1)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Over all runs of `frames` consecutive frames."""
        batch = spectrogram.shape[0]
        score, embedding = self.judge(self.runs(spectrogram))
        means = embedding.view(batch, -1, embedding.shape[1]).mean(dim=1)
        return torch.cat([score.view(batch, -1).mean(dim=1)[:, None], means], dim=1)

    def prepare(self, spectrograms: Iterable[Tensor]) -> None:
        """Take what it needs, before the first step, of batches of training chunks [B, 1, rows, frames]."""

    def loss(self, spectrogram: Tensor, rng: np.random.Generator) -> Tensor:
        """What a step makes smaller, [], of chunks [B, 1, rows, frames]: their mean score.

        A loss that needs noise draws it from `rng`.
        """
        score: Tensor = self(spectrogram)[:, 0]
        return score.float().mean()


def noise_like(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Standard normal noise of a tensor's shape, the same on every device."""
    return torch.from_numpy(rng.standard_normal(tuple(x.shape), dtype=np.float32)).to(x.device)


def dense_layers(widths: list[int]) -> list[nn.Module]:
    """Fully connected layers with batch norm and ReLU after each."""
    return [
        layer
        for inputs, outputs in pairwise(widths)
        for layer in (nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())
    ]


def log_normal(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of each element the logarithm of N(x; mean, variance)."""
    return -0.5 * (math.log(2 * math.pi) + log_variance + (x - mean).square() * torch.exp(-log_variance))
