"""The CSV files of a DCASE submission: anomaly scores and decisions, one file a machine and section.

A file is named `anomaly_score_<machine>_section_<SS>_test.csv` or `decision_result_…`; 2021 has a file per
domain (`…_source_test.csv`), some teams leave out `_test`, 2020 writes `id` for `section`, and the
challenge's baselines add year and seed (`anomaly_score_DCASE2023T2<machine>_…_test_seed….csv`). Lines are
`clip,value`, without a header (DCASE 2022 Task 2, submission).
"""

import csv
import io
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from humtune.drafts import write_output
from humtune.errors import UsageError
from humtune.names import is_text
from humtune.sounds.folders import readable
from humtune.sounds.table import SOURCE, TARGET, UNKNOWN, ClipTable

FileKind = Literal["anomaly_score", "decision_result"]
KINDS: tuple[FileKind, ...] = ("anomaly_score", "decision_result")

_NAME = re.compile(
    r"(?:anomaly_score|decision_result)_(?:DCASE20[0-9]{2}T2)?(?P<machine>.+)_(?:section|id)_[0-9]{2}"
    r"(?:_source|_target)?(?:_test)?(?:_seed.*)?\.csv",
    re.IGNORECASE,
)
_TESTED = re.compile(r"^((?:section|id)_[0-9]{2}(?:_source|_target)?)_test_")
_DOMAINS = {SOURCE: "source", TARGET: "target", UNKNOWN: ""}
_BY_DOMAIN = re.compile(r"section_[0-9]{2}_(source|target)(?:_test)?_[0-9]+(?:_.*)?(?:\.[A-Za-z0-9]+)?")


def file_name(kind: FileKind, machine: str, section: int | None, domain: str = "") -> str:
    """What a file is called; section None: recordings that are in no section. 2021's are of one domain."""
    if section is None:
        return f"{kind}_{machine}.csv"
    return f"{kind}_{machine}_section_{section:02d}{domain and f'_{domain}'}_test.csv"


def domain_in_name(name: str) -> str:
    """The domain in a clip's name that hides its label, as 2021's alone have it; empty in all others."""
    match = _BY_DOMAIN.fullmatch(name)
    return match[1] if match else ""


def make_folder(folder: Path) -> None:
    """Make the folder of the files, before the work that fills it; UsageError where that can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: can't be made a folder ({error.strerror or error})") from error


def write_file(
    folder: Path,
    kind: FileKind,
    *,
    machine: str,
    section: int | None,
    domain: str = "",
    names: Iterable[str],
    values: Iterable[float],
) -> Path:
    """Write one file, whole or not at all; scores in full precision, decisions as 0 or 1."""
    plain = float if kind == "anomaly_score" else int
    text, names = io.StringIO(newline=""), list(names)
    returns = any("\r" in name for name in names)  # an end of a line to the reader, not to the writer
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    writer = csv.writer(text, lineterminator="\n", quoting=quoting)
    writer.writerows(zip(names, map(plain, values), strict=True))
    make_folder(folder)
    path = folder / file_name(kind, machine, section, domain)
    return write_output(path, text.getvalue().encode(errors="surrogateescape"))


def read_file(path: Path, *, binary: bool = False) -> dict[str, float]:
    """Value by clip name; a UsageError with file, line and clip for one not finite (binary: 0 or 1)."""
    expected = "clip,0 or clip,1" if binary else "clip,score with a finite score"
    values: dict[str, float] = {}
    lines: dict[str, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            rows = csv.reader(stream)
            for row in filter(None, rows):
                value = _number(row[1]) if len(row) == 2 else math.nan
                if not math.isfinite(value) or (binary and value not in (0, 1)):
                    raise UsageError(
                        f"{path}, line {rows.line_num}: expected {expected}, got {','.join(row)!r}"
                    )
                key = one_spelling(row[0])
                if key in lines:
                    raise UsageError(
                        f"{path}, line {rows.line_num}: {row[0]} a second time, after line {lines[key]}; "
                        "keep one of them"
                    )
                lines[key] = rows.line_num
                values[row[0]] = value
    except (OSError, csv.Error) as error:
        raise UsageError(f"{path}: can't be read as a table ({error})") from error
    return values


def read_folder(folder: Path, kind: FileKind = "anomaly_score") -> dict[str, dict[str, float]]:
    """Machine -> clip name -> value, out of every file of that kind in a folder; machines sorted."""
    found: dict[str, dict[str, float]] = {}
    places: dict[tuple[str, str], Path] = {}  # of a machine's clip
    for path in find_files(folder, kind):
        if not (match := _NAME.fullmatch(path.name)):
            raise UsageError(f"{path}: expected a name like {kind}_fan_section_00_test.csv")
        if not is_text(match["machine"]):
            raise UsageError(f"{path}: a machine's name that is not UTF-8; rename the file")
        values = read_file(path, binary=kind == "decision_result")
        for name in values:
            place = places.setdefault((match["machine"], one_spelling(name)), path)
            if place != path:
                raise UsageError(f"{path}: {name} stands in {place.name} too; keep one of them")
        found.setdefault(match["machine"], {}).update(values)
    if not found:
        raise UsageError(f"{folder}: no files named {kind}_<machine>_section_<SS>[_test].csv{_hint(folder)}")
    return dict(sorted(found.items()))


def find_files(folder: Path, kind: FileKind) -> list[Path]:
    """The files of that kind in a folder, sorted."""
    return sorted(p for p in readable(folder) if p.match(f"{kind}_*") and p.suffix.lower() == ".csv")


def one_spelling(name: str) -> str:
    """What tells a clip from others: `section_03_test_0000.wav` is `section_03_0000.wav`; others stay."""
    return _TESTED.sub(r"\1_", name, count=1)


def score_files(clips: ClipTable) -> list[tuple[int, str, NDArray[np.bool_]]]:
    """The files that clips belong to: section, domain ("" but for clips of 2021) and which clips they are.

    2021 has a file per domain, of all sections: its test clips without labels tell their domain.
    """
    has_domains = any(domain_in_name(str(name)) for name in clips.name)
    files = []
    for section in np.unique(clips.section).tolist():
        for domain, domain_name in _DOMAINS.items() if has_domains else ((None, ""),):
            here = clips.section == section
            here &= True if domain is None else clips.domain == domain
            if here.any():
                files.append((section, domain_name, here))
    return files


def _hint(folder: Path) -> str:
    if not folder.is_dir():
        return "; there is no such folder"
    below = sorted({path.parent for path in folder.glob(f"*/{KINDS[0]}_*.csv")})
    return f"; did you mean {' or '.join(map(str, below[:3]))}?" if below else ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
