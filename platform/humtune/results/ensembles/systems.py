"""Other people's systems: folders of DCASE score files, to be members of an ensemble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from humtune.errors import UsageError
from humtune.evaluation.scorefiles import find_files, read_folder
from humtune.names import is_text
from humtune.sounds.parallel import tracked


@dataclass(frozen=True, eq=False)
class System:
    """One system's scores."""

    name: str  # of its folder, with as much of the path as tells systems apart
    folder: Path
    scores: Mapping[str, Mapping[str, float]]  # machine -> clip -> score


def read_systems(folders: Sequence[Path]) -> list[System]:
    """The systems in folders of score files; a folder of such folders holds a system each.

    UsageError for a folder without score files, or given twice.
    """
    places = [place for folder in folders for place in _places(folder)]
    doubled = {place for place in places if places.count(place) > 1}
    if doubled:
        raise UsageError(f"{min(doubled)}: imported twice; an ensemble wants each system once")
    for place in places:
        if not is_text(str(place)):  # its name goes into the ensemble's record
            raise UsageError(f"{place}: a folder's name that is not UTF-8; rename it")
    names = _names(places)
    return [
        System(name, place, read_folder(place))
        for name, place in tracked(
            zip(names, places, strict=True), total=len(places), title="reading score files"
        )
    ]


def _places(folder: Path) -> list[Path]:
    place = folder.resolve()
    if not find_files(place, "anomaly_score") and place.is_dir():
        below = sorted(p for p in place.iterdir() if p.is_dir() and find_files(p, "anomaly_score"))
        return below or [place]
    return [place]


def _names(places: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that are all different."""
    depth = 1
    while len({place.parts[-depth:] for place in places}) < len(places):
        depth += 1
    return ["/".join(place.parts[-depth:]) for place in places]
