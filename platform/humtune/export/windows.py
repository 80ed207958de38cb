"""Scores of clips that are longer than a model's window: those that scoring will give, for its threshold."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from humtune.export.blueprint import Blueprint
from humtune.export.graph import Member, least_samples, most_samples
from humtune.results.reading import labelled_clips
from humtune.runtime.scorer import Scorer
from humtune.sounds.parallel import map_in_order
from humtune.sounds.sound_file import to_waveform
from humtune.sounds.table import SCORED, Role


def window_of(members: Sequence[Member], lengths: NDArray[np.int64]) -> int:
    """Samples that a model scores at a time: as many as a usual clip has, but none that a member leaves out.

    `lengths` [n] are those of the clips that the threshold is measured on.
    """
    usual = int(np.median(lengths))
    return max(least_samples(members), min(usual, most_samples(members) or usual))


def in_windows(plan: Blueprint, scorer: Scorer) -> Blueprint:
    """The same model with the scores that it gives as a whole: of a clip's strangest window.

    A search scores a clip by chunks spread over it, however long it is. Clips of no more than a window have
    that score already; where no clip is longer, nothing changes.
    """
    clips = plan.measured.clips
    recorded = np.flatnonzero(clips.role != str(Role.PROBE))
    scored = plan.bank.table.having(*SCORED)
    long = np.flatnonzero(plan.bank.lengths[scored] > scorer.info.window_samples)
    if not long.size:
        return plan
    found = map_in_order(
        lambda clip: scorer.score(to_waveform(plan.bank.clip(clip))),
        scored[long].tolist(),
        title=f"{plan.measured.machine}: scoring in windows",
    )
    scores = plan.scores.copy()
    scores[recorded[long]] = list(found)
    measured = replace(plan.measured, scores=scores, reading=labelled_clips(clips).read(scores))
    return replace(plan, scores=scores, measured=measured)
