"""Scores and decisions of new recordings as files, in the format of a DCASE submission."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from humtune.errors import UsageError
from humtune.evaluation.scorefiles import KINDS, write_file
from humtune.runtime.recordings import Scored
from humtune.sounds.clip import Clip


def write_results(folder: Path, machine: str, scored: Sequence[Scored]) -> list[Path]:
    """Write scores and decisions, `file,value` a line, and return the files.

    Test clips named by the DCASE grammars go to `anomaly_score_<machine>_section_<SS>_test.csv` and
    `decision_result_…`, a pair a section; all others to `anomaly_score_<machine>.csv` and its pair.
    Recordings stand by name, or by path where two of them have the same name.
    """
    groups: dict[int | None, list[Scored]] = {}
    for clip in scored:
        groups.setdefault(_section(clip.path, machine), []).append(clip)
    count = Counter(clip.path.name for clip in scored)
    files = []
    for section, clips in sorted(groups.items(), key=lambda group: (group[0] is not None, group[0])):
        names = [c.path.name if count[c.path.name] == 1 else c.path.as_posix() for c in clips]
        columns: tuple[list[float], ...] = ([c.score for c in clips], [c.is_anomaly for c in clips])
        files += [
            write_file(folder, kind, machine=machine, section=section, names=names, values=values)
            for kind, values in zip(KINDS, columns, strict=True)
        ]
    return files


def _section(path: Path, machine: str) -> int | None:
    try:
        return Clip.parse(path, machine=machine, part="dev", split="test").section
    except UsageError:
        return None
