"""Which kind of detector gets the next trial: each once, the cheapest first; then what brings most a second.

All of it follows from the ledger's trials, so that a search that is resumed chooses as it would have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from humtune.config import SHARED
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.metrics.calibration import Standard
from humtune.metrics.cells import Array, Cells
from humtune.records import TrialRecord
from humtune.results.candidates import searched_trials
from humtune.results.contributions import ALL, kind_of_trial, without_each
from humtune.search.clock import Forecast
from humtune.search.machine_study import MachineStudy
from humtune.search.space import Space
from humtune.search.space.dimensions import FAMILY, Presets
from humtune.sounds.table import Role

WORTH_A_TRY = 0.01  # Ω that a kind may bring though nothing shows it yet
HALVED = 0.05  # Ω by which a kind is behind that halve this
BEST = 3  # trials of a kind that are looked at
SPLITS = 3  # few: it is asked after every trial


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


@dataclass
class Worth:
    """What kinds bring to a machine's ensemble, and how far their best is behind; by kind, Ω from 0 to 1."""

    brings: dict[str, float] = field(default_factory=dict)
    behind: dict[str, float] = field(default_factory=dict)


class Bandit:
    """Knows the arms of a search as they stand."""

    def __init__(self, ledger: Ledger, space: Space) -> None:
        self.ledger, self.space, self.plan = ledger, space, ledger.plan
        self.closed: set[tuple[str, str]] = set()  # study and preset of which there is nothing more to try
        self._worth: dict[str, tuple[int, Worth]] = {}  # machine -> of how many trials, and what
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
        worth = {m: self.worth(m, all_studies[m], shared) for m in judged}
        found, untimed = [], forecast.longest
        for this in open_studies:
            machines = judged if this is shared else [m for m in judged if m == this.machine]
            begun = [*this.searched, *(r.record for r in list(this.running.values()))]
            for preset in map(str, families.of(this.machine, shared=this is shared).options):
                if (this.machine, preset) in self.closed:
                    continue
                own = [record for record in begun if record.params.get(FAMILY) == preset]
                seconds = forecast.of_preset(this.machine, preset) or untimed
                kind = f"{SHARED} {preset}" if this is shared else preset
                found.append(
                    Arm(
                        study=this.machine,
                        preset=preset,
                        begun=len(own),
                        spent=sum(record.seconds or seconds for record in own),
                        seconds=seconds,
                        brings=sum(worth[m].brings.get(kind, 0.0) for m in machines) if machines else None,
                        behind=min((worth[m].behind.get(kind, 1.0) for m in machines), default=0.0),
                    )
                )
        return found

    def worth(self, machine: str, own: MachineStudy, shared: MachineStudy | None) -> Worth:
        """What the kinds of a machine's trials and of shared ones are worth to it."""
        here = [seen for r in shared.searched if (seen := r.of(machine))] if shared else []
        trials = searched_trials([*own.searched, *here])
        count, known = self._worth.get(machine, (-1, Worth()))
        if len(trials) != count:
            known = self._measured(machine, trials)
            self._worth[machine] = len(trials), known
        return known

    def _measured(self, machine: str, trials: Sequence[TrialRecord]) -> Worth:
        ranked: dict[str, list[TrialRecord]] = {}
        for record in sorted(trials, key=lambda r: (-r.objective, r.id)):
            ranked.setdefault(kind_of_trial(record), []).append(record)
        if not ranked:
            return Worth()
        best = {kind: own[0].objective for kind, own in ranked.items()}
        behind = {kind: max(best.values()) - value for kind, value in best.items()}
        looked_at = [(kind, self._vector(r)) for kind, own in ranked.items() for r in own[:BEST]]
        left = [(kind, vector) for kind, vector in looked_at if vector is not None]
        if not left:
            return Worth({}, behind)
        kinds, vectors = zip(*left, strict=True)
        try:
            cells = Cells.of(self.ledger.clips(machine), Role.SELECT)
            found = without_each(np.stack(vectors), kinds, cells, splits=SPLITS)
        except UsageError:  # a cell of a single clip
            return Worth({}, behind)
        whole = found.pop(ALL).mean
        return Worth({kind: whole - without.mean for kind, without in found.items()}, behind)

    def _vector(self, record: TrialRecord) -> Array | None:
        """A trial's best score [N], on the scale of its held-out clips."""
        if record.folder not in self._vectors:
            clips = self.ledger.clips(record.machine)
            try:
                scores = self.ledger.scores(record.folder, record.best_score, clips=len(clips))
                self._vectors[record.folder] = Standard.of(scores[clips.having(Role.HELD_OUT)])(scores)
            except HumtuneError:
                self._vectors[record.folder] = None
        return self._vectors[record.folder]
