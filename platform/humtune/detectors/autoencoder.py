"""Autoencoder: what it can't rebuild of a spectrogram is strange. Needs no classes.

After the baseline of DCASE Task 2 (Koizumi et al. 2020, arXiv:2006.05822): a few consecutive frames of a
log-mel spectrogram go through a narrow bottleneck of fully connected layers and are rebuilt. With
`rebuild: middle` the middle frame is predicted from its neighbours alone (Suefusa et al. 2020,
arXiv:2005.09234: an interpolation deep neural network).
"""

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from humtune.detectors.frames import FrameNetwork, FrameRecipe, dense_layers


class Autoencoder(FrameRecipe):
    """Fully connected layers around a bottleneck; scores by the reconstruction error or the bottleneck."""

    sizes: ClassVar[tuple[str, ...]] = (*FrameRecipe.sizes, "hidden", "layers")
    does: ClassVar[str] = "rebuilds"

    family: str = "autoencoder"
    rebuild: Literal["all", "middle"] = Field(
        "all", description="of a run's frames; middle: the middle one, of the others"
    )
    hidden: int = Field(128, ge=1, description="width of a layer")
    layers: int = Field(4, ge=1, description="of this width, on either side of the bottleneck")
    bottleneck: int = Field(8, ge=1, description="width of the narrowest layer: length of an embedding")

    @model_validator(mode="after")
    def _has_a_middle(self) -> Self:
        if self.rebuild == "middle" and (self.frames < 3 or self.frames % 2 == 0):
            raise ValueError(f"rebuild = middle needs an odd number of frames, 3 or more; got {self.frames}")
        return self

    @property
    def layers_size(self) -> str:
        """Layers."""
        return f"{self.layers} × {self.hidden}"

    def network(self, rows: int) -> "Rebuilder":
        """Encoding and decoding layers."""
        return Rebuilder(self, rows)


class Rebuilder(FrameNetwork):
    """Runs of frames to their mean squared error and the bottleneck."""

    def __init__(self, recipe: Autoencoder, rows: int) -> None:
        super().__init__(recipe.frames)
        self.rows = rows
        self.middle_alone = recipe.rebuild == "middle"
        hidden, depth = recipe.hidden, recipe.layers
        inputs = rows * (recipe.frames - self.middle_alone)
        outputs = rows * (1 if self.middle_alone else recipe.frames)
        self.encode = nn.Sequential(*dense_layers([inputs, *[hidden] * depth, recipe.bottleneck]))
        layers = dense_layers([recipe.bottleneck, *[hidden] * depth])
        self.decode = nn.Sequential(*layers, nn.Linear(hidden, outputs))

    def judge(self, runs: Tensor) -> tuple[Tensor, Tensor]:
        """Errors [n] and bottlenecks [n, k]."""
        seen, wanted = self.split(runs) if self.middle_alone else (runs, runs)
        narrow: Tensor = self.encode(seen)
        return (self.decode(narrow) - wanted).square().mean(dim=1), narrow

    def split(self, runs: Tensor) -> tuple[Tensor, Tensor]:
        """The frames around the middle one, and the middle one."""
        first = self.frames // 2 * self.rows
        last = first + self.rows
        return torch.cat([runs[:, :first], runs[:, last:]], dim=1), runs[:, first:last]
