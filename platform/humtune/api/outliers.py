"""What scikit-learn calls an outlier detector's methods, with its signs: higher is more normal."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humtune.errors import UsageError

Sound = NDArray[np.floating] | NDArray[np.int16] | str | Path  # samples [n], [n, channels], or a file
Array = NDArray[np.float64]


def one_by_one(X: Iterable[Sound]) -> Iterator[Sound]:
    """Each of some sounds; UsageError for a single name, whose letters would be taken for files."""
    if isinstance(X, str | Path):
        raise UsageError(f"{X}: one name, where a list of files or arrays is due; give [{str(X)!r}]")
    yield from X


class Outliers(ABC):
    """Scores sounds as scikit-learn's outlier detectors score samples.

    humtune's own scores are the other way round, as PyOD's are: the higher, the stranger. So PyOD's
    `decision_function` is `-score_samples`, and its labels 0 and 1 are 1 and -1 here.
    """

    @abstractmethod
    def anomaly_scores(self, X: Iterable[Sound]) -> tuple[Array, Array]:
        """Anomaly scores [n] of sounds, higher is stranger, and the limit [n] of each."""

    def score_samples(self, X: Iterable[Sound]) -> Array:
        """The opposite of each sound's anomaly score [n]: the lower, the stranger."""
        return -self.anomaly_scores(X)[0]

    def decision_function(self, X: Iterable[Sound]) -> Array:
        """How far each sound is below its limit [n], in units of the score; negative of anomalies."""
        scores, limits = self.anomaly_scores(X)
        return limits - scores

    def predict(self, X: Iterable[Sound]) -> NDArray[np.int64]:
        """1 for each normal sound [n], -1 for each anomaly."""
        scores, limits = self.anomaly_scores(X)
        return np.where(scores > limits, -1, 1)
