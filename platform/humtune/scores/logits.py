"""What a classifier itself says of a clip."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from humtune.config import Output
from humtune.scores.base import FittedScore, Score
from humtune.scores.encoded import Encoded


class NegativeLogit(Score):
    """−max_c logit_c over the classes c of the clip's own section.

    Where classes are sections, that is the own section's logit, as the MobileNetV2 baseline of DCASE 2022
    Task 2 scores, without its softmax. A clip of an unknown section (an exported model knows none) gets the
    largest logit of all (Hendrycks et al., arXiv:1911.11132). The references say which classes a section has,
    and nothing else, so that masking a clip changes nothing.
    """

    needs: ClassVar[frozenset[Output]] = frozenset({Output.LOGITS})
    by_section: ClassVar[bool] = True

    def fit(self, reference: Encoded) -> "LargestLogit":
        """With the classes of these references."""
        return LargestLogit(self, reference)


class LargestLogit(FittedScore):
    """The negative of the largest logit among the references' classes."""

    own: Tensor

    def __init__(self, settings: NegativeLogit, reference: Encoded) -> None:
        super().__init__(settings, reference)
        known = torch.empty(0, dtype=torch.long) if reference.label is None else torch.unique(reference.label)
        self.register_buffer("own", known[known >= 0])

    def score(self, encoded: Encoded) -> Tensor:
        """Negative logits."""
        logits = encoded.logits.double()
        return -(logits[:, self.own] if len(self.own) else logits).amax(dim=1)

    def forward(self, encoded: Encoded, *, mask_own: bool = False) -> Tensor:
        """Negative logits [n], whatever the clip."""
        return self.score(encoded)


class NegativeLogProbability(NegativeLogit):
    """−log of the mean probability of the classes of the clip's own section.

    Where classes are sections, that is −log softmax of the own section (Liu et al. 2022); where they are
    attributes, the score of Xiao et al. 2022. Where all classes are the section's own, or the section is not
    known, their mean says nothing: the largest probability counts (Hendrycks and Gimpel, arXiv:1610.02136).
    """

    def fit(self, reference: Encoded) -> "MeanProbability":
        """With the classes of these references."""
        return MeanProbability(self, reference)


class MeanProbability(LargestLogit):
    """The negative logarithm of the mean probability of the references' classes."""

    def score(self, encoded: Encoded) -> Tensor:
        """Nats."""
        log_p = encoded.logits.double().log_softmax(dim=1)
        if 0 < len(self.own) < log_p.shape[1]:
            return math.log(len(self.own)) - log_p[:, self.own].logsumexp(dim=1)
        return -log_p.amax(dim=1)
