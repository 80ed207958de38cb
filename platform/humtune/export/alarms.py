"""What a threshold does on test clips: false alarms, and anomalies that it catches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humtune.evaluation.calibration import decide
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, ClipTable, Role

_DOMAINS = {SOURCE: "source", TARGET: "target"}
_PARTS = {Role.SELECT: "dev", Role.HIDDEN: "hidden", Role.REPORT: "eval"}


@dataclass(frozen=True)
class Alarms:
    """Test clips of one part and domain, and the shares of them above the threshold, 0…1."""

    part: str  # "dev": the clips that chose the detector; "hidden", "eval": others
    domain: str  # "source", "target", or "any" where the data set names none
    normals: int
    false_alarms: float
    anomalies: int
    caught: float

    def to_figures(self) -> dict[str, float]:
        """The two shares by name."""
        where = f"{self.part}_{self.domain}"
        return {f"false_alarms_{where}": self.false_alarms, f"caught_{where}": self.caught}


def count_alarms(clips: ClipTable, scores: NDArray[np.float64], threshold: float) -> list[Alarms]:
    """Alarms in each part and domain with labelled test clips of both kinds; scores [N] of the table."""
    found = []
    above = decide(scores, threshold)
    for role, part in _PARTS.items():
        for domain in np.unique(clips.domain):
            here = (clips.role == str(role)) & (clips.domain == domain)
            normal, anomaly = here & (clips.label == NORMAL), here & (clips.label == ANOMALY)
            if normal.any() and anomaly.any():
                found.append(
                    Alarms(
                        part=part,
                        domain=_DOMAINS.get(int(domain), "any"),
                        normals=int(normal.sum()),
                        false_alarms=float(above[normal].mean()),
                        anomalies=int(anomaly.sum()),
                        caught=float(above[anomaly].mean()),
                    )
                )
    return found
