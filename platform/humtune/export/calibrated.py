"""The calibrations of an ensemble's members as parts of a graph: float64 scores to float64 scores."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humtune.evaluation.calibration import GammaTail, Standard

Calibration = Standard | GammaTail

TAIL = 1024  # straight pieces that stand for the tail of a gamma distribution


class Straight(nn.Module):
    """Scores [n] in standard deviations above a mean."""

    def __init__(self, scale: Standard) -> None:
        super().__init__()
        self.mean, self.spread = scale.mean, scale.spread

    def forward(self, scores: Tensor) -> Tensor:
        """Calibrated scores."""
        return (scores - self.mean) / self.spread


class Pieces(nn.Module):
    """Scores [n] through straight pieces between knots [K], the outer pieces going on for ever."""

    knots: Tensor
    values: Tensor
    slopes: Tensor

    def __init__(self, knots: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("knots", torch.from_numpy(knots))
        self.register_buffer("values", torch.from_numpy(values))
        self.register_buffer("slopes", torch.from_numpy(np.diff(values) / np.diff(knots)))

    def forward(self, scores: Tensor) -> Tensor:
        """Calibrated scores."""
        piece = (scores[:, None] >= self.knots[1:-1]).sum(dim=1)
        return self.values[piece] + self.slopes[piece] * (scores - self.knots[piece])


def calibrated(calibration: Calibration | None) -> nn.Module:
    """A calibration as a module; the identity for None."""
    if calibration is None:
        return nn.Identity()
    if isinstance(calibration, Standard):
        return Straight(calibration)
    knots = _knots(calibration)
    return Pieces(knots, calibration(knots))


def _knots(calibration: GammaTail) -> NDArray[np.float64]:
    """Where the pieces of a gamma-tailed calibration meet.

    Its body and both its ends are straight between knots already; the tail between is smooth.
    """
    spread, body = calibration.scale.spread, np.array(calibration.knots)
    tail = body[-1] + (calibration.end - body[-1]) * np.linspace(0, 1, TAIL + 1) ** 2
    return np.concatenate([body[:1] - spread, body, tail[1:], tail[-1:] + spread])
