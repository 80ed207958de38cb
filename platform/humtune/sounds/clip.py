"""Clip: what the name of a DCASE recording says, and what the tables beside the recordings say of it.

The tables are those of the attributes, and the truth about the evaluation clips; `clip_key` joins them.
"""

import csv
import glob
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeVar
from unicodedata import normalize

from humtune.errors import UsageError
from humtune.sounds.folders import readable
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN

Part = Literal["dev", "eval"]
Split = Literal["train", "test"]

SUFFIXES = (".wav", ".flac")
_OTHER_SOUNDS = re.compile(  # suffixes of sound that is not read
    r"\.(?:aac|aifc?|aiff|amr|ape|au|caf|m4a|mp[23]|og[ag]|opus|snd|w64|wave|webm|wma|wv)", re.IGNORECASE
)
NO_ATTRIBUTE = "noAttribute"  # how DCASE 2024 and later write that there is none

_LABELS = {"normal": NORMAL, "anomaly": ANOMALY, None: UNKNOWN}
_DOMAINS = {"source": SOURCE, "target": TARGET, None: UNKNOWN}
_GRAMMARS = tuple(
    re.compile(pattern)
    for pattern in (
        # 2021 and later, labelled: section_00_source_train_normal_0001_car_B1_spd_31V
        # (a list of 2024's renamed clips leaves out the split)
        r"section_(?P<section>[0-9]{2})_(?P<domain>source|target)(?:_(?P<split>train|test))?"
        r"_(?P<label>normal|anomaly)_(?P<index>[0-9]{4,8})(?:_(?P<tail>.*))?",
        # 2021 and later, a test clip without its label: section_03_0000, section_03_target_test_0000
        r"section_(?P<section>[0-9]{2})(?:_(?P<domain>source|target))?(?:_(?P<split>test))?"
        r"_(?P<index>[0-9]{4,8})(?:_(?P<tail>.*))?",
        # 2020 and MIMII: normal_id_00_00000000; a test clip without its label: id_01_00000000
        r"(?:(?P<label>normal|anomaly)_)?id_(?P<section>[0-9]{2})_(?P<index>[0-9]{4,8})",
    )
)
_EXPECTED = (
    "section_SS_{source|target}_{train|test}_{normal|anomaly}_NNNN[_attributes], section_SS_NNNN (test) or "
    "{normal|anomaly}_id_SS_NNNNNNNN, as .wav or .flac"
)

TRUTH_FOLDERS = {"label": "ground_truth_data", "domain": "ground_truth_domain"}

T = TypeVar("T")

_ATTRIBUTES = re.compile(r"attributes_.*\.csv", re.IGNORECASE)
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Clip:
    """One recording, as far as its name and the data set's tables tell."""

    path: Path
    machine: str
    part: Part
    split: Split
    section: int
    domain: int  # SOURCE, TARGET or UNKNOWN
    label: int  # NORMAL, ANOMALY or UNKNOWN
    index: int  # counts within section, domain, split and label
    attributes: str  # "car=B1,spd=31V"; empty where there are none

    @classmethod
    def parse(cls, path: Path, *, machine: str, part: Part, split: Split) -> Self:
        """Read a file's name by the grammars of DCASE 2020 to 2026; UsageError where none fits."""
        fields = _fields(path)
        if fields.get("split") not in (None, split):
            raise UsageError(f"{path}: the name says {fields['split']}, but it lies in a {split} folder")
        if split == "train" and fields.get("label") is None:
            raise UsageError(f"{path}: the name of a training clip carries its label; expected {_EXPECTED}")
        if split == "train" and fields["label"] != "normal":
            raise UsageError(
                f"{path}: an anomaly among the training clips, which have to be normal; move it to test/"
            )
        return cls(
            path=path,
            machine=machine,
            part=part,
            split=split,
            section=int(fields["section"] or 0),
            domain=_DOMAINS[fields.get("domain")],
            label=_LABELS[fields.get("label")],
            index=int(fields["index"] or 0),
            attributes=join_attributes((fields.get("tail") or "").strip("_").split("_")),
        )


def is_recording(path: Path) -> bool:
    """Whether a file's suffix is one that humtune reads; hidden files are not recordings."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_sound(path: Path) -> bool:
    """Whether a file is sound by its suffix, of a kind that humtune reads or of another."""
    other = _OTHER_SOUNDS.fullmatch(path.suffix) and not path.name.startswith(".")
    return is_recording(path) or bool(other)


def join_attributes(words: list[str]) -> str:
    """Write ["car", "B1", "spd", "31V"] as "car=B1,spd=31V"; a last word without a value stands alone.

    A pair without its value, or whose value is noAttribute, says nothing.
    """
    pairs = [words[i : i + 2] for i in range(0, len(words), 2)]
    said = [pair for pair in pairs if pair[-1] and NO_ATTRIBUTE not in pair]
    return ",".join("=".join(filter(None, pair)) for pair in said)


def _fields(path: Path) -> dict[str, str | None]:
    if path.suffix.lower() in SUFFIXES:
        for grammar in _GRAMMARS:
            if match := grammar.fullmatch(path.stem):
                return match.groupdict()
    raise UsageError(f"{path}: can't read the file's name; expected {_EXPECTED}")


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
