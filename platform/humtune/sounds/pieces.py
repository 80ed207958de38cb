"""What of an operator's recordings is kept together, and on which side it comes: training or test."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from humtune.errors import UsageError
from humtune.names import shown
from humtune.sounds.loose import Taken
from humtune.sounds.survey import few
from humtune.sounds.table import ANOMALY

FEW = 5  # of healthy recordings: fewer are cut into so many blocks of time; days: fewer say nothing
MOST_TESTED = 1 / 3  # of the healthy windows

Part = Literal["train", "normal", "anomaly"]

_DAY = re.compile(  # 2024-05-17, 20240517, 20240517_101500, 20240517101500
    r"(?<!\d)(20\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d(?!\d{3}(?!\d)|\d{5}(?!\d)))"
)
_GERMAN_DAY = re.compile(r"(?<!\d)(0[1-9]|[12]\d|3[01])\.(0[1-9]|1[0-2])\.(20\d\d)(?!\d)")


@dataclass(frozen=True)
class Piece:
    """A recording, or a block of time of one."""

    taken: Taken
    group: str  # what is kept on one side: the recording, the block, or the day of several recordings
    windows: tuple[Path, ...]
    block: int = 0
    before: Part | None = None  # the part that it had in an earlier import


def cut_pieces(healthy: Sequence[Taken], known: Mapping[str, Sequence[Part]]) -> list[Piece]:
    """The healthy recordings by day, where their names tell enough days, else one by one.

    Where there are fewer than `FEW`, so that hardly one can be spared, each is cut into blocks of time.
    `known` says which parts the blocks of a sound had in an earlier import, one where it was whole; what was
    cut stays cut, so that each block can keep its part.
    """
    days = {taken.loose.name: day_of(taken.loose.name) for taken in healthy}
    by_day = all(days.values()) and len(set(days.values())) >= FEW
    blocks = -(-FEW // len(healthy)) if len(healthy) < FEW else 1
    pieces = []
    for taken in healthy:
        parts = known.get(taken.sound, ())
        if by_day and len(parts) < 2:
            before = parts[0] if parts else None
            pieces.append(Piece(taken, days[taken.loose.name], taken.windows, before=before))
        else:
            pieces += _blocks(taken, len(parts) if len(parts) > 1 else blocks, parts)
    return pieces


def _blocks(taken: Taken, count: int, known: Sequence[Part]) -> Iterator[Piece]:
    parts = np.array_split(np.arange(len(taken.windows)), min(count, len(taken.windows)))
    for i, part in enumerate(parts):
        name = taken.loose.name if len(parts) == 1 else f"{taken.loose.name} {i + 1}/{len(parts)}"
        before = known[min(i, len(known) - 1)] if known else None
        yield Piece(taken, name, tuple(taken.windows[k] for k in part), i, before)


def day_of(name: str) -> str:
    """The day that a file's name or a folder's tells, as 2024-05-17; empty where it tells none."""
    if found := _DAY.search(name):
        return "-".join(found.group(1, 3, 4))
    if found := _GERMAN_DAY.search(name):
        return "-".join(found.group(3, 2, 1))
    return ""


def classes_of(healthy: Sequence[Taken]) -> tuple[str, ...]:
    """The sub-folders that are classes: two or more, of two recordings or more each.

    Where one is no class, or is called by a day, none is.
    """
    counts = Counter(taken.loose.folder for taken in healthy)
    if len(counts) < 2 or min(counts.values()) < 2 or any(map(day_of, counts)):
        return ()
    return tuple(sorted(counts))


def choose_tested(pieces: Sequence[Piece], windows: int) -> set[str]:
    """The groups of healthy pieces that are test normals: about as many windows as are wanted.

    They are `MOST_TESTED` of all at most, unless the smallest group is more. What an earlier import tested
    is tested again; more come of the new ones, in an order that is as good as drawn, but always the same; of
    a single recording the last block comes first. Where that leaves nothing to test, or to train with, all
    are as new. UsageError for a single group.
    """
    groups: defaultdict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        groups[piece.group].append(piece)
    if len(groups) < 2:
        raise UsageError(
            f"{pieces[0].taken.loose.path}: the only healthy recording, and too short to train with one part "
            "of it and compare the bad ones with another; give more healthy recordings, or leave out --bad"
        )
    sizes = {name: sum(len(piece.windows) for piece in group) for name, group in groups.items()}
    before = {name: {piece.before for piece in group} - {None} for name, group in groups.items()}
    tested = {name for name, parts in before.items() if parts == {"normal"}}
    new = [name for name, parts in before.items() if not parts]
    if not new and len(tested) in {0, len(groups)}:
        tested, new = set(), list(groups)
    new.sort(key=lambda name: (groups[name][0].taken.sound, -groups[name][0].block))
    most = MOST_TESTED * sum(sizes.values())
    for name in new:
        had = sum(sizes[other] for other in tested)
        if had >= windows or len(tested) + 1 == len(groups):
            break
        if had + sizes[name] <= most:
            tested.add(name)
    return tested or {min(new, key=lambda name: sizes[name])}


def moved(parts: Sequence[tuple[Part, Piece]]) -> Iterator[str]:
    """Which recordings couldn't stay on their sides, a sentence for each side."""
    for part, does, did in (("normal", "tested", "trained with"), ("train", "trained with", "tested")):
        those = [piece.group for now, piece in parts if now == part and piece.before not in {None, now}]
        if those:
            yield f"{few(those)}: {does} now, {did} before"


def attribute_value(text: str, taken: set[str]) -> str:
    """A name as the value of an attribute: without the signs that part attributes, and not one of `taken`."""
    value = shown(text).replace(",", ";").replace("=", ":").strip() or "-"
    while value in taken:
        value += "~"
    taken.add(value)
    return value


def is_bad(taken: Taken) -> bool:
    """Whether it is of the folder of bad recordings."""
    return taken.loose.label == ANOMALY
