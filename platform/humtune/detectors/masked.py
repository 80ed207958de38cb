"""Masked layers: a network whose output of an input depends on the inputs before it alone.

After MADE (Germain et al. 2015, arXiv:1502.03509): each unit has a degree, and no weight leads from a unit to
one of a lower degree.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MaskedNetwork(nn.Module):
    """Values [n, D] to a number of outputs for each of them, that sees those at earlier places.

    `places` [K, D] are the values' places, from 0 on, in each of K orders, which share the weights; values at
    the same place don't see each other. All outputs see a `context` of so many values. They start as 0.
    """

    first: Tensor
    between: Tensor
    last: Tensor

    def __init__(self, places: Tensor, outputs: int, *, hidden: int, layers: int, context: int = 0) -> None:
        super().__init__()
        orders, size = places.shape
        lowest = -1 if context else 0  # units that see the context alone, for the values at the first place
        highest = max(int(places.max()) - 1, lowest)
        if hidden > highest - lowest:
            degrees = lowest + torch.arange(hidden) % (highest - lowest + 1)
        else:  # fewer units than degrees: evenly from the lowest to the highest, so that no value is left out
            degrees = torch.linspace(highest, lowest, hidden).round().flip(0)
        seen = torch.cat([places, torch.full((orders, context), -1)], dim=1)
        widths = [size + context, *[hidden] * layers, outputs * size]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        for value in self.layers[-1].parameters():
            nn.init.zeros_(value)
        self.outputs = outputs
        self.register_buffer("first", degrees[:, None] >= seen[:, None])
        self.register_buffer("between", degrees[:, None] >= degrees)
        self.register_buffer("last", places.repeat(1, outputs)[:, :, None] > degrees)

    def forward(self, values: Tensor, context: Tensor | None = None, *, order: int = 0) -> tuple[Tensor, ...]:
        """Each of the outputs, [n, D]."""
        x = values if context is None else torch.cat([values, context], dim=1)
        masks = [self.first[order], *[self.between] * (len(self.layers) - 2), self.last[order]]
        for i, (layer, mask) in enumerate(zip(self.layers, masks, strict=True)):
            assert isinstance(layer, nn.Linear)
            x = F.linear(F.relu(x) if i else x, layer.weight * mask, layer.bias)
        return x.chunk(self.outputs, dim=1)
