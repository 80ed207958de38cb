"""What MLflow loads of a registered model: a model folder that answers waveforms with scores and decisions.

MLflow finds this file by its name and calls `_load_pyfunc`; nothing is pickled, nothing of MLflow is needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humtune.runtime.scorer import Scorer


class Served:
    """An exported model in the form that MLflow asks of one."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def predict(
        self, model_input: NDArray[np.float32], params: Mapping[str, Any] | None = None
    ) -> list[dict[str, float | bool]]:
        """Score and decision of each of the waveforms [n, samples] in [-1, 1], at the model's rate."""
        waveforms = np.atleast_2d(model_input)
        scores = [self.scorer.score(waveform) for waveform in waveforms]
        length = waveforms.shape[1]
        return [{"score": score, "anomaly": self.scorer.decide(score, length)} for score in scores]


def _load_pyfunc(path: str) -> Served:
    return Served(Scorer.open(Path(path)))
