"""A model's threshold by new healthy recordings, without another export."""

from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from humtune.errors import HumtuneError
from humtune.names import shown
from humtune.runtime.info import MODEL, ModelInfo, Recalibration, read_info, write_info
from humtune.runtime.outcomes import Failed
from humtune.runtime.promises import GroupScores
from humtune.runtime.recordings import Listener
from humtune.runtime.scorer import Scorer
from humtune.runtime.sources import counted, find_recordings
from humtune.sounds.parallel import tracked


def recalibrate(
    model: Path, healthy: Path, *, false_alarms: float | None = None
) -> tuple[ModelInfo, tuple[Failed, ...]]:
    """Choose a model's threshold by the healthy recordings in a folder, and keep it in its model.json.

    A recording counts by its strangest window, as when it is scored. `false_alarms` None: as the threshold
    until now. The model as it is then, and the recordings that can't be read; HumtuneError where none can.
    """
    info, groups, lengths, failed = read_info(model), [], [], []
    found, total = counted(find_recordings([str(healthy)]))
    outcomes = Listener(Scorer(info, model / MODEL)).listen(found)
    for outcome in tracked(outcomes, total=total, title=f"scoring {info.machine}"):
        if isinstance(outcome, Failed):
            failed.append(outcome)
            continue
        scores = [outcome.score] if outcome.timeline is None else outcome.timeline.scores.tolist()
        groups.append(GroupScores(domain="any", group=str(outcome.path), scores=scores))
        lengths.append(outcome.seconds)
    if not groups:
        why = f": {shown(failed[0].path)}: {failed[0].reason}" if failed else ""
        raise HumtuneError(f"{healthy}: no recording that can be scored{why}")
    known = Recalibration(
        recordings=str(healthy),
        at=datetime.now(UTC),
        healthy=tuple(groups),
        seconds=median(lengths),
        before=info.threshold,
    )
    info = info.recalibrated(known, info.threshold.false_alarms if false_alarms is None else false_alarms)
    write_info(model, info)
    return info, tuple(failed)
