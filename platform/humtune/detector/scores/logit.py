"""What the classifier itself says of a clip."""

import torch
from torch import Tensor

from humtune.config import Scoring
from humtune.detector.head import Embeddings
from humtune.detector.scores.score import Classify, Score
from humtune.errors import UsageError


class NegativeLogit(Score):
    """−max_c logit_c(z) over the classes c of the clip's own section.

    Where classes are sections, that is the own section's logit, as the MobileNetV2 baseline of DCASE 2022
    Task 2 scores, without its softmax. A clip of an unknown section (an exported model knows none) gets the
    largest logit of all (Hendrycks et al., arXiv:1911.11132). Needs the head's classifier; the references say
    which classes a section has, and nothing else, so that masking a clip changes nothing.
    """

    by_section = True

    own: Tensor

    def __init__(
        self, reference: Embeddings, scoring: Scoring | None = None, classify: Classify | None = None
    ) -> None:
        super().__init__(reference, scoring, classify)
        if classify is None:
            raise UsageError("the neg_logit score needs the classifier of a head")
        known = torch.empty(0, dtype=torch.long) if reference.label is None else torch.unique(reference.label)
        self.register_buffer("own", known[known >= 0])

    def score(self, embedding: Tensor) -> Tensor:
        """Negative logits."""
        assert self.classify is not None
        logits = self.classify(embedding.float()).double()
        return -(logits[:, self.own] if len(self.own) else logits).amax(dim=1)

    def forward(self, embedding: Tensor, clip: Tensor | None = None) -> Tensor:
        """Negative logits [n], whatever the clip."""
        return self.score(embedding)
