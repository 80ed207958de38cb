"""Teachers: a machine's ensemble, those that halves of its labels choose, and what they say of lessons."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from humtune.detectors.detector import Detector
from humtune.errors import UsageError
from humtune.export.blueprint import load_detector
from humtune.ledger import Ledger
from humtune.metrics.cells import Array, Cells
from humtune.metrics.cross_fitting import halves
from humtune.records import TrialRecord
from humtune.results.archive import read_archive
from humtune.results.ensembles.candidates import CALIBRATIONS, Candidates, gather
from humtune.results.ensembles.greedy import select
from humtune.results.ensembles.leaving import check_leaving
from humtune.results.ensembles.record import EnsembleRecord, Member
from humtune.results.lessons import Teacher
from humtune.sounds.bank import ClipBank
from humtune.sounds.lessons import Origins
from humtune.sounds.parallel import tracked
from humtune.sounds.table import Role

SPLITS = 2  # of the labelled clips: each adds two teachers, with networks of their own to be asked


def choose_teachers(ledger: Ledger, record: EnsembleRecord) -> tuple[tuple[Teacher, ...], str]:
    """The ensemble, and what its choice gives by halves of the labelled clips; why not, where it doesn't.

    Where no label chose there is nothing to halve. HumtuneError where a member can't score a new recording.
    """
    check_leaving(ledger, record)
    whole = Teacher(members=tuple(record.machine_wide), weights=tuple(record.machine_wide.values()))
    settings = record.settings
    if not settings.by_labels:
        return (whole,), ""
    candidates = label_chosen(ledger, record)
    cells = Cells.of(candidates.clips, Role.SELECT)
    generator, found = np.random.default_rng(0), [whole]  # the seed of `cross_fit_choosers`
    try:
        for _ in range(SPLITS):
            for half in halves(cells, generator):
                weights = select(candidates.scores, half, members=settings.members)
                taken = weights.members.tolist()
                members = tuple(candidates.members[k] for k in taken)
                found.append(Teacher(members=members, weights=tuple(weights.values[taken].tolist())))
    except UsageError as error:  # a cell of a single clip
        return (whole,), str(error)
    return tuple(found), ""


def label_chosen(ledger: Ledger, record: EnsembleRecord) -> Candidates:
    """What halves of the labels may choose from: all that can score a new recording."""
    calibration = next(name for name in CALIBRATIONS if name == record.settings.calibration)
    archive = read_archive(ledger, record.machine)
    return gather(ledger.clips(record.machine), archive, calibration=calibration, exportable=True)


def ask(
    ledger: Ledger, machine: str, teachers: Sequence[Teacher], lessons: ClipBank, found: Origins
) -> Array:
    """What each teacher says of the training clips and lessons of a machine's bank, [T, n].

    Each clip is scored by the references of other folds than its origins': beside themselves, they would
    look more ordinary than a new recording ever does.
    """
    bank = ledger.bank(machine)
    clips = lessons.table.having(Role.TRAIN, Role.LESSON)
    fold = np.concatenate([found.fold, found.fold[found.first]])
    wanted: dict[str, set[str]] = {}
    for member in {member for teacher in teachers for member in teacher.members}:
        wanted.setdefault(str(member.trial), set()).add(member.score_type)
    scores: dict[tuple[str, str], Array] = {}
    for trial in tracked(
        sorted(wanted), total=len(wanted), title=f"{machine}: asking the ensemble's networks"
    ):
        detector = load_detector(ledger, _of(ledger.read(trial), machine), bank)
        own = scores_by_others(detector, lessons, clips, fold)
        scores |= {(trial, name): own[name] for name in wanted[trial]}

    def calibrated(member: Member) -> Array:
        assert member.calibration is not None
        return np.asarray(member.calibration(scores[str(member.trial), member.score_type]))

    return np.stack(
        [
            np.sum([w * calibrated(m) for m, w in zip(t.members, t.weights, strict=True)], axis=0)
            for t in teachers
        ]
    )


def scores_by_others(
    detector: Detector, bank: ClipBank, clips: NDArray[np.intp], fold: NDArray[np.intp]
) -> dict[str, Array]:
    """Each score type's scores of clips [n] by the references of other folds; `fold` [N] of the bank's clips.

    A score that has no reference left, such as by those of a domain with one clip, counts all of them.
    """
    encoded, reference = detector.encode(bank, clips), detector.reference
    assert reference is not None
    assert reference.clip is not None
    known = torch.from_numpy(fold).to(reference.clip.device)
    less = Detector(detector.recipe, detector.encoder, machine=detector.machine)
    less.joints = detector.joints
    less.reference = replace(reference, clip=known[reference.clip])
    assert encoded.clip is not None
    scores = less.score(replace(encoded, clip=known[encoded.clip]), mask_own=True)
    if all(np.isfinite(vector).all() for vector in scores.values()):
        return scores
    every = detector.score(encoded)
    return {name: np.where(np.isfinite(vector), vector, every[name]) for name, vector in scores.items()}


def _of(record: TrialRecord, machine: str) -> TrialRecord:
    """A trial as one of the machine, which a shared one is too."""
    return record.of(machine) or record
