"""From a score of chunks to one of clips: whose references count, and what becomes of five chunks."""

import torch
from torch import Tensor, nn

from humtune.config import TEST_CHUNKS, Scoring
from humtune.detector.head import Embeddings, over_chunks
from humtune.detector.scores.logit import NegativeLogit
from humtune.detector.scores.mahalanobis import ClassMahalanobis, Mahalanobis
from humtune.detector.scores.nearest import Cosine, NegativeLogLikelihood
from humtune.detector.scores.neighbours import NearestNeighbours, NormalisedNeighbours
from humtune.detector.scores.score import Classify, Score

SCORES: dict[str, type[Score]] = {
    "cosine": Cosine,
    "nll": NegativeLogLikelihood,
    "knn": NearestNeighbours,
    "knn_normalised": NormalisedNeighbours,
    "mahalanobis": Mahalanobis,
    "mahalanobis_class": ClassMahalanobis,
    "neg_logit": NegativeLogit,
}


class ClipScore(nn.Module):
    """One score type of whole clips, with the settings' pool and aggregation.

    With the pool `section` a clip is scored against the references of its own section, as by a detector that
    knew no other. One whose section is unknown, or has no reference, is scored against the whole machine's.
    """

    def __init__(
        self, name: str, reference: Embeddings, scoring: Scoring, classify: Classify | None = None
    ) -> None:
        super().__init__()
        self.aggregation = scoring.aggregation
        if self.aggregation == "embedding":
            reference = reference.averaged()
        kind = SCORES[name]
        self.machine = kind(reference, scoring, classify)
        self.sections: dict[int, Score] = {}
        if reference.section is not None and (scoring.pool == "section" or kind.by_section):
            for section in torch.unique(reference.section).tolist():
                own = reference.take(reference.section == section)
                self.sections[section] = kind(own, scoring, classify)

    def forward(
        self, embedding: Tensor, *, clip: Tensor | None = None, section: Tensor | None = None
    ) -> Tensor:
        """Scores float64 [n] of embeddings [n · 5, k], five chunks a clip, clip after clip.

        `clip` [n · 5]: leave out reference chunks of the same clip. `section` [n · 5]: where it is known.
        """
        if self.aggregation == "embedding":
            embedding = over_chunks(embedding)
            clip = None if clip is None else clip[::TEST_CHUNKS]
            section = None if section is None else section[::TEST_CHUNKS]
            return self._pooled(embedding, clip, section)
        chunks = self._pooled(embedding, clip, section).view(-1, TEST_CHUNKS)
        return chunks.amax(dim=1) if self.aggregation == "max" else chunks.mean(dim=1)

    def _pooled(self, embedding: Tensor, clip: Tensor | None, section: Tensor | None) -> Tensor:
        if section is None or not self.sections:
            scores: Tensor = self.machine(embedding, clip)
            return scores
        scores = torch.empty(len(embedding), dtype=torch.float64, device=embedding.device)
        for value in torch.unique(section).tolist():
            rows = section == value
            score = self.sections.get(value, self.machine)
            scores[rows] = score(embedding[rows], None if clip is None else clip[rows])
        return scores
