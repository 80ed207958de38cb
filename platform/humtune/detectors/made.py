"""Made: how likely a few frames of a log-mel spectrogram are, each group of bins given the groups before it.

After the group masked autoencoder of Giri et al. 2020 (DCASE workshop): masked layers give mean and variance
of a Gaussian for each bin, and the negative log-likelihood is averaged over several orders of the groups,
which share the weights. Needs no classes.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from humtune.detectors.frames import FrameNetwork, FrameRecipe, log_normal
from humtune.detectors.masked import MaskedNetwork


class Made(FrameRecipe):
    """A masked autoencoder; scores by −log p for each bin (`own`) or by how far bins are from expected."""

    sizes: ClassVar[tuple[str, ...]] = (*FrameRecipe.sizes, "hidden", "layers", "orders")

    family: str = "made"
    group: int = Field(0, ge=0, description="neighbouring bins of a frame in a group; 0: the whole frame")
    orders: int = Field(4, ge=1, description="of the groups, over which is averaged")
    hidden: int = Field(512, ge=1, description="width of a layer")
    layers: int = Field(2, ge=1, description="of this width")
    floor: float = Field(1e-2, gt=0, description="added to variances, of bands scaled to variance 1")

    @property
    def layers_size(self) -> str:
        """Layers and orders."""
        return f"{self.layers} × {self.hidden}, {self.orders} orders"

    def network(self, rows: int) -> "MadeNetwork":
        """Masked layers, and the orders."""
        return MadeNetwork(self, rows)


class MadeNetwork(FrameNetwork):
    """Runs of frames to −log p for each bin, and each bin's distance from what was expected of it."""

    def __init__(self, recipe: Made, rows: int) -> None:
        super().__init__(recipe.frames)
        self.floor = recipe.floor
        in_frame = torch.arange(rows) // (recipe.group or rows)
        groups = int(in_frame.max()) + 1
        group = (torch.arange(recipe.frames)[:, None] * groups + in_frame).flatten()
        count = recipe.frames * groups
        orders = [torch.arange(count), *(torch.randperm(count) for _ in range(recipe.orders - 1))]
        self.orders = recipe.orders
        self.masked = MaskedNetwork(
            torch.stack(orders)[:, group], 2, hidden=recipe.hidden, layers=recipe.layers
        )

    def gaussians(self, runs: Tensor, order: int) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [n, frames · rows] of each bin, given the groups before it in an order."""
        mean, log_variance = self.masked(runs, order=order)
        return mean, (log_variance.to(runs.dtype).exp() + self.floor).log()

    def judge(self, runs: Tensor) -> tuple[Tensor, Tensor]:
        """Averages over the orders: −log p for each bin [n], deviations from the mean [n, frames · rows]."""
        score, off = torch.zeros_like(runs[:, 0]), torch.zeros_like(runs)
        for order in range(self.orders):
            mean, log_variance = self.gaussians(runs, order)
            score = score - log_normal(runs, mean, log_variance).mean(dim=1)
            off = off + (runs - mean) * torch.exp(-0.5 * log_variance)
        return score / self.orders, off / self.orders
