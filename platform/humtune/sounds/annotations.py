"""The tables beside the recordings: attributes, and the truth about the evaluation clips."""

import csv
import glob
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar
from unicodedata import normalize

from humtune.errors import UsageError
from humtune.sounds.clip import SUFFIXES, join_attributes
from humtune.sounds.folders import readable

TRUTH_FOLDERS = {"label": "ground_truth_data", "domain": "ground_truth_domain"}

T = TypeVar("T")

_ATTRIBUTES = re.compile(r"attributes_.*\.csv", re.IGNORECASE)
_DELIMITERS = ",;\t"


def read_attributes(folder: Path) -> dict[str, str]:
    """Attributes by `clip_key`, out of a machine's attributes_SS.csv files (file_name,d1p,d1v,d2p,…)."""
    found: dict[str, str] = {}
    for path in attribute_files(folder):
        rows = _rows(path)
        _, header = next(rows, (0, []))
        if not header or header[0].lower() != "file_name":
            raise UsageError(f"{path}: expected the header file_name,d1p,d1v,…, found {','.join(header)!r}")
        for line, (name, *cells) in rows:
            words = _pairs(cells, len(header) - 1, where=f"{path}, line {line}")
            _tell(found, name, join_attributes(words), where=f"{path}, line {line}")
    return found


def attribute_files(folder: Path) -> list[Path]:
    """The attribute tables of a machine's folder."""
    return sorted(path for path in readable(folder) if _ATTRIBUTES.fullmatch(path.name))


def read_truth(places: Iterable[Path], kind: str, machine: str) -> dict[str, int]:
    """0 or 1 by `clip_key` for a machine's evaluation clips; kind is "label" or "domain".

    A truth file has lines `file,0|1` and no header: 1 is an anomaly, or the target domain.
    """
    found: dict[str, int] = {}
    for path in truth_files(places, kind, machine):
        for line, row in _rows(path):
            if len(row) != 2 or row[1] not in ("0", "1"):
                raise UsageError(f"{path}, line {line}: expected file,0 or file,1, found {','.join(row)!r}")
            _tell(found, row[0], int(row[1]), where=f"{path}, line {line}")
    return found


def truth_files(places: Iterable[Path], kind: str, machine: str | None) -> list[Path]:
    """The truth files of a machine (or of all) in the ground truth folders that lie in any of the places."""
    name = "*" if machine is None else glob.escape(machine)
    pattern = f"ground_truth_{name}_section_[0-9][0-9]*_test.csv"  # 2021: a file per domain
    return sorted(path for place in places for path in (place / TRUTH_FOLDERS[kind]).glob(pattern))


def clip_key(name: str) -> str:
    """What tables are joined by: a clip's name without folder, suffix or the `_test` some years leave out."""
    plain = normalize("NFC", name)  # é is one character in a table and two on some disks
    base = plain.replace("\\", "/").rpartition("/")[2].strip()
    stem, dot, suffix = base.rpartition(".")
    stem = stem if f"{dot}{suffix}".lower() in SUFFIXES else base
    return stem.replace("_test_", "_").rstrip("_")


def _pairs(cells: list[str], width: int, *, where: str) -> list[str]:
    """Names and values of a row, one for each column of the header."""
    if any(cells[width:]):
        raise UsageError(
            f"{where}: {len(cells) + 1} cells, the header has {width + 1}; quote a cell with commas"
        )
    words = cells + [""] * (len(cells) % 2)
    for i in range(0, len(words), 2):
        if words[i + 1] and not words[i]:
            raise UsageError(f"{where}: the value {words[i + 1]!r} has no name; fill in d{i // 2 + 1}p")
    return words


def _tell(found: dict[str, T], name: str, value: T, *, where: str) -> None:
    """Take down what a row says of a clip; UsageError where another row said something else."""
    if (before := found.setdefault(clip_key(name), value)) != value:
        raise UsageError(
            f"{where}: {name} is {value!r} here and {before!r} in an earlier row; delete one of them"
        )


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that has any, without the spaces around them."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            stream.seek(0)
            delimiter = max(_DELIMITERS, key=first.count)  # a comma, where there is none of them
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            for row in reader:
                if any(cells := [cell.strip() for cell in row]):
                    yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise UsageError(f"{path}: can't be read as a table ({error})") from error
