"""What every score type has in common: its settings, what it needs, and what it is once it is fitted."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from humtune.config import Output, References, Settings
from humtune.scores.encoded import Encoded

BLOCK = 2**22  # distances held at a time: 32 MiB of float64


class Score(References, ABC):
    """A score type and its settings. Fitted to reference rows it maps rows to scores.

    `needs` says what an encoder must give for it, of references and of what is scored. With `by_section` a
    clip is scored by its own section, whatever the pool; one that doesn't `compare` looks at no references.
    """

    needs: ClassVar[frozenset[Output]] = frozenset({Output.EMBEDDING})
    by_section: ClassVar[bool] = False
    compares: ClassVar[bool] = True

    @property
    def needs_section(self) -> bool:
        """Whether a clip's section must be known to score it."""
        return self.by_section or (self.compares and self.pool == "section")

    @property
    def unused(self) -> frozenset[str]:
        """The settings of references that change nothing, as of a score that compares no embeddings."""
        if self.by_section or not self.compares:
            return frozenset(References.model_fields)
        embeds = Output.EMBEDDING in self.needs
        return frozenset() if embeds else frozenset(References.model_fields) - {"pool"}

    @abstractmethod
    def fit(self, reference: Encoded) -> "FittedScore":
        """The score against these references."""


class FittedScore(nn.Module, ABC):
    """A score type that knows its references."""

    def __init__(self, settings: Score, reference: Encoded) -> None:
        super().__init__()
        self.settings = settings
        self.reference = reference

    @abstractmethod
    def score(self, encoded: Encoded) -> Tensor:
        """Scores float64 [N] of N rows; higher is more anomalous."""

    def forward(self, encoded: Encoded, *, mask_own: bool = False) -> Tensor:
        """Scores float64 [N] of N rows.

        With `mask_own`, references of a row's own clip don't count: for scoring training clips. The score is
        then fitted anew for each clip, unless a subclass knows a shorter way.
        """
        if not mask_own:
            return self.score(encoded)
        clip, of_reference = encoded.clip, self.reference.clip
        assert clip is not None
        assert of_reference is not None
        scores = torch.empty(len(encoded), dtype=torch.float64, device=clip.device)
        for own in torch.unique(clip):
            rows, others = clip == own, self.reference.take(of_reference != own)
            if len(others):
                scores[rows] = self.settings.fit(others).score(encoded.take(rows))
            else:
                scores[rows] = math.inf
        return scores


class DistanceScore(FittedScore):
    """A score made of the distances from all references; subclasses say what distance is.

    References stay in float32, as the network gave them. Distances are float64: in the matrix forms that
    subclasses use, float32 loses a visible part of the score's spread to cancellation.
    """

    mean: Tensor

    def __init__(self, settings: Score, reference: Encoded) -> None:
        super().__init__(settings, reference)
        self.register_buffer("mean", reference.embedding)

    @abstractmethod
    def distances(self) -> Callable[[Tensor], Tensor]:
        """A function from embeddings [n, k] (float64) to their distances [n, N] from the N references.

        What depends on the references alone is made here, once for all blocks.
        """

    def reduce(self, distances: Tensor) -> Tensor:
        """Distances [n, N], infinite where a reference doesn't count, to scores [n]."""
        return distances.amin(dim=1)

    def score(self, encoded: Encoded) -> Tensor:
        """Scores [n], a block of embeddings at a time."""
        return self._in_blocks(encoded.embedding, None, self.reduce)

    def forward(self, encoded: Encoded, *, mask_own: bool = False) -> Tensor:
        """Scores [n]; with `mask_own` a clip's own references are infinitely far from it."""
        return self._in_blocks(encoded.embedding, encoded.clip if mask_own else None, self.reduce)

    def _in_blocks(
        self, embedding: Tensor, clip: Tensor | None, reduce: Callable[[Tensor], Tensor]
    ) -> Tensor:
        block = max(1, BLOCK // len(self.mean))
        measure = self.distances()
        scores = []
        for first in range(0, embedding.shape[0], block):
            distances = measure(embedding[first : first + block].double())
            if clip is not None:
                assert self.reference.clip is not None
                own = clip[first : first + block, None] == self.reference.clip
                distances = distances.masked_fill(own, math.inf)
            scores.append(reduce(distances))
        return scores[0] if len(scores) == 1 else torch.cat(scores)


class JointScore(Settings, ABC):
    """A score type made of a clip's scores of the other types, two or more."""

    needs: ClassVar[frozenset[Output]] = frozenset({Output.SCORES})
    needs_section: ClassVar[bool] = False  # beyond what the other types need
    unused: ClassVar[frozenset[str]] = frozenset()
    least_clips: ClassVar[int] = 0  # held out of training, to be fitted by

    @abstractmethod
    def fit(self, held_out: Mapping[str, ArrayLike]) -> "FittedJoint":
        """Made to fit the scores [N] that held-out normal clips have of each type."""

    @abstractmethod
    def load(self, constants: dict[str, Any]) -> "FittedJoint":
        """What gave these constants."""


class FittedJoint(Protocol):
    """A joint score that knows how the other types' scores are distributed."""

    def __call__(self, scores: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Scores float64 [N] of clips with scores [N] of each type."""

    def constants(self) -> dict[str, Any]:
        """All that it knows, as plain numbers in dictionaries."""

    def graph(self, parts: Mapping[str, nn.Module]) -> nn.Module:
        """The same as a function of what the parts (score type -> module) are functions of: float64 [n]."""
