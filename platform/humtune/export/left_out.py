"""What a detector says of healthy clips when it doesn't know the others of their group.

A clip has near neighbours among the clips of its own recording or working condition. Beside them it looks
more ordinary than a new recording ever will, and a threshold by such scores promises too much.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from humtune.detectors.detector import Detector
from humtune.runtime.timeline import cut
from humtune.scores.base import Score
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role

FOLDS = 10  # parts of the groups that are left out in turn


def can_leave_out(detector: Detector, score_type: str) -> bool:
    """Whether a score knows single training clips only as references, or is learnt anew in one step."""
    return detector.recipe.budget == 1 or compares(detector, score_type)


def left_out_scores(
    detector: Detector,
    score_type: str,
    bank: ClipBank,
    clips: NDArray[np.intp],
    groups: NDArray[np.str_],
    *,
    window: int | None = None,
    joined: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Scores [W] of the windows of some of the bank's clips [n], and the clip, 0…n, that each is of.

    Each is scored by the detector without the clips of its group; `groups` [N] names that of every clip of
    the bank. Where the score compares with references, those of the group are left out, and the network stays
    as it is; else the detector is fitted anew, where `can_leave_out`, or nothing is left out. `window`
    samples are scored at a time; None: a clip. With `joined`, clips of a group that follow one another are
    scored as the recording that they were cut from, and the first of them stands for all.
    """
    group = np.unique(groups, return_inverse=True)[1]
    own = np.unique(group[clips], return_inverse=True)[1] % FOLDS
    scores, clip = [], []
    for fold in np.unique(own):
        here = np.flatnonzero(own == fold)
        out = np.flatnonzero(np.isin(group, group[clips[here]]))
        breaks = ~_follows(bank, clips[here], group) if joined else np.ones(len(here), np.bool_)
        heard, of = _windows(bank, clips[here], np.flatnonzero(breaks), window)
        less = _without(detector, score_type, bank, out)
        scores.append(less.score(less.encode(heard, np.arange(len(heard.table))))[score_type])
        clip.append(here[of])
    return np.concatenate(scores), np.concatenate(clip)


def compares(detector: Detector, score_type: str) -> bool:
    """Whether the score, and each that a joint one joins, compares with references."""
    recipe = detector.recipe
    parts = recipe.base_types if score_type not in recipe.base_types else (score_type,)
    scores = [recipe.scoring.of(part) for part in parts]
    return all(isinstance(score, Score) and score.compares for score in scores)


def _follows(bank: ClipBank, clips: NDArray[np.intp], group: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which of some clips [n] go on where the one before ends: a recording's are all as long, to a sample."""
    found = np.zeros(len(clips), np.bool_)
    found[1:] = np.diff(clips) == 1
    found[1:] &= np.diff(group[clips]) == 0
    found[1:] &= np.abs(np.diff(bank.lengths[clips])) <= 1
    return found


def _windows(
    bank: ClipBank, clips: NDArray[np.intp], first: NDArray[np.intp], window: int | None
) -> tuple[ClipBank, NDArray[np.intp]]:
    """The windows of some clips as a bank, and the clip, 0…n, that each is of.

    Those from one of `first` to the next are scored as one.
    """
    pieces, of = [], []
    for i, part in zip(first.tolist(), np.split(clips, first[1:]), strict=True):
        sound = np.concatenate([bank.clip(clip) for clip in part.tolist()])
        for _, piece in cut([sound], window or len(sound)):
            pieces.append(piece)
            of.append(i)
    offsets = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    return ClipBank(bank.table.take(clips[of]), np.concatenate(pieces), offsets, bank.hash), np.array(of)


def _without(detector: Detector, score_type: str, bank: ClipBank, clips: NDArray[np.intp]) -> Detector:
    """The detector without some clips, as far as it can do without them."""
    recipe, encoder, reference = detector.recipe, detector.encoder, detector.reference
    if compares(detector, score_type):
        less = Detector(recipe, encoder, machine=detector.machine)
        assert reference is not None
        assert reference.clip is not None
        gone = torch.isin(reference.clip, torch.from_numpy(clips).to(reference.clip.device))
        less.reference, less.joints = reference.take(~gone), detector.joints
        return less
    if not can_leave_out(detector, score_type):
        return detector
    role = bank.table.role.copy()
    role[clips] = str(Role.REPORT)
    fewer = replace(bank, table=replace(bank.table, role=role))
    return recipe.start(fewer, device=str(encoder.device)).run()
