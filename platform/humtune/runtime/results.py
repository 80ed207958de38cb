"""Scores and decisions as files, in the format of a DCASE submission."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from humtune.errors import UsageError
from humtune.runtime.recordings import Scored
from humtune.sounds.clip import Clip

Row = tuple[str, float | int]


def write_results(folder: Path, machine: str, scored: Sequence[Scored]) -> list[Path]:
    """Write scores and decisions, `file,value` a line, and return the files.

    Test clips named by the DCASE grammars go to `anomaly_score_<machine>_section_<SS>_test.csv` and
    `decision_result_…`, a pair a section; all others to `anomaly_score_<machine>.csv` and its pair.
    Recordings stand by name, or by path where two of them have the same name.
    """
    groups: dict[str, list[Scored]] = {}
    for clip in scored:
        groups.setdefault(_group(clip.path, machine), []).append(clip)
    count = Counter(clip.path.name for clip in scored)
    files: list[Path] = []
    if groups:
        make_folder(folder)
    for group, clips in sorted(groups.items()):
        names = [c.path.name if count[c.path.name] == 1 else c.path.as_posix() for c in clips]
        for kind, values in (
            ("anomaly_score", [c.score for c in clips]),
            ("decision_result", [int(c.is_anomaly) for c in clips]),
        ):
            files.append(folder / f"{kind}_{machine}{group}.csv")
            _write(files[-1], zip(names, values, strict=True))
    return files


def _group(path: Path, machine: str) -> str:
    try:
        section = Clip.parse(path, machine=machine, part="dev", split="test").section
    except UsageError:
        return ""
    return f"_section_{section:02d}_test"


def make_folder(folder: Path) -> None:
    """Make the folder of the results, before the work that fills it; UsageError where that can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: can't be made a folder ({error.strerror or error})") from error


def _write(path: Path, rows: Iterable[Row]) -> None:
    """Write a table, whole or not at all."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    draft = path.with_name(f".draft-{os.getpid()}-{path.name}")
    try:
        draft.write_text(text.getvalue(), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror or error})") from error
    finally:
        draft.unlink(missing_ok=True)
