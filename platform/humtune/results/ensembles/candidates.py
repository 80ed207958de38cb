"""What an ensemble is chosen from: a machine's trials × score types, and other people's systems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from humtune.dcase.files import find_files, read_folder
from humtune.errors import HumtuneError, UsageError
from humtune.metrics.calibration import Calibration, Compressed, GammaTail, Standard, ranks
from humtune.metrics.cells import Array
from humtune.names import is_text
from humtune.results.archive import Archive
from humtune.results.candidates import FUSION
from humtune.results.ensembles.agreement import by_agreement
from humtune.results.ensembles.record import Member
from humtune.sounds.clip import clip_key
from humtune.sounds.parallel import tracked
from humtune.sounds.probes import ProbeKind
from humtune.sounds.table import ClipTable, Role

CalibrationName = Literal["standard", "gamma", "compressed"]
CALIBRATION: CalibrationName = "gamma"  # where labels choose: docs/ensembles.md
UNLABELLED: CalibrationName = "compressed"  # where they don't: docs/without-labels.md
RANKS = "ranks"  # the calibration of a transductive ensemble

CALIBRATIONS: Mapping[CalibrationName, type[Calibration]] = {
    "standard": Standard,
    "gamma": GammaTail,
    "compressed": Compressed,
}
_TEST = (Role.SELECT, Role.HIDDEN, Role.REPORT)


@dataclass(frozen=True, eq=False)
class System:
    """The scores of somebody else's system: a folder of DCASE score files."""

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


@dataclass(frozen=True, eq=False)
class Candidates:
    """One machine's candidates with comparable scores."""

    clips: ClipTable
    members: tuple[Member, ...]
    scores: Array  # [K, N], calibrated; where ranked, NaN for clips outside of the test set
    pseudo: Array  # [K], pseudo-Ω; NaN where nobody measured it
    raw: Array | None = None  # [K, N], before they were calibrated; None where ranked

    @cached_property
    def unlabelled(self) -> Array:
        """The score [N] of all that needs no labels: see `unlabelled_weights`."""
        alike = self.scores
        if self.raw is not None:
            held_out = self.clips.having(Role.HELD_OUT)
            alike = np.stack([CALIBRATIONS[UNLABELLED].of(row[held_out])(row) for row in self.raw])
        return unlabelled_weights(self.members, alike, self.clips) @ alike

    @property
    def transductive(self) -> bool:
        """Whether they are ranked within the test set."""
        return any(member.calibration is None for member in self.members)


def gather(
    clips: ClipTable,
    archive: Archive | None,
    *,
    calibration: CalibrationName = CALIBRATION,
    exportable: bool = False,
    systems: Sequence[System] = (),
) -> Candidates:
    """A machine's candidates: every score type of its complete trials, and the imported systems.

    Trials are calibrated by held-out training clips. Imported systems have no scores of these: with them all
    are ranked within the sections of the test set. UsageError where a system lacks clips, HumtuneError where
    there is no candidate.
    """
    own = archive.candidates(exportable=exportable) if archive else []
    if not own and not systems:
        which = "complete trial may be chosen" if archive and archive.keys else "complete trial yet"
        raise HumtuneError(f"{clips.machine}: no {which}")
    raw = archive.of(own) if archive and own else np.zeros((0, len(clips)))
    pseudo = np.array([c.trial.pseudo.get(c.score_type, np.nan) for c in own] + [np.nan] * len(systems))
    if systems:
        members = [Member(trial=c.trial.id, score_type=c.score_type) for c in own]
        members += [Member(system=system.name) for system in systems]
        taken = np.stack([*raw, *(align(system, clips) for system in systems)])
        ranked = _rank(taken, clips)
        return Candidates(clips, tuple(members), ranked, pseudo)
    held_out = clips.having(Role.HELD_OUT)
    members = []
    scores = np.empty_like(raw)
    title = f"{clips.machine}: bringing scores to one scale"
    for row, candidate in enumerate(tracked(own, total=len(own), title=title)):
        try:
            scale = CALIBRATIONS[calibration].of(raw[row, held_out])
        except HumtuneError as error:
            raise HumtuneError(f"{candidate.name}: {error}") from error
        trial, score_type = candidate.trial.id, candidate.score_type
        members.append(Member(trial=trial, score_type=score_type, calibration=scale))
        scores[row] = scale(raw[row])
    return Candidates(clips, tuple(members), scores, pseudo, raw)


def unlabelled_weights(members: Sequence[Member], scores: Array, clips: ClipTable) -> Array:
    """Weights [K] of members by their calibrated scores [K, N], without labels: see `by_agreement`.

    They agree on healthy clips held out of training and on disturbed ones, or, with imported systems, on the
    test clips. A fusion has no weight beside the scores that it is made of.
    """
    names = [str(member.trial or member.system) for member in members]
    made_of = {n for n, member in zip(names, members, strict=True) if member.score_type != FUSION}
    base = [
        k
        for k, (n, m) in enumerate(zip(names, members, strict=True))
        if m.score_type != FUSION or n not in made_of
    ]
    disturbed = (clips.role == Role.PROBE) & (clips.part == ProbeKind.FAULT)
    known = np.union1d(clips.having(Role.HELD_OUT), np.flatnonzero(disturbed))
    known = known[np.isfinite(scores[:, known]).all(axis=0)]
    if not known.size:
        known = clips.having(*_TEST)
        known = known[np.isfinite(scores[:, known]).all(axis=0)]
    weights = np.zeros(len(members))
    weights[base] = by_agreement(scores[base][:, known], [names[k] for k in base])
    return weights


def align(system: System, clips: ClipTable) -> Array:
    """A system's scores [N] of the machine's clips; NaN for those it need not have.

    It must have every clip that chooses or is hidden; of any other section of the test set all clips or none.
    """
    if clips.machine not in system.scores:
        there = ", ".join(system.scores)
        raise UsageError(f"{system.folder}: no scores of {clips.machine}; there are {there} (--machines)")
    known = {clip_key(name): score for name, score in system.scores[clips.machine].items()}
    scores = np.array([known.get(clip_key(name), np.nan) for name in clips.name])
    test = np.isin(clips.role, [str(r) for r in _TEST])
    scores[~test] = np.nan
    missing = test & np.isnan(scores)
    for section in np.unique(clips.section[missing]):
        here = test & (clips.section == section)
        needed = np.isin(clips.role, [str(Role.SELECT), str(Role.HIDDEN)]) & here & missing
        if needed.any() or not missing[here].all():
            clip = clips.name[needed if needed.any() else here & missing][0]
            raise UsageError(
                f"{system.folder}: {clips.machine}: {clip} has no score; add it, or drop the import"
            )
    return scores


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


def _rank(scores: Array, clips: ClipTable) -> Array:
    test = clips.having(*_TEST)
    found = np.full_like(scores, np.nan)
    found[:, test] = ranks(scores[:, test], clips.section[test])
    return found
