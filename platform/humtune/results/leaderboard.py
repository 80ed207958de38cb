"""A machine's kinds of detectors side by side: the best of each, and what the ensemble has of it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.metrics.bootstrap import resample
from humtune.metrics.cells import Cells
from humtune.metrics.cross_fitting import cross_fit
from humtune.results.archive import Archive, Stamps, read_archive, trial_stamps
from humtune.results.candidates import Candidate
from humtune.results.contributions import brings, kind_of_trial, on_one_scale
from humtune.results.reading import Estimate, labelled_clips
from humtune.sounds.table import ClipTable

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
_Fitted = tuple[float | None, float | None, float | None]  # a kind's cross-fitted Ω, spread, what it brings


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


def standings(
    ledger: Ledger, machine: str, *, stamps: Stamps | None = None, measure: bool = True
) -> list[Standing]:
    """The kinds of a machine's complete trials, the best first; none where no trial is complete.

    What takes long, all that is cross-fitted, is kept in the storage until other trials are complete. Without
    `measure` only what was kept is told.
    """
    stamps = trial_stamps(ledger) if stamps is None else stamps
    clips, archive = ledger.clips(machine), read_archive(ledger, machine, stamps=stamps)
    of_kind: dict[str, list[Candidate]] = {}
    for candidate in sorted(archive.candidates(), key=lambda c: (-c.value, c.trial.number)):
        of_kind.setdefault(kind_of_trial(candidate.trial), []).append(candidate)
    judged = {own[0].trial.judged_by for own in of_kind.values()} == {"omega"}
    cells = labelled_clips(clips).choosing if judged else None
    known: Mapping[str, _Fitted] = {}
    if cells:
        digest, place = _digest(of_kind, stamps), ledger.layout.standings(machine)
        kept = _kept(ledger, place, digest)
        if kept is None and measure:
            kept = _fitted(archive, of_kind, clips, cells)
            with suppress(OSError):  # somebody else's storage: what can't be kept is measured again
                ledger.storage.write(place, json.dumps({"of": digest, "kinds": kept}).encode())
        known = kept or {}
    found = [_standing(machine, kind, own, archive, cells, known.get(kind)) for kind, own in of_kind.items()]
    return sorted(found, key=lambda s: -(s.cross_fitted.value or s.best.value))


def _digest(of_kind: Mapping[str, Sequence[Candidate]], stamps: Stamps) -> str:
    """What changes whenever a trial does that is compared."""
    trials = sorted({c.trial.id for own in of_kind.values() for c in own})
    return hashlib.md5(
        json.dumps([(t, stamps[t]) for t in trials]).encode(), usedforsecurity=False
    ).hexdigest()


def _kept(ledger: Ledger, place: str, digest: str) -> dict[str, _Fitted] | None:
    """What was measured of just these trials; None where it wasn't, or can't be read."""
    try:
        held = json.loads(ledger.storage.read(place))
        if held["of"] == digest:
            return {
                kind: (fitted, spread, brought) for kind, (fitted, spread, brought) in held["kinds"].items()
            }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, HumtuneError):
        pass
    return None


def _fitted(
    archive: Archive, of_kind: Mapping[str, Sequence[Candidate]], clips: ClipTable, cells: Cells
) -> dict[str, _Fitted]:
    every = [(kind, archive.of([c])[0]) for kind, own in of_kind.items() for c in own]
    scaled = [(kind, row) for kind, scores in every if (row := on_one_scale(scores, clips)) is not None]
    found: dict[str, _Fitted] = {}
    try:
        brought = brings([row for _, row in scaled], [kind for kind, _ in scaled], cells) if scaled else {}
        for kind, own in of_kind.items():
            fitted = cross_fit(archive.of(own), cells)
            found[kind] = fitted.mean, fitted.spread, brought.get(kind)
    except UsageError:  # a cell of a single clip
        pass
    return found


def _standing(
    machine: str,
    kind: str,
    own: Sequence[Candidate],
    archive: Archive,
    cells: Cells | None,
    known: _Fitted | None,
) -> Standing:
    omega, (fitted, spread, brought) = Estimate(), known or (None, None, None)
    if cells:
        [vector] = archive.of(own[:1])
        draws = resample(vector, cells)
        omega = Estimate.of(draws.estimate, draws)
    trials = len({candidate.trial.id for candidate in own})
    return Standing(machine, kind, own[0], trials, Estimate(fitted, spread=spread), omega, brought)
