"""Fusion of a detector's score types, as a score type among them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from humtune.metrics.calibration import LEAST_CLIPS, Fusion
from humtune.scores.base import JointScore


class FusionScore(JointScore):
    """The least of a clip's scores of the other types, each by how unusual it is among held-out clips."""

    least_clips: ClassVar[int] = LEAST_CLIPS

    def fit(self, held_out: Mapping[str, ArrayLike]) -> "FittedFusion":
        """By the held-out clips' scores [N] of each type."""
        return FittedFusion.of(held_out)

    def load(self, constants: dict[str, Any]) -> "FittedFusion":
        """With the centre and spread that were found."""
        return FittedFusion(**constants)


@dataclass(frozen=True)
class FittedFusion(Fusion):
    """A fusion that can become a part of a graph."""

    def constants(self) -> dict[str, Any]:
        """Centre and spread of each type."""
        return asdict(self)

    def graph(self, parts: Mapping[str, nn.Module]) -> nn.Module:
        """The fusion of what the parts give."""
        return FusionGraph(self, parts)


class FusionGraph(nn.Module):
    """A fusion as a function of what its parts are functions of: of the same arithmetic as `Fusion`."""

    centre: Tensor
    spread: Tensor

    def __init__(self, fusion: Fusion, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts[name] for name in fusion.centre)
        for name, constants in (("centre", fusion.centre), ("spread", fusion.spread)):
            values = [constants[of] for of in fusion.centre]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64)[:, None])

    def forward(self, *inputs: Any) -> Tensor:
        """The fusion score, float64 [n]."""
        scores = torch.stack([part(*inputs) for part in self.parts])
        return ((scores - self.centre) / self.spread).amin(dim=0)
