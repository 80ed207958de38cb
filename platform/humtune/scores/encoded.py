"""What an encoder gives of clips: the input of every score."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """N rows: so many `chunks` of each clip, clip after clip; None is what an encoder doesn't give.

    `mean` and `log_variance` [N, k] are embeddings, `score` [N] is the encoder's own anomaly score, higher is
    more anomalous; `classify` maps embeddings [n, k] to logits [n, C] of the classes. `clip` [N] says which
    clip each row is of; `section` [N], `domain` [N] (-1: unknown) and `label` [N], the index of its class
    (-1: none that was trained), are None where they are not known.
    """

    mean: Tensor | None = None
    log_variance: Tensor | None = None
    clip: Tensor | None = None
    section: Tensor | None = None
    domain: Tensor | None = None
    label: Tensor | None = None
    score: Tensor | None = None
    chunks: int = 5
    classify: Callable[[Tensor], Tensor] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def columns(self) -> dict[str, Tensor]:
        """What is known of each row, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    @property
    def embedding(self) -> Tensor:
        """The embeddings' means [N, k], of an encoder that gives embeddings."""
        assert self.mean is not None
        return self.mean

    def take(self, rows: Tensor | slice) -> "Encoded":
        """The chosen rows, by index or by mask."""
        return self._with({name: value[rows] for name, value in self.columns.items()})

    @property
    def logits(self) -> Tensor:
        """Logits [N, C] of the rows, of an encoder that has classes."""
        assert self.classify is not None
        return self.classify(self.embedding.float())

    @classmethod
    def joined(cls, parts: Sequence["Encoded"]) -> "Encoded":
        """The rows of several, one after the other; all know the same of their rows."""
        columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in parts[0].columns}
        return parts[0]._with(columns)

    def averaged(self) -> "Encoded":
        """One row a clip: embeddings, variances and scores, each averaged over its chunks."""
        first = self.take(slice(None, None, self.chunks))
        variance = None
        if self.log_variance is not None:
            variance = over_chunks(self.log_variance.exp(), self.chunks).log()
        means = {
            name: over_chunks(value, self.chunks) for name, value in self.columns.items() if name in _MEANS
        }
        return replace(first._with(means), log_variance=variance, chunks=1)

    def _with(self, columns: dict[str, Tensor]) -> "Encoded":
        changed: dict[str, Any] = {**columns}
        return replace(self, **changed)


_MEANS = ("mean", "score")


def over_chunks(values: Tensor, chunks: int) -> Tensor:
    """Means [n, …] over the chunks of each clip of [n · chunks, …]."""
    return values.view(-1, chunks, *values.shape[1:]).mean(dim=1)
