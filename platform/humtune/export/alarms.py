"""The evidence behind a threshold, out of a search's scores."""

import numpy as np
from numpy.typing import NDArray

from humtune.runtime.info import DomainScores, Evidence
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, ClipTable, Role

_DOMAINS = {SOURCE: "source", TARGET: "target"}
_PARTS = {Role.SELECT: "dev", Role.HIDDEN: "hidden", Role.REPORT: "eval"}


def gather_evidence(clips: ClipTable, scores: NDArray[np.float64], *, clip_samples: int) -> Evidence:
    """Scores [N] of the table: of held-out clips, and of each part and domain with test clips of both kinds.

    `clip_samples` is the usual length of the held-out clips.
    """
    tested = []
    for role, part in _PARTS.items():
        for domain in np.unique(clips.domain):
            here = (clips.role == str(role)) & (clips.domain == domain)
            normal, anomaly = here & (clips.label == NORMAL), here & (clips.label == ANOMALY)
            if normal.any() and anomaly.any():
                tested.append(
                    DomainScores(
                        part=part,
                        domain=_DOMAINS.get(int(domain), "any"),
                        normal=scores[normal].tolist(),
                        anomaly=scores[anomaly].tolist(),
                    )
                )
    held_out = scores[clips.having(Role.HELD_OUT)].tolist()
    return Evidence(held_out=held_out, clip_samples=clip_samples, tested=tuple(tested))
