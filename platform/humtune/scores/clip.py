"""From a score of chunks to one of clips: whose references count, and what becomes of a clip's chunks."""

import torch
from torch import Tensor, nn

from humtune.config import Aggregation, Pool
from humtune.scores.base import FittedScore, Score
from humtune.scores.encoded import Encoded


class ClipScore(nn.Module):
    """A score type of whole clips.

    With the pool `section` a clip is scored against the references of its own section, as by a detector that
    knew no other. One whose section is unknown, or has no reference, is scored against the whole machine's.
    Where `aggregation` is `embedding`, references and clips come averaged already: as one row each.
    """

    def __init__(self, score: Score, reference: Encoded, *, pool: Pool, aggregation: Aggregation) -> None:
        super().__init__()
        self.aggregation = aggregation
        self.machine = score.fit(reference)
        self.sections: dict[int, FittedScore] = {}
        if reference.section is not None and (pool == "section" or score.by_section):
            for section in torch.unique(reference.section).tolist():
                self.sections[section] = score.fit(reference.take(reference.section == section))

    def forward(self, encoded: Encoded, *, mask_own: bool = False) -> Tensor:
        """Scores float64 [n] of n clips; with `mask_own`, references of the same clip are left out."""
        chunks = self._pooled(encoded, mask_own=mask_own).view(-1, encoded.chunks)
        if self.aggregation == "median":
            count = chunks.shape[1]
            chunks = chunks.sort(dim=1).values[:, (count - 1) // 2 : count // 2 + 1]
        return chunks.amax(dim=1) if self.aggregation == "max" else chunks.mean(dim=1)

    def _pooled(self, encoded: Encoded, *, mask_own: bool) -> Tensor:
        if encoded.section is None or not self.sections:
            scores: Tensor = self.machine(encoded, mask_own=mask_own)
            return scores
        scores = torch.empty(len(encoded), dtype=torch.float64, device=encoded.section.device)
        for value in torch.unique(encoded.section).tolist():
            rows = encoded.section == value
            score = self.sections.get(value, self.machine)
            scores[rows] = score(encoded.take(rows), mask_own=mask_own)
        return scores
