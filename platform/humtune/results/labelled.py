"""A machine's labelled clips by what they are for, and what one score vector is worth on each kind.

The clips that choose and those that a search hid come from here for everything that chooses: nothing but
`choosing` may decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from humtune.errors import UsageError
from humtune.metrics.bootstrap import Resampled, pool_resampled, resample
from humtune.metrics.cells import Array, Cells, labelled
from humtune.metrics.omega import Figures, evaluate, pool
from humtune.sounds.table import ClipTable, Role


@dataclass(frozen=True, eq=False)
class Reading:
    """One score vector's figures, or several machines' in one; None where there are no such clips."""

    select: Figures | None = None  # on the clips that may choose
    hidden: Figures | None = None  # on those that --holdout hid
    report: Figures | None = None  # on the other test clips, where there is truth
    select_draws: Resampled | None = None
    hidden_draws: Resampled | None = None

    @classmethod
    def pooled(cls, readings: Sequence["Reading"]) -> "Reading":
        """The harmonic mean over all values of all machines; machines without a figure are left out of it."""

        def over(name: str) -> Figures | None:
            found = [figures for r in readings if (figures := getattr(r, name))]
            return pool(found) if found else None

        def draws(name: str) -> Resampled | None:
            found = [resampled for r in readings if (resampled := getattr(r, name))]
            return pool_resampled(found) if found else None

        return cls(
            over("select"), over("hidden"), over("report"), draws("select_draws"), draws("hidden_draws")
        )


@dataclass(frozen=True, eq=False)
class LabelledClips:
    """The cells of a machine's labelled clips; None where there are none, or where a cell lacks a label."""

    choosing: Cells | None
    hidden: Cells | None
    reported: Cells | None
    notes: tuple[str, ...]  # which cell lacks what

    def read(self, scores: Array) -> Reading:
        """The figures of scores [N], with 1,000 draws of the clips that choose and of the hidden ones."""
        choosing, hidden, reported = self.choosing, self.hidden, self.reported
        return Reading(
            select=evaluate(scores, choosing) if choosing else None,
            hidden=evaluate(scores, hidden) if hidden else None,
            report=evaluate(scores, reported) if reported else None,
            select_draws=resample(scores, choosing) if choosing else None,
            hidden_draws=resample(scores, hidden) if hidden else None,
        )


def labelled_clips(clips: ClipTable) -> LabelledClips:
    """Which labelled clips of a machine choose, which are hidden from all choices, which are reported."""
    found: dict[Role, Cells] = {}
    notes = []
    for role, where in ((Role.SELECT, ""), (Role.HIDDEN, "hidden clips: "), (Role.REPORT, "eval clips: ")):
        if labelled(clips, role):
            try:
                found[role] = Cells.of(clips, role)
            except UsageError as error:
                notes.append(f"{where}{error}")
    return LabelledClips(found.get(Role.SELECT), found.get(Role.HIDDEN), found.get(Role.REPORT), tuple(notes))
