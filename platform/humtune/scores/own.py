"""The score that an encoder gives by itself."""

from typing import ClassVar

from torch import Tensor

from humtune.config import Output
from humtune.scores.base import FittedScore, Score
from humtune.scores.encoded import Encoded


class Own(Score):
    """The encoder's own, as a reconstruction error or a negative log-likelihood; without references."""

    needs: ClassVar[frozenset[Output]] = frozenset({Output.SCORE})
    compares: ClassVar[bool] = False

    def fit(self, reference: Encoded) -> "OwnScore":
        """Whatever the references."""
        return OwnScore(self, reference)


class OwnScore(FittedScore):
    """The encoder's own score."""

    def score(self, encoded: Encoded) -> Tensor:
        """The scores as they are."""
        assert encoded.score is not None
        return encoded.score.double()

    def forward(self, encoded: Encoded, *, mask_own: bool = False) -> Tensor:
        """The scores [n] as they are: there are no references to leave out."""
        return self.score(encoded)
