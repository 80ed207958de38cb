"""ClipTable: what is known of each clip of one machine, column by column.

`assign_roles` says what each clip is for: training, calibration, selection or report.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from humtune.errors import UsageError
from humtune.sounds.groups import draw_units, recording_names, split_units, without_recording

UNKNOWN = -1  # domain or label that is not known
SOURCE, TARGET = 0, 1
NORMAL, ANOMALY = 0, 1

LEAST_PER_SIDE = 2  # recordings of a cell that choose, and that are hidden: fewer can't be halved

_DOMAINS = {SOURCE: " source", TARGET: " target"}


class Role(StrEnum):
    """What a search uses a clip for."""

    TRAIN = "train"  # fits the network and is the reference of the scores
    HELD_OUT = "held_out"  # normal, kept out of both: thresholds and calibration
    SELECT = "select"  # labelled test clips whose Ω chooses
    HIDDEN = "hidden"  # labelled test clips that a search asked not to be chosen by
    REPORT = "report"  # test clips that are only reported, with or without truth
    NEGATIVE = "negative"  # another machine's, from which a detector learns what the machine is not
    LESSON = "lesson"  # made of training clips, for a network to learn what an ensemble says of it
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

    def with_roles_of(self, scored: "ClipTable") -> Self:
        """The table with the roles that its clips have in another one; those that it lacks are trained on."""
        keys = ("part", "split", "section", "domain", "name")
        mine, known = (
            list(zip(*(getattr(t, k).tolist() for k in keys), strict=True)) for t in (self, scored)
        )
        roles = dict(zip(known, scored.role.tolist(), strict=True))
        return self.with_columns(role=[roles.get(key, str(Role.TRAIN)) for key in mine])

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
    def from_columns(cls, *, machine: str, **columns: Sequence[Any] | int) -> Self:
        """A table from plain lists, brought to the column types above; a single value is of all clips."""
        types: dict[str, Any] = {"section": np.int16, "domain": np.int8, "label": np.int8}
        arrays = {k: np.asarray(v, dtype=types.get(k, np.str_)) for k, v in columns.items()}
        clips = len(arrays["name"])
        return cls(machine=machine, **{k: a if a.ndim else np.full(clips, a) for k, a in arrays.items()})


def assign_roles(
    table: ClipTable, *, held_out: float = 0.1, holdout: float = 0.0, seed: int = 0
) -> ClipTable:
    """The table with a role for each clip; the same table, share and seed always give the same roles.

    Of the training clips of each section and domain, the share `held_out` (0…1; at least one clip, where
    there are two) is kept back, drawn evenly over the attributes so that each keeps a clip to train on where
    it has more than one. Where clips carry the recording that they were cut from, whole recordings are drawn
    instead, unless there is but one; a clip that names none is one by itself. Labelled dev test clips select;
    all other test clips are only reported. Of those that select, the share `holdout` of each section, domain
    and label is hidden instead, whole recordings too; a UsageError names the cell where that leaves fewer
    than two on either side.
    """
    train, select = table.split == "train", (table.part == "dev") & (table.label != UNKNOWN)
    role = np.where(train, str(Role.TRAIN), np.where(select, str(Role.SELECT), str(Role.REPORT)))
    role = role.astype(f"U{max(map(len, Role))}")
    cells = np.stack([table.section, table.domain], axis=1)
    for section, domain in np.unique(cells[train], axis=0):
        cell = np.flatnonzero(train & (table.section == section) & (table.domain == domain))
        generator = np.random.default_rng([seed, int(section), int(domain) + 1])
        role[_draw_groups(cell[np.argsort(table.name[cell])], table, held_out, generator)] = Role.HELD_OUT
    if holdout:
        role[_hidden(table, np.flatnonzero(~train & select), holdout, seed)] = Role.HIDDEN
    return replace(table, role=role)


def _hidden(table: ClipTable, clips: NDArray[np.intp], share: float, seed: int) -> NDArray[np.intp]:
    """A share of each (section, domain, label) cell of the labelled clips, drawn at random."""
    if not 0 < share < 1:
        raise UsageError(f"--holdout {share:g}: it is a share of the labelled clips, between 0 and 1")
    if not clips.size:
        raise UsageError(f"{table.machine} has no labelled dev test clips to hide; leave out --holdout")
    cells = np.stack([table.section, table.domain, table.label], axis=1)
    recordings, hidden = recording_names(table.attributes), []
    for section, domain, label in np.unique(cells[clips], axis=0):
        cell = clips[(cells[clips] == (section, domain, label)).all(axis=1)]
        cell = cell[np.argsort(table.name[cell])]
        unit = draw_units(recordings[cell])
        units = unit.max() + 1
        count = round(share * units)
        if min(count, units - count) < LEAST_PER_SIDE:
            kind = "normal" if label == NORMAL else "anomalous"
            what = "clips" if units == len(cell) else "recordings"
            mend = "choose a share closer to 0.5"
            if units < 2 * LEAST_PER_SIDE:
                mend = f"{2 * LEAST_PER_SIDE} or more are needed"
            raise UsageError(
                f"{table.machine} section {section:02d}{_DOMAINS.get(int(domain), '')}: --holdout {share:g} "
                f"hides {count} of {units} {kind} {what}; both sides need {LEAST_PER_SIDE} ({mend})"
            )
        generator = np.random.default_rng([seed, int(section), int(domain) + 1, int(label) + 1])
        hidden.append(cell[np.isin(unit, generator.permutation(units)[:count])])
    return np.concatenate(hidden)


def _draw_groups(
    cell: NDArray[np.intp], table: ClipTable, share: float, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Choose a share of a cell's recordings with all their clips, and of the clips that name none."""
    of = split_units(recording_names(table.attributes[cell]))
    first = np.unique(of, return_index=True)[1]
    chosen = _draw(cell[first], without_recording(table.attributes), share, generator)
    return cell[np.isin(of, of[np.isin(cell, chosen)])]


def _draw(
    cell: NDArray[np.intp], attributes: NDArray[np.str_], share: float, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Choose a share of a cell's clips, evenly over its attributes."""
    if share <= 0 or len(cell) < 2:
        return cell[:0]
    wanted = min(max(1, round(share * len(cell))), len(cell) - 1)
    strata = [generator.permutation(cell[attributes[cell] == a]) for a in np.unique(attributes[cell])]
    spare = np.concatenate([stratum[1:] for stratum in strata])  # without them each still has a clip
    if len(spare) < wanted:
        kept = generator.permutation([stratum[0] for stratum in strata])
        return np.concatenate([spare, kept[: wanted - len(spare)]])
    steps = (np.arange(wanted) + generator.random()) * len(spare) / wanted
    return np.asarray(spare[steps.astype(np.intp)])
