"""What the classifier tells apart."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from humtune.errors import UsageError
from humtune.sounds.groups import without_recording
from humtune.sounds.joined import JoinedTable
from humtune.sounds.table import ClipTable, Role

Labels = Literal["auto", "section", "attributes", "both"]

WITHOUT_CLASSES = "such as systems/xiao_gwrp or systems/dcase_autoencoder"  # spaces of families without
_OTHERWISE = (
    "give several sections, or attributes in attributes_SS.csv, or search a family that needs no classes, "
    f"{WITHOUT_CLASSES}"
)
NO_CLASS = -1  # of a test clip whose class has no training clip


def class_labels(
    table: ClipTable, labels: Labels, *, least: int = 2
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the classes, sorted, and each clip's class as an index into them, int64 [N].

    Of several machines joined, a class is one machine's: fan/section_00 and valve/section_00 are two.
    Classes are those of the TRAIN and HELD_OUT clips; any other clip's is NO_CLASS, and that of another
    machine's clips. UsageError where there are fewer classes than `least`.
    """
    normal = table.having(Role.TRAIN, Role.HELD_OUT)
    names = class_names(table, labels)
    classes = np.unique(names[normal])
    if len(classes) < least:
        found = f"only one class ({classes[0]})" if len(classes) else "no class"
        others = np.unique(class_names(table, "auto")[normal])
        mend = "use auto (--labels auto)" if len(others) >= least else _OTHERWISE
        raise UsageError(f"{table.machine}: labels: {labels} gives {found}, a classifier needs two; {mend}")
    index = np.minimum(np.searchsorted(classes, names), len(classes) - 1)
    own = (classes[index] == names) & (table.role != str(Role.NEGATIVE))
    return tuple(classes.tolist()), np.where(own, index, NO_CLASS).astype(np.int64)


def class_names(table: ClipTable, labels: Labels) -> NDArray[np.str_]:
    """The name of each clip's class [N], whether or not a training clip has it.

    `auto` is the section on a machine that has training clips of several, else the attributes.
    """
    kinds = _names(table)
    if labels != "auto":
        return kinds[labels]
    told = without_recording(table.attributes)
    return np.where(_has_sections(table) | (told == ""), kinds["section"], kinds["attributes"])


def class_index(table: ClipTable, labels: Labels, classes: Sequence[str]) -> NDArray[np.int64]:
    """Each clip's class as an index into the names of all classes, int64 [N]; NO_CLASS of one without.

    The classes may be of several machines joined, and the table one of these machines', or a part of it.
    """
    known = {name: i for i, name in enumerate(classes)}
    found = np.full(len(table), NO_CLASS, dtype=np.int64)
    for kind in ("attributes", "section") if labels == "auto" else (labels,):
        names = _names(table)[kind].tolist()
        index = [known.get(name, known.get(f"{table.machine}/{name}", NO_CLASS)) for name in names]
        found = np.where(found == NO_CLASS, index, found)
    return found


def _names(table: ClipTable) -> dict[Labels, NDArray[np.str_]]:
    """The name of each clip's class [N] in each way of naming it."""
    sections = np.asarray([f"section_{section:02d}" for section in table.section])
    told = without_recording(table.attributes)
    attributes = np.where(told == "", "none", told)
    both = np.asarray([f"{s},{a}" for s, a in zip(sections, attributes, strict=True)])
    names: dict[Labels, NDArray[np.str_]] = {"section": sections, "attributes": attributes, "both": both}
    if isinstance(table, JoinedTable):
        machines = table.machines
        return {
            k: np.asarray([f"{m}/{n}" for m, n in zip(machines, of, strict=True)]) for k, of in names.items()
        }
    return names


def _has_sections(table: ClipTable) -> NDArray[np.bool_]:
    """Whether a clip's machine has training clips of several sections [N]."""
    machines = table.machines if isinstance(table, JoinedTable) else np.full(len(table), table.machine)
    normal = table.having(Role.TRAIN, Role.HELD_OUT)
    several = [
        m for m in np.unique(machines) if len(np.unique(table.section[normal][machines[normal] == m])) > 1
    ]
    return np.isin(machines, several)


def class_attributes(classes: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names of the values that the classes' attributes have, sorted, and which class has which [C, A].

    A value of one machine is not the same as another's: fan/load=1 and valve/load=1 are two.
    """
    of_class = [_attribute_values(name) for name in classes]
    values = sorted(set().union(*of_class))
    has = [[value in own for value in values] for own in of_class]
    return tuple(values), np.asarray(has, dtype=np.float32).reshape(len(classes), len(values))


def _attribute_values(name: str) -> set[str]:
    """What a class's name says, but its section: load=1 of section_00,load=1."""
    machine, slash, attributes = name.partition("/")
    if not slash or "=" in machine:
        machine, slash, attributes = "", "", name
    parts = attributes.split(",")
    return {machine + slash + part for part in parts if not re.fullmatch(r"section_\d+|none", part)}
