"""What every score type has in common: the interface, and distances from a reference held in blocks."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from humtune.config import Scoring
from humtune.detector.head import Embeddings

BLOCK = 2**22  # distances held at a time: 32 MiB of float64

Classify = Callable[[Tensor], Tensor]


class Score(nn.Module, ABC):
    """The contract of every score type, built on reference embeddings.

    `classify` is the head's map from embeddings [n, k] to logits [n, C].
    """

    by_section = False  # whether a clip is scored by its own section, whatever the pool

    def __init__(
        self, reference: Embeddings, scoring: Scoring | None = None, classify: Classify | None = None
    ) -> None:
        super().__init__()
        self.reference = reference
        self.scoring = scoring or Scoring()
        self.classify = classify

    @abstractmethod
    def score(self, embedding: Tensor) -> Tensor:
        """Scores float64 [n] of embeddings [n, k]."""

    def forward(self, embedding: Tensor, clip: Tensor | None = None) -> Tensor:
        """Scores float64 [n] of embeddings [n, k].

        Where `clip` [n] is given, reference chunks of the same clip don't count: for scoring training clips.
        The score is then built anew for each clip, unless a subclass knows a shorter way.
        """
        if clip is None:
            return self.score(embedding)
        scores = torch.empty(len(embedding), dtype=torch.float64, device=embedding.device)
        for own in torch.unique(clip):
            rows, others = clip == own, self.reference.take(self.reference.clip != own)
            if len(others.clip):
                scores[rows] = type(self)(others, self.scoring, self.classify).score(embedding[rows])
            else:
                scores[rows] = math.inf
        return scores


class DistanceScore(Score):
    """A score made of the distances from all reference chunks; subclasses say what distance is.

    The reference stays in float32, as the network gave it. Distances are float64: in the matrix forms that
    subclasses use, float32 loses a visible part of the score's spread to cancellation.
    """

    mean: Tensor

    def __init__(
        self, reference: Embeddings, scoring: Scoring | None = None, classify: Classify | None = None
    ) -> None:
        super().__init__(reference, scoring, classify)
        self.register_buffer("mean", reference.mean)

    @abstractmethod
    def distances(self) -> Callable[[Tensor], Tensor]:
        """A function from embeddings [n, k] (float64) to their distances [n, N] from the N reference chunks.

        What depends on the reference alone is made here, once for all blocks.
        """

    def reduce(self, distances: Tensor) -> Tensor:
        """Distances [n, N], infinite where a reference doesn't count, to scores [n]."""
        return distances.amin(dim=1)

    def score(self, embedding: Tensor) -> Tensor:
        """Scores [n], a block of embeddings at a time."""
        return self._in_blocks(embedding, None)

    def forward(self, embedding: Tensor, clip: Tensor | None = None) -> Tensor:
        """Scores [n]; a clip's own reference chunks are infinitely far from it where `clip` [n] is given."""
        return self._in_blocks(embedding, clip)

    def _in_blocks(self, embedding: Tensor, clip: Tensor | None) -> Tensor:
        block = max(1, BLOCK // len(self.mean))
        measure = self.distances()
        scores = []
        for first in range(0, embedding.shape[0], block):
            distances = measure(embedding[first : first + block].double())
            if clip is not None:
                own = clip[first : first + block, None] == self.reference.clip
                distances = distances.masked_fill(own, math.inf)
            scores.append(self.reduce(distances))
        return scores[0] if len(scores) == 1 else torch.cat(scores)
