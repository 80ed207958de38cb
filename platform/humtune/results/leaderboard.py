"""A machine's kinds of detectors side by side: the best of each, and what the ensemble has of it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.metrics.bootstrap import resample
from humtune.metrics.cells import Array, Cells
from humtune.metrics.cross_fitting import cross_fit
from humtune.results.archive import Archive, Stamps, read_archive
from humtune.results.candidates import Candidate
from humtune.results.contributions import ALL, kind_of_trial, without_each
from humtune.results.ensembles.candidates import CALIBRATION, CALIBRATIONS
from humtune.results.reading import Estimate, labelled_clips
from humtune.sounds.table import ClipTable, Role

FRACTIONS = (
    "objective",
    "omega_cross_fitted",
    "omega_cross_fitted_spread",
    "omega_select_official",
    "omega_select_low",
    "omega_select_high",
    "brings",
)
COLUMNS = ("machine", "kind", "trial", "score", "judged_by", *FRACTIONS[:-1], "seconds", "trials", "brings")
BEST = 3  # candidates of a kind that the ensemble is made of here


@dataclass(frozen=True)
class Standing:
    """One kind on a machine; fractions 0…1, None where nothing judges."""

    machine: str
    kind: str
    best: Candidate
    trials: int
    cross_fitted: Estimate = field(default_factory=Estimate)  # its candidates chosen and read on other clips
    omega: Estimate = field(default_factory=Estimate)  # of its best, with the 90 % interval
    brings: float | None = None  # cross-fitted Ω that the ensemble loses without it

    @property
    def seconds(self) -> float:
        """Of work, that its best trial took."""
        return self.best.trial.seconds

    def to_dict(self) -> dict[str, Any]:
        """The line by the names of `COLUMNS`, for a program; `FRACTIONS` are 0…1."""
        trial, fitted, omega = self.best.trial, self.cross_fitted, self.omega
        values = (
            *(self.machine, self.kind, trial.id, self.best.score_type, trial.judged_by, self.best.value),
            *(fitted.value, fitted.spread, omega.value, omega.low, omega.high),
            *(self.seconds, self.trials, self.brings),
        )
        return dict(zip(COLUMNS, values, strict=True))


def standings(ledger: Ledger, machine: str, *, stamps: Stamps | None = None) -> list[Standing]:
    """The kinds of a machine's complete trials, the best first; none where no trial is complete."""
    clips, archive = ledger.clips(machine), read_archive(ledger, machine, stamps=stamps)
    of_kind: dict[str, list[Candidate]] = {}
    for candidate in sorted(archive.candidates(), key=lambda c: (-c.value, c.trial.number)):
        of_kind.setdefault(kind_of_trial(candidate.trial), []).append(candidate)
    judged = {own[0].trial.judged_by for own in of_kind.values()} == {"omega"}
    cells = labelled_clips(clips).choosing if judged else None
    brings = _brings(archive, of_kind, clips, cells) if cells and len(of_kind) > 1 else {}
    found = [_standing(machine, kind, own, archive, cells, brings.get(kind)) for kind, own in of_kind.items()]
    return sorted(found, key=lambda s: -(s.cross_fitted.value or s.best.value))


def _standing(
    machine: str,
    kind: str,
    own: Sequence[Candidate],
    archive: Archive,
    cells: Cells | None,
    brings: float | None,
) -> Standing:
    fitted = omega = Estimate()
    if cells:
        [vector] = archive.of(own[:1])
        draws = resample(vector, cells)
        omega = Estimate.of(draws.estimate, draws)
        with suppress(UsageError):  # a cell of a single clip
            fitted = Estimate.spread_over(cross_fit(archive.of(own), cells))
    trials = len({candidate.trial.id for candidate in own})
    return Standing(machine, kind, own[0], trials, fitted, omega, brings)


def _brings(
    archive: Archive, of_kind: dict[str, list[Candidate]], clips: ClipTable, cells: Cells
) -> dict[str, float]:
    """Cross-fitted Ω that the greedy ensemble of the best of each kind loses without it, by kind."""
    held_out, kinds, rows = clips.having(Role.HELD_OUT), [], list[Array]()
    for kind, own in of_kind.items():
        for scores in archive.of(own[:BEST]):
            try:
                rows.append(CALIBRATIONS[CALIBRATION].of(scores[held_out])(scores))
                kinds.append(kind)
            except HumtuneError:  # scores that have no spread
                continue
    try:
        found = without_each(np.stack(rows), kinds, cells)
    except (UsageError, ValueError):  # a cell of a single clip, or nothing that compares
        return {}
    whole = found.pop(ALL).mean
    return {kind: whole - without.mean for kind, without in found.items()}
