"""AdaProj: classes told apart by the angle to a subspace each, in which an embedding may lie anywhere."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from humtune.detectors.classifier.adacos import Angles
from humtune.detectors.classifier.heads import Head


class AdaProjHead(Head):
    """The angle to a class's subspace, scaled as in AdaCos (Wilkinghoff 2024, arXiv:2403.14179).

    That a network must only bring a chunk into its class's subspace, not to one point, leaves it more room.
    """

    kind: str = "adaproj"
    dimensions: int = Field(32, ge=1, description="of a class's subspace; fewer than backbone.embedding")
    subspaces: Literal["trainable", "fixed"] = "fixed"
    scale: Literal["fixed", "adaptive"] = Field(
        "adaptive", description="√2 ln(classes − 1), or from batch to batch by what the angles have become"
    )

    @property
    def least_embedding(self) -> int:
        """One more than a subspace's, which would else be all there is."""
        return self.dimensions + 1

    def build(self, embedding: int, classes: Sequence[str], generator: torch.Generator) -> "AdaProj":
        """The head."""
        return AdaProj(self, embedding, len(classes), generator)


class AdaProj(Angles):
    """Angles to the spans of each class's directions [C, k, d]."""

    directions: Tensor

    def __init__(self, head: AdaProjHead, embedding: int, classes: int, generator: torch.Generator) -> None:
        super().__init__(classes, adaptive=head.scale == "adaptive")
        random = torch.randn(classes, embedding, head.dimensions, generator=generator)
        directions, _ = torch.linalg.qr(random)
        if head.subspaces == "trainable":
            self.directions = nn.Parameter(directions)
        else:
            self.register_buffer("directions", directions)

    def cosines(self, embedding: Tensor) -> Tensor:
        """Cosines [B, C, 1]: how long the projections of unit vectors into the subspaces are."""
        basis, _ = torch.linalg.qr(self.directions)
        inside = torch.einsum("bk,ckd->bcd", F.normalize(embedding, dim=1), basis)
        lengths: Tensor = torch.linalg.vector_norm(inside, dim=2, keepdim=True)
        return lengths
