"""What the classifier tells apart."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from humtune.errors import UsageError
from humtune.sounds.joined import JoinedTable
from humtune.sounds.table import ClipTable, Role

Labels = Literal["section", "attributes", "both"]

NO_CLASS = -1  # of a test clip whose class has no training clip


def class_labels(
    table: ClipTable, labels: Labels, *, least: int = 2
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the classes, sorted, and each clip's class as an index into them, int64 [N].

    Of several machines joined, a class is one machine's: fan/section_00 and valve/section_00 are two.
    Classes are those of the TRAIN and HELD_OUT clips; any other clip's is NO_CLASS, and that of another
    machine's clips. UsageError where the clips have no attributes to tell apart, or fewer classes than
    `least`.
    """
    normal = table.having(Role.TRAIN, Role.HELD_OUT)
    if labels != "section" and not np.any(table.attributes[normal] != ""):
        raise UsageError(f"{table.machine}: its clips carry no attributes to classify; use labels: section")
    names = class_names(table, labels)
    classes = np.unique(names[normal])
    if len(classes) < least:
        other = "attributes" if labels == "section" else "section or both"
        found = f"only one class ({classes[0]})" if len(classes) else "no class"
        raise UsageError(
            f"{table.machine}: labels: {labels} gives {found}, a classifier needs two; use {other}"
        )
    index = np.minimum(np.searchsorted(classes, names), len(classes) - 1)
    own = (classes[index] == names) & (table.role != str(Role.NEGATIVE))
    return tuple(classes.tolist()), np.where(own, index, NO_CLASS).astype(np.int64)


def class_names(table: ClipTable, labels: Labels) -> NDArray[np.str_]:
    """The name of each clip's class [N], whether or not a training clip has it."""
    sections = np.asarray([f"section_{section:02d}" for section in table.section])
    attributes = np.where(table.attributes == "", "none", table.attributes)
    both = np.asarray([f"{s},{a}" for s, a in zip(sections, attributes, strict=True)])
    names = {"section": sections, "attributes": attributes, "both": both}[labels]
    if isinstance(table, JoinedTable):
        return np.asarray([f"{m}/{name}" for m, name in zip(table.machines, names, strict=True)])
    return names


def class_index(table: ClipTable, labels: Labels, classes: Sequence[str]) -> NDArray[np.int64]:
    """Each clip's class as an index into the names of all classes, int64 [N]; NO_CLASS of one without.

    The classes may be of several machines joined, and the table one of these machines'.
    """
    known = {name: i for i, name in enumerate(classes)}
    names = class_names(table, labels).tolist()
    found = [known.get(name, known.get(f"{table.machine}/{name}", NO_CLASS)) for name in names]
    return np.asarray(found, dtype=np.int64)


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
