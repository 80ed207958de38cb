"""From scores to decisions: a threshold out of normal clips that the detector never saw."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humtune.errors import HumtuneError, UsageError

FALSE_ALARMS = 0.1  # share of normal clips that a threshold may flag, where nobody asks for another


@dataclass(frozen=True)
class Threshold:
    """A score above which a clip is called anomalous, and what it was measured on."""

    value: float
    false_alarms: float  # the rate that was asked for, 0…1
    clips: int  # held-out normal clips behind it
    note: str | None = None  # what a user should know about it


def threshold_from(held_out: ArrayLike, *, false_alarms: float = FALSE_ALARMS) -> Threshold:
    """The score of a held-out normal clip that at most the wanted share of held-out clips exceed.

    Scores [N] of normal clips kept out of training and reference. With fewer than 1 / false_alarms clips no
    quantile can tell that rate: the highest score is taken, and a note says so.
    """
    scores = np.asarray(held_out, np.float64).ravel()
    if not 0 < false_alarms < 1:
        raise UsageError(f"a false-alarm rate lies between 0 and 1, got {false_alarms}")
    if scores.size == 0:
        raise HumtuneError("no held-out normal clips: a threshold needs scores of clips that trained nothing")
    if not np.isfinite(scores).all():
        raise HumtuneError(f"a held-out normal clip has the score {scores[~np.isfinite(scores)][0]}")
    needed = math.ceil(1 / false_alarms - 1e-9)
    note = None
    if scores.size < needed:
        note = (
            f"{scores.size} held-out normal clips are too few for a false-alarm rate of {false_alarms:.1%} "
            f"({needed} needed): the threshold is their highest score"
        )
    value = float(np.quantile(scores, 1 - false_alarms, method="higher"))
    return Threshold(value=value, false_alarms=false_alarms, clips=scores.size, note=note)


def decide(scores: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Whether each score says anomaly: above the threshold, not on it."""
    return np.asarray(scores, np.float64) > threshold


def false_alarm_rate(normal: ArrayLike, threshold: float) -> float:
    """The share of normal clips' scores that would raise an alarm; NaN without clips."""
    alarms = decide(normal, threshold)
    return float(alarms.mean()) if alarms.size else math.nan
