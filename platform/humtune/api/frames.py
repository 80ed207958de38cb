"""A search's trials, clips and best as tables of pandas: Ω is a fraction 0…1, times are in seconds."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from humtune.metrics.cells import Array
from humtune.records import TrialRecord
from humtune.results.leaderboard import COLUMNS, Standing
from humtune.sounds.check import DOMAIN_NAMES, LABEL_NAMES
from humtune.sounds.table import ClipTable

if TYPE_CHECKING:
    from pandas import DataFrame

TRIAL = (
    "machine",
    "family",
    "state",
    "score",
    "judged_by",
    "objective",
    "omega",
    "pseudo",
    "epochs",
    "seconds",
)


def trials_frame(records: Iterable[TrialRecord]) -> "DataFrame":
    """A row a trial, by its name; what its sampler chose stands last, by dotted names."""
    from pandas import DataFrame, Index, to_datetime

    rows = [_trial(record) for record in records]
    params = list(dict.fromkeys(name for row in rows for name in row))
    columns = [*TRIAL, *(name for name in params if name not in (*TRIAL, "trial", "reason", "started"))]
    index = Index([row["trial"] for row in rows], name="trial")
    frame = DataFrame(rows, index=index, columns=[*columns, "reason", "started"])
    frame["started"] = to_datetime(frame["started"], unit="s", utc=True)
    return frame


def _trial(record: TrialRecord) -> dict[str, Any]:
    score = record.best_score if record.judged else None
    return {
        **record.params,
        "trial": record.id,
        "machine": record.machine,
        "family": record.family,
        "state": str(record.state),
        "score": score,
        "judged_by": record.judged_by,
        "objective": record.objective if record.judged else None,
        "omega": record.omega.get(score) if score else None,
        "pseudo": record.pseudo.get(score) if score else None,
        "epochs": len(record.epochs),
        "seconds": record.seconds,
        "reason": record.reason,
        "started": record.started,
    }


def leaderboard_frame(lines: Iterable[Standing]) -> "DataFrame":
    """A row a machine and kind of detector."""
    from pandas import DataFrame

    return DataFrame([line.to_dict() for line in lines], columns=list(COLUMNS))


def scores_frame(clips: ClipTable, scores: Mapping[str, Array]) -> "DataFrame":
    """A row a scored clip: what is known of it, and a column for each score type, higher is stranger."""
    from pandas import DataFrame

    known = {
        "clip": clips.name,
        "part": clips.part,
        "split": clips.split,
        "section": clips.section,
        "domain": [DOMAIN_NAMES[domain] for domain in clips.domain.tolist()],
        "label": [LABEL_NAMES[label] for label in clips.label.tolist()],
        "role": clips.role,
        "attributes": clips.attributes,
    }
    return DataFrame({**known, **scores})
