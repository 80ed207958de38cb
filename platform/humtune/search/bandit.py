"""Which kind of detector gets the next trial: each once, the cheapest first; then what brings most a second.

All of it follows from the ledger's trials, so that a search that is resumed chooses as it would have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from humtune.config import SHARED
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.metrics.cells import Array, Cells
from humtune.records import TrialRecord, TrialState
from humtune.results.candidates import searched_trials
from humtune.results.contributions import brings, kind_of_trial, on_one_scale
from humtune.search.clock import Forecast
from humtune.search.machine_study import MachineStudy
from humtune.search.space import Space
from humtune.search.space.dimensions import FAMILY, Presets
from humtune.sounds.table import Role

WORTH_A_TRY = 0.01  # Ω that a kind may bring though nothing shows it yet
HALVED = 0.05  # Ω by which a kind is behind that halve this
FAILURES = 3  # after which a kind is given up of which no trial was complete
SPLITS = 2  # few: the search waits for it
OFTEN, GROWN = 8, 1.125  # measured after each of so many trials, then when there are so many times as many


@dataclass(frozen=True)
class Arm:
    """A preset of the family in one study, and what is known of it."""

    study: str
    preset: str
    begun: int = 0  # trials that run or have ended
    spent: float = 0.0  # seconds of these
    seconds: float = 1.0  # that another one takes
    brings: float | None = None  # Ω, 0…1, that the ensembles have by it; None: there are no labels to tell
    behind: float = 0.0  # Ω, 0…1, by which its best is below the best of all

    @property
    def promise(self) -> float:
        """Ω that another trial may bring the ensembles, a second.

        What n trials of a kind bring together is taken to grow as n / (n + 1).
        """
        n = self.begun
        gain = max(self.brings or 0.0, 0.0) + WORTH_A_TRY * 0.5 ** (self.behind / HALVED)
        return float(gain / (n * (n + 2) * self.seconds))


def next_arm(arms: Sequence[Arm]) -> Arm:
    """The one whose turn it is; of equal ones the first.

    Where nothing tells what some bring, all get the same time.
    """
    new = [arm for arm in arms if not arm.begun]
    if new:
        return min(new, key=lambda arm: arm.seconds)
    if any(arm.brings is None for arm in arms):
        return min(arms, key=lambda arm: arm.spent)
    return max(arms, key=lambda arm: arm.promise)


def measured_at(trials: int) -> int:
    """Of how many trials it was last measured what kinds bring, where there are so many.

    It follows from their number alone, so that a search that is resumed measures as it would have.
    """
    if trials <= OFTEN:
        return trials
    at = float(OFTEN)
    while at * GROWN < trials + 1:
        at *= GROWN
    return int(at)


def _is_hopeless(records: Sequence[TrialRecord]) -> bool:
    states = [record.state for record in records]
    return TrialState.COMPLETE not in states and states.count(TrialState.FAILED) >= FAILURES


@dataclass
class Worth:
    """What kinds bring to a machine's ensemble, and how far their best is behind; by kind, Ω from 0 to 1."""

    brings: Mapping[str, float]
    behind: Mapping[str, float]


class Bandit:
    """Knows the arms of a search as they stand."""

    def __init__(self, ledger: Ledger, space: Space) -> None:
        self.ledger, self.space, self.plan = ledger, space, ledger.plan
        self.closed: set[tuple[str, str]] = set()  # study and preset of which there is nothing more to try
        self._brings: dict[str, tuple[int, dict[str, float]]] = {}  # machine -> of how many trials, and what
        self._vectors: dict[str, Array | None] = {}  # trial's folder -> [N], None where they are lost

    def arms(
        self,
        open_studies: Sequence[MachineStudy],
        all_studies: Mapping[str, MachineStudy],
        forecast: Forecast,
    ) -> list[Arm]:
        """What can be tried next in some of all studies."""
        families = self.space.search[FAMILY]
        assert isinstance(families, Presets)
        shared = all_studies.get(SHARED) if self.plan.is_shared(SHARED) else None
        judged = [m for m in self.plan.machines if self.plan.objective(m) == "omega"]
        found, untimed = [], forecast.longest
        for this in open_studies:
            begun = [*this.searched, *(r.record for r in list(this.running.values()))]
            for preset in map(str, families.of(this.machine, shared=this is shared).options):
                if (this.machine, preset) in self.closed:
                    continue
                own = [record for record in begun if record.params.get(FAMILY) == preset]
                if _is_hopeless(own):
                    continue
                seconds = forecast.of_preset(this.machine, preset) or untimed
                spent = sum(record.seconds or seconds for record in own)
                found.append(Arm(this.machine, preset, len(own), spent, seconds))
        if all(arm.begun for arm in found):  # else a new one's turn it is, whatever others are worth
            worth = {m: self.worth(m, all_studies[m], shared) for m in judged}
            return [self._judged(arm, worth) for arm in found]
        return found

    def _judged(self, arm: Arm, worth: Mapping[str, Worth]) -> Arm:
        shared = self.plan.is_shared(arm.study)
        seen = [known for m, known in worth.items() if shared or m == arm.study]
        if not seen:
            return arm
        kind = f"{SHARED} {arm.preset}" if shared else arm.preset
        return replace(
            arm,
            brings=sum(known.brings.get(kind, 0.0) for known in seen),
            behind=min(known.behind.get(kind, 1.0) for known in seen),
        )

    def worth(self, machine: str, own: MachineStudy, shared: MachineStudy | None) -> Worth:
        """What the kinds of a machine's trials and of shared ones are worth to it."""
        here = [seen for r in shared.searched if (seen := r.of(machine))] if shared else []
        trials = sorted(searched_trials([*own.searched, *here]), key=lambda r: (r.ended or 0.0, r.id))
        best: dict[str, float] = {}
        for record in trials:
            kind = kind_of_trial(record)
            best[kind] = max(record.objective, best.get(kind, 0.0))
        behind = {kind: max(best.values()) - value for kind, value in best.items()}
        wanted = measured_at(len(trials))
        count, known = self._brings.get(machine, (0, {}))
        if wanted != count:
            known = self._measured(machine, trials[:wanted])
            self._brings[machine] = wanted, known
        return Worth(known, behind)

    def _measured(self, machine: str, trials: Sequence[TrialRecord]) -> dict[str, float]:
        left = [(kind_of_trial(r), vector) for r in trials if (vector := self._vector(r)) is not None]
        if not left:
            return {}
        kinds, vectors = zip(*left, strict=True)
        try:
            cells = Cells.of(self.ledger.clips(machine), Role.SELECT)
            return brings(np.stack(vectors), kinds, cells, splits=SPLITS)
        except UsageError:  # a cell of a single clip
            return {}

    def _vector(self, record: TrialRecord) -> Array | None:
        """A trial's best score [N], on an ensemble's scale; one a trial, as all of them are kept at hand."""
        if record.folder not in self._vectors:
            clips = self.ledger.clips(record.machine)
            try:
                scores = self.ledger.scores(record.folder, record.best_score, clips=len(clips))
                self._vectors[record.folder] = on_one_scale(scores, clips)
            except HumtuneError:
                self._vectors[record.folder] = None
        return self._vectors[record.folder]
