"""The CSV files of a DCASE submission: anomaly scores, decisions and truth, one file a machine and section.

A file is named `anomaly_score_<machine>_section_<SS>_test.csv`, `decision_result_…` or `ground_truth_…`; some
teams leave `_test` out, and 2020 writes `id` for `section`. Lines are `clip,value`, without a header
(DCASE 2022 Task 2, submission).
"""

import csv
import io
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from humtune.errors import UsageError
from humtune.evaluation.cells import Cells
from humtune.evaluation.metrics import Figures, evaluate
from humtune.sounds.annotations import clip_key, read_truth
from humtune.sounds.clip import Clip
from humtune.sounds.table import UNKNOWN, ClipTable, Role
from humtune.storage import Storage

FileKind = Literal["anomaly_score", "decision_result", "ground_truth"]

_NAME = re.compile(
    r"(?:anomaly_score|decision_result|ground_truth)_(?P<machine>.+)_(?:section|id)_[0-9]{2}(?:_test)?\.csv"
)


def write_file(
    folder: Path, kind: FileKind, *, machine: str, section: int, names: Iterable[str], values: ArrayLike
) -> Path:
    """Write one file, whole or not at all; scores in full precision, decisions and truth as 0 or 1."""
    rows = np.asarray(values, np.float64 if kind == "anomaly_score" else np.int64).tolist()
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(zip(names, rows, strict=True))
    name = f"{kind}_{machine}_section_{section:02d}_test.csv"
    Storage(folder).write(name, text.getvalue().encode())
    return folder / name


def read_file(path: Path, *, binary: bool = False) -> dict[str, float]:
    """Value by clip name; a UsageError with file and line for one that isn't finite (or 0 or 1: binary)."""
    expected = "clip,0 or clip,1" if binary else "clip,score with a finite score"
    values: dict[str, float] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream)
            for row in filter(None, rows):
                value = _number(row[1]) if len(row) == 2 else math.nan
                if not math.isfinite(value) or (binary and value not in (0, 1)):
                    raise UsageError(
                        f"{path}, line {rows.line_num}: expected {expected}, got {','.join(row)!r}"
                    )
                if row[0] in values:
                    raise UsageError(f"{path}, line {rows.line_num}: {row[0]} a second time")
                values[row[0]] = value
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: can't be read as a table ({error})") from error
    return values


def read_folder(folder: Path, kind: FileKind = "anomaly_score") -> dict[str, dict[str, float]]:
    """Machine -> clip name -> value, out of every file of that kind in a folder; machines sorted."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted(folder.glob(f"{kind}_*.csv")):
        if not (match := _NAME.fullmatch(path.name)):
            raise UsageError(f"{path}: expected a name like {kind}_fan_section_00_test.csv")
        values = read_file(path, binary=kind != "anomaly_score")
        machine = found.setdefault(match["machine"], {})
        if twice := machine.keys() & values.keys():
            raise UsageError(f"{path}: {min(twice)} stands in another file of {folder} too")
        machine |= values
    if not found:
        raise UsageError(f"{folder}: no files named {kind}_<machine>_section_<SS>[_test].csv")
    return dict(sorted(found.items()))


def evaluate_folder(folder: Path, *, truth: Path | None = None) -> dict[str, Figures]:
    """Figures of each machine of a folder of score files; `pool` them for the Ω of all machines.

    Labels come from the clips' names, or from the folders ground_truth_data and ground_truth_domain in (or
    beside) `truth`.
    """
    figures = {}
    for machine, scores in read_folder(folder).items():
        table = label_clips(machine, list(scores), truth=truth)
        figures[machine] = evaluate(list(scores.values()), Cells.of(table))
    return figures


def label_clips(machine: str, names: list[str], *, truth: Path | None = None) -> ClipTable:
    """The table of test clips known by name alone; a UsageError names the first without label or domain."""
    places = [truth, truth.parent] if truth else []
    labels, domains = (read_truth(places, kind, machine) for kind in ("label", "domain"))
    keys = [clip_key(name) for name in names]
    if missing := sorted(labels.keys() - set(keys)):
        raise UsageError(f"{machine}: {missing[0]} stands in the truth below {truth}, but has no score")
    clips = [Clip.parse(Path(name), machine=machine, part="dev", split="test") for name in names]
    label = [
        labels.get(k, UNKNOWN) if c.label == UNKNOWN else c.label for k, c in zip(keys, clips, strict=True)
    ]
    domain = [
        domains.get(k, UNKNOWN) if c.domain == UNKNOWN else c.domain for k, c in zip(keys, clips, strict=True)
    ]
    for name, known, where in zip(names, label, domain, strict=True):
        if known == UNKNOWN:
            place = f"{truth} has no truth for it" if truth else "name the folder of the truth files"
            raise UsageError(f"{machine}: {name} carries no label in its name; {place}")
        if where == UNKNOWN and name.startswith("section"):
            raise UsageError(
                f"{machine}: {name} has no domain; ground_truth_domain belongs beside the labels"
            )
    return ClipTable.from_columns(
        machine=machine,
        name=names,
        part=["dev"] * len(names),
        split=["test"] * len(names),
        section=[c.section for c in clips],
        domain=domain,
        label=label,
        attributes=[c.attributes for c in clips],
        role=[str(Role.REPORT)] * len(names),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
