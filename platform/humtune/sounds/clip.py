"""Clip: what the name of a DCASE recording says."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from humtune.errors import UsageError
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN

Part = Literal["dev", "eval"]
Split = Literal["train", "test"]

SUFFIXES = (".wav", ".flac")
_OTHER_SOUNDS = re.compile(  # suffixes of sound that is not read
    r"\.(?:aac|aifc?|aiff|amr|ape|au|caf|m4a|mp[23]|og[ag]|opus|snd|w64|wave|webm|wma|wv)", re.IGNORECASE
)
NO_ATTRIBUTE = "noAttribute"  # how DCASE 2024 and later write that nothing is told

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
            raise UsageError(f"{path}: an anomaly among the training clips, which have to be normal")
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
