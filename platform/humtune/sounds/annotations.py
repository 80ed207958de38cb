"""The tables beside the recordings: attributes, and the truth about the evaluation clips."""

import csv
import glob
from collections.abc import Iterable, Iterator
from pathlib import Path
from unicodedata import normalize

from humtune.errors import UsageError
from humtune.sounds.clip import join_attributes

TRUTH_FOLDERS = {"label": "ground_truth_data", "domain": "ground_truth_domain"}


def read_attributes(folder: Path) -> dict[str, str]:
    """Attributes by `clip_key`, out of a machine's attributes_SS.csv files (file_name,d1p,d1v,d2p,…)."""
    found = {}
    for path in attribute_files(folder):
        rows = _rows(path)
        if not (header := next(rows, [])) or header[0] != "file_name":
            raise UsageError(f"{path}: expected the header file_name,d1p,d1v,…, found {','.join(header)!r}")
        for name, *words in rows:
            found[clip_key(name)] = join_attributes([word.strip() for word in words])
    return found


def attribute_files(folder: Path) -> list[Path]:
    """The attribute tables of a machine's folder."""
    return sorted(folder.glob("attributes_*.csv"))


def read_truth(places: Iterable[Path], kind: str, machine: str) -> dict[str, int]:
    """0 or 1 by `clip_key` for a machine's evaluation clips; kind is "label" or "domain".

    A truth file has lines `file,0|1` and no header: 1 is an anomaly, or the target domain.
    """
    found = {}
    for path in truth_files(places, kind, machine):
        for number, row in enumerate(_rows(path), start=1):
            if len(row) != 2 or row[1].strip() not in ("0", "1"):
                raise UsageError(f"{path}, line {number}: expected file,0 or file,1, found {','.join(row)!r}")
            found[clip_key(row[0])] = int(row[1])
    return found


def truth_files(places: Iterable[Path], kind: str, machine: str | None) -> list[Path]:
    """The truth files of a machine, or of all, in the ground truth folders that lie in any of the places."""
    named = "*" if machine is None else glob.escape(machine)
    pattern = f"ground_truth_{named}_section_[0-9][0-9]*_test.csv"  # 2021: a file per domain
    return sorted(path for place in places for path in (place / TRUTH_FOLDERS[kind]).glob(pattern))


def clip_key(name: str) -> str:
    """What tables are joined by: a clip's name without folder, suffix or the `_test` some years leave out."""
    plain = normalize("NFC", name)  # é is one character in a table and two on some disks
    return plain.replace("\\", "/").rpartition("/")[2].rpartition(".")[0].replace("_test_", "_")


def _rows(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            yield from (row for row in csv.reader(stream) if row)
    except (OSError, csv.Error) as error:
        raise UsageError(f"{path}: can't be read as a table ({error})") from error
