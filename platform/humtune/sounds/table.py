"""ClipTable: what is known of each clip of one machine, column by column."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1  # domain or label that nobody told us
SOURCE, TARGET = 0, 1
NORMAL, ANOMALY = 0, 1


class Role(StrEnum):
    """What a search uses a clip for."""

    TRAIN = "train"  # fits the network and is the reference of the scores
    HELD_OUT = "held_out"  # normal, kept out of both: thresholds and calibration
    SELECT = "select"  # labelled test clips whose Ω chooses
    HIDDEN = "hidden"  # labelled test clips that a search asked not to be chosen by
    REPORT = "report"  # test clips that are only reported, with or without truth
    PROBE = "probe"  # made, not recorded: what stands in for anomalies where nobody has any


SCORED = (Role.HELD_OUT, Role.SELECT, Role.HIDDEN, Role.REPORT)  # the roles of the clips that get a score


@dataclass(frozen=True, eq=False)
class ClipTable:
    """Label columns of N clips; every column has length N and the same order."""

    machine: str
    name: NDArray[np.str_]  # file name, without its folder
    part: NDArray[np.str_]  # "dev" or "eval"; of a probe, its kind
    split: NDArray[np.str_]  # "train" or "test"
    section: NDArray[np.int16]
    domain: NDArray[np.int8]  # SOURCE, TARGET or UNKNOWN
    label: NDArray[np.int8]  # NORMAL, ANOMALY or UNKNOWN
    attributes: NDArray[np.str_]  # "car=B1,spd=31V"; empty where there are none
    role: NDArray[np.str_]  # a Role

    def __len__(self) -> int:
        return len(self.name)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """The table of the chosen clips, by index or by mask."""
        columns = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "machine"}
        return type(self)(machine=self.machine, **columns)

    def with_columns(self, **columns: Any) -> Self:
        """The table with other values in some columns: one for all clips, or one a clip."""
        full = {name: np.full(len(self), v) if isinstance(v, str | int) else v for name, v in columns.items()}
        return type(self).from_columns(**({f.name: getattr(self, f.name) for f in fields(self)} | full))

    @classmethod
    def concatenate(cls, tables: Sequence["ClipTable"]) -> Self:
        """The clips of one machine's tables, one table after the other."""
        columns = [f.name for f in fields(cls) if f.name != "machine"]
        joined = {name: np.concatenate([getattr(t, name) for t in tables]) for name in columns}
        return cls(machine=tables[0].machine, **joined)

    def having(self, *roles: Role) -> NDArray[np.intp]:
        """Indices of the clips that have one of the roles, in order."""
        return np.flatnonzero(np.isin(self.role, [str(r) for r in roles]))

    def to_json(self) -> bytes:
        """The table as JSON, a list per column."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps({k: v if isinstance(v, str) else v.tolist() for k, v in columns.items()}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The table that `to_json` wrote."""
        return cls.from_columns(**json.loads(data))

    @classmethod
    def from_columns(cls, *, machine: str, **columns: Sequence[Any]) -> Self:
        """A table from plain lists, brought to the column types above."""
        types: dict[str, Any] = {"section": np.int16, "domain": np.int8, "label": np.int8}
        arrays = {k: np.asarray(v, dtype=types.get(k, np.str_)) for k, v in columns.items()}
        return cls(machine=machine, **arrays)
