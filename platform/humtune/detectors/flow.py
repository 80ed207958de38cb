"""Flow: how likely a few frames of a log-mel spectrogram are, by a normalising flow. Needs no classes.

A flow maps what it models to independent standard normal values by steps that can be inverted, and so knows
its density. Steps are affine coupling layers (Dinh et al. 2017, arXiv:1605.08803: RealNVP) or masked
autoregressive ones (Papamakarios et al. 2017, arXiv:1705.07057: MAF). With `segment` it is the density of so
many neighbouring bins given all others that is modelled, as in Lopez et al. 2021 (DCASE Task 2), a segment
after the other.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from humtune.detectors.frames import FrameNetwork, FrameRecipe, noise_like
from humtune.detectors.masked import MaskedNetwork
from humtune.detectors.recipe import Check
from humtune.errors import UsageError
from humtune.sounds.table import ClipTable

STEEPEST = 2.0  # bound of a transform's log-scale: keeps a step from tearing the space apart


class Flow(FrameRecipe):
    """A normalising flow; scores by −log p for each bin (`own`) or by what it maps a spectrogram to."""

    sizes: ClassVar[tuple[str, ...]] = (
        *FrameRecipe.sizes,
        *("transform", "transforms", "hidden", "layers", "segment"),
    )

    family: str = "flow"
    transform: Literal["coupling", "autoregressive"] = "coupling"
    transforms: int = Field(4, ge=1, description="steps from a spectrogram to normal values")
    hidden: int = Field(256, ge=1, description="width of a layer of a step's network")
    layers: int = Field(2, ge=1, description="of this width")
    whiten: bool = Field(True, description="begin as the Gaussian with the training frames' covariance")
    noise: float = Field(
        0.3, gt=0, description="deviation of the noise trained with, of bands scaled to deviation 1"
    )
    segment: int = Field(0, ge=0, description="neighbouring bins modelled given all others; 0: all bins")

    @property
    def layers_size(self) -> str:
        """Transforms and their layers."""
        given = f" of {self.segment} bins" if self.segment else ""
        return f"{self.transforms} × {self.transform}{given}, {self.layers} × {self.hidden}"

    def _check_segment(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        rows = self.spectrogram.build().shapes[0][1]
        if self.segment and rows % self.segment:
            possible = [n for n in range(1, rows) if rows % n == 0]
            nearest = min(possible, key=lambda n: abs(n - self.segment))
            raise UsageError(
                f"segment = {self.segment} doesn't divide the spectrogram's {rows} bins; choose {nearest}"
            )

    checks: ClassVar[tuple[Check, ...]] = (
        *FrameRecipe.checks,
        Check(("segment", "spectrogram"), _check_segment),
    )

    def network(self, rows: int) -> "FlowNetwork":
        """Steps that leave everything as it is yet."""
        return FlowNetwork(self, rows)


class FlowNetwork(FrameNetwork):
    """Runs of frames to −log p for each bin and to normal values.

    The D values of a run are S segments of d, S = 1 where there is no `segment`.
    """

    centre: Tensor
    whitener: Tensor
    log_scale: Tensor
    place: Tensor
    others: Tensor

    def __init__(self, recipe: Flow, rows: int) -> None:
        super().__init__(recipe.frames)
        self.noise, self.whiten = recipe.noise, recipe.whiten
        size, bins = recipe.frames * rows, recipe.segment or rows
        place = torch.arange(size).view(recipe.frames, rows // bins, bins).transpose(0, 1).flatten(1)
        segments, d = place.shape
        self.register_buffer("place", place)  # [S, d]: where a segment's values stand in a run
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("whitener", torch.eye(size)[place])  # [S, d, D]
        self.register_buffer("log_scale", torch.zeros(segments))  # of the whitener
        self.register_buffer("others", 1 - self.whitener.sum(dim=1))  # [S, D]: 0 in the segment, 1 outside
        context = size + segments if segments > 1 else 0
        kind = Coupling if recipe.transform == "coupling" else Autoregressive
        self.transforms = nn.ModuleList(
            kind(d, hidden=recipe.hidden, layers=recipe.layers, context=context)
            for _ in range(recipe.transforms)
        )

    def prepare(self, spectrograms: Iterable[Tensor]) -> None:
        """Whiten, where asked to, so that the flow begins as a Gaussian with the covariance of the frames.

        Of a segment it is the Gaussian given all others. With P the inverse of the covariance, P = R Rᵀ in
        the rows and columns of the segment, its values become R⁻¹ P x, in the segment's rows of P.
        """
        if not self.whiten:
            return
        count, total = 0, torch.zeros_like(self.centre).double()
        squares = total.outer(total)
        for spectrogram in spectrograms:
            runs = self.runs(spectrogram).double()
            count += len(runs)
            total += runs.sum(dim=0)
            squares += runs.T @ runs
        mean = total.cpu() / count
        covariance = squares.cpu() / count - mean.outer(mean)
        covariance.diagonal().add_(self.noise**2)
        precision = torch.linalg.inv(covariance)
        self.centre.copy_(mean)
        for i, place in enumerate(self.place.cpu()):
            factor = torch.linalg.cholesky(precision[place][:, place])
            self.whitener[i] = torch.linalg.solve_triangular(factor, precision[place], upper=False)
            self.log_scale[i] = factor.diagonal().log().sum()

    def latent(self, runs: Tensor) -> tuple[Tensor, Tensor]:
        """Normal values [n, S, d] and the log-determinants [n, S] of their Jacobians."""
        count, (segments, d) = len(runs), self.place.shape
        off = runs - self.centre
        z = (off @ self.whitener.flatten(0, 1).T).view(count * segments, d)
        scale = self.log_scale.expand(count, -1).reshape(-1)
        context = self.context(off) if segments > 1 else None
        for transform in self.transforms:
            z, more = transform(z, context)
            scale = scale + more
        return z.view(count, segments, d), scale.view(count, segments)

    def context(self, runs: Tensor) -> Tensor:
        """For each segment of each run, [n · S, D + S]: the other values, and which segment it is."""
        count, segments = len(runs), len(self.place)
        others = (runs[:, None] * self.others).flatten(0, 1)
        which = torch.eye(segments, device=runs.device).expand(count, -1, -1).flatten(0, 1)
        return torch.cat([others, which], dim=1)

    def judge(self, runs: Tensor) -> tuple[Tensor, Tensor]:
        """−log p for each bin [n], the mean over the segments, and normal values [n, D]."""
        z, scale = self.latent(runs)
        d = z.shape[2]
        score = (z.square().sum(dim=2) / 2 - scale) / d + math.log(2 * math.pi) / 2
        return score.mean(dim=1), z.flatten(1)

    def loss(self, spectrogram: Tensor, rng: np.random.Generator) -> Tensor:
        """−log p of the chunks with noise added, which keeps the density of what never changes finite."""
        return super().loss(spectrogram + self.noise * noise_like(spectrogram, rng), rng)


class Transform(nn.Module):
    """A step of a flow: the values [n, d] in another order, moved and scaled."""

    order: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("order", torch.randperm(size))


def _moved(x: Tensor, shift: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Values brought nearer to normal, [n, d], and the log-determinant of that, [n]."""
    bounded = STEEPEST * torch.tanh(log_scale.to(x.dtype) / STEEPEST)
    return (x - shift) * torch.exp(bounded), bounded.sum(dim=1)


class Coupling(Transform):
    """One half of the values is moved and scaled as the other half, which stays, says."""

    def __init__(self, size: int, *, hidden: int, layers: int, context: int) -> None:
        super().__init__(size)
        self.kept = size // 2
        widths = [self.kept + context, *[hidden] * layers]
        inner = [m for pair in pairwise(widths) for m in (nn.Linear(*pair), nn.ReLU())]
        last = nn.Linear(hidden, 2 * (size - self.kept))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(*inner, last)

    def forward(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Values [n, d], and the log-determinant of the Jacobian [n]."""
        z = z[:, self.order]
        stays, moves = z[:, : self.kept], z[:, self.kept :]
        seen = stays if context is None else torch.cat([stays, context], dim=1)
        moved, scale = _moved(moves, *self.network(seen).chunk(2, dim=1))
        return torch.cat([stays, moved], dim=1), scale


class Autoregressive(Transform):
    """Each value is moved and scaled as the values before it say."""

    def __init__(self, size: int, *, hidden: int, layers: int, context: int) -> None:
        super().__init__(size)
        places = torch.arange(size)[None]
        self.network = MaskedNetwork(places, 2, hidden=hidden, layers=layers, context=context)

    def forward(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Values [n, d], and the log-determinant of the Jacobian [n]."""
        z = z[:, self.order]
        return _moved(z, *self.network(z, context))
