"""Autoencoder: what it can't rebuild of a spectrogram is strange. Needs no classes.

After the baseline of DCASE Task 2 (Koizumi et al. 2020, arXiv:2006.05822): a few consecutive frames of a
log-mel spectrogram go through a narrow bottleneck of fully connected layers and are rebuilt.
"""

import math
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from humtune import plugins
from humtune.config import Acceleration, Output
from humtune.detectors.encoder import ChunkEncoder, random_chunks
from humtune.detectors.fit import STANDARD_CLIPS, Fit, evenly
from humtune.detectors.frontends import Spectrogram, check_chunks
from humtune.detectors.recipe import Check, Recipe, open_union
from humtune.errors import HumtuneError, UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import ClipTable


class Autoencoder(Recipe):
    """Fully connected layers around a bottleneck; scores by the reconstruction error or the bottleneck."""

    sizes: ClassVar[tuple[str, ...]] = ("spectrogram", "frames", "hidden", "layers", "batch_size")

    family: str = "autoencoder"
    spectrogram: open_union(plugins.FRONTEND, "spectrogram") = Spectrogram(  # type: ignore[valid-type]
        n_fft=1024, chunk_frames=64, n_mels=128
    )
    frames: int = Field(5, ge=1, description="consecutive frames that are rebuilt together")
    hidden: int = Field(128, ge=1, description="width of a layer")
    layers: int = Field(4, ge=1, description="of this width, on either side of the bottleneck")
    bottleneck: int = Field(8, ge=1, description="width of the narrowest layer: length of an embedding")
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(16, ge=1, description="chunks a step")
    chunks_per_clip: int = Field(5, ge=1, description="times an epoch visits a clip, each at a random start")
    learning_rate: float = Field(1e-3, gt=0)
    scores: tuple[str, ...] = Field(("own",), min_length=1)

    @property
    def gives(self) -> frozenset[Output]:
        """The reconstruction error, and the bottleneck's mean over a chunk."""
        return frozenset({Output.SCORE, Output.EMBEDDING})

    @property
    def budget(self) -> int:
        """Epochs."""
        return self.epochs

    @property
    def size(self) -> str:
        """Front end, layers and batch."""
        layers = f"{self.frames} frames, {self.layers} × {self.hidden}"
        return f"autoencoder {self.spectrogram.size}, {layers}, batch {self.batch_size}"

    def _check_chunks(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        gives = self.spectrogram.gives
        if gives != ("spectrogram",):
            raise UsageError(
                f"the family {self.family} rebuilds a spectrogram, spectrogram.kind = "
                f"{self.spectrogram.kind} gives a {' and a '.join(gives)}; set it to spectrogram"
            )
        check_chunks(self.spectrogram, table, lengths)

    checks: ClassVar[tuple[Check, ...]] = (Check(("spectrogram",), _check_chunks),)

    def build(self, classes: tuple[str, ...]) -> "AutoencoderEncoder":
        """The networks with the weights that the seed gives."""
        return AutoencoderEncoder(self, classes)

    def start(
        self,
        bank: ClipBank,
        *,
        device: str = "cpu",
        acceleration: Acceleration = Acceleration(),  # noqa: B008  frozen
    ) -> "AutoencoderFit":
        """A fit before its first epoch."""
        return AutoencoderFit(self, bank, device=device, acceleration=acceleration)


class AutoencoderFit(Fit):
    """Trains on random chunks by the mean squared error, with Adam."""

    kept: ClassVar[tuple[str, ...]] = ("done", "encoder", "optimiser", "rng")

    recipe: Autoencoder
    encoder: "AutoencoderEncoder"

    def __init__(
        self, recipe: Autoencoder, bank: ClipBank, *, device: str, acceleration: Acceleration
    ) -> None:
        super().__init__(recipe, bank, recipe.build(()).to(device))
        self.device = torch.device(device)
        self.bf16 = acceleration.bf16
        self.optimiser = torch.optim.Adam(self.encoder.parameters(), lr=recipe.learning_rate)
        self.rng = np.random.default_rng(recipe.seed)
        self.encoder.fit_frontend(bank, evenly(self.clips, STANDARD_CLIPS))

    def step(self) -> dict[str, float]:
        """Visit every training clip `chunks_per_clip` times; the epoch's mean squared error."""
        self.encoder.train()
        visits = self.rng.permutation(np.repeat(self.clips, self.recipe.chunks_per_clip))
        total = torch.zeros((), device=self.device)
        for first in range(0, len(visits), self.recipe.batch_size):
            clips = visits[first : first + self.recipe.batch_size]
            samples = random_chunks(self.bank, clips, self.recipe.spectrogram, self.rng).to(self.device)
            (spectrogram,) = self.encoder.frontend(samples)
            self.optimiser.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                error = self.encoder.network(spectrogram)[:, 0].float().mean()
            error.backward()
            self.optimiser.step()
            total += error.detach() * len(clips)
        self.done += 1
        loss = float(total) / len(visits)
        if not math.isfinite(loss):
            raise HumtuneError(f"the reconstruction error became {loss} in epoch {self.done}")
        return {"loss": loss}


class AutoencoderEncoder(ChunkEncoder):
    """Chunks to reconstruction errors and bottleneck means."""

    recipe: Autoencoder

    def __init__(self, recipe: Autoencoder, classes: tuple[str, ...]) -> None:
        super().__init__(recipe, classes, recipe.spectrogram)
        with torch.random.fork_rng(devices=[]):  # PyTorch's initialisers know no other generator
            torch.default_generator.manual_seed(recipe.seed)
            self.layers: nn.Module = Rebuilder(recipe, rows=self.frontend.shapes[0][1])

    @property
    def network(self) -> nn.Module:
        """Error and bottleneck [B, 1 + bottleneck]."""
        return self.layers

    def read(self, features: Tensor) -> dict[str, Any]:
        """The error as the score, the bottleneck as the embedding."""
        return {"score": features[:, 0], "mean": features[:, 1:]}

    def replace_network(self, network: nn.Module) -> None:
        """Other layers."""
        self.layers = network


class Rebuilder(nn.Module):
    """Spectrograms [B, 1, rows, frames] to [B, 1 + k]: mean squared error, mean of the bottleneck."""

    def __init__(self, recipe: Autoencoder, rows: int) -> None:
        super().__init__()
        self.frames = recipe.frames
        size, hidden, depth = rows * recipe.frames, recipe.hidden, recipe.layers
        self.encode = nn.Sequential(*_layers([size, *[hidden] * depth, recipe.bottleneck]))
        self.decode = nn.Sequential(*_layers([recipe.bottleneck, *[hidden] * depth]), nn.Linear(hidden, size))

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Over all runs of `frames` consecutive frames."""
        runs = spectrogram[:, 0].unfold(2, self.frames, 1).permute(0, 2, 3, 1).flatten(2)
        batch, count, size = runs.shape
        flat = runs.reshape(batch * count, size)
        narrow = self.encode(flat)
        error = (self.decode(narrow) - flat).square().mean(dim=1).view(batch, count).mean(dim=1)
        return torch.cat([error[:, None], narrow.view(batch, count, -1).mean(dim=1)], dim=1)


def _layers(widths: list[int]) -> list[nn.Module]:
    """Fully connected layers with batch norm and ReLU between them."""
    return [
        layer
        for inputs, outputs in pairwise(widths)
        for layer in (nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())
    ]
