"""A trial of a search as it is on a machine, and the limit of its scores."""

from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.metrics.calibration import FALSE_ALARMS, Threshold
from humtune.metrics.cells import Array
from humtune.records import TrialRecord
from humtune.runtime.promises import HealthyScores, grouped, promises, threshold_of
from humtune.sounds.check import DOMAIN_NAMES
from humtune.sounds.groups import group_names
from humtune.sounds.table import ClipTable, Role


def trial_on(ledger: Ledger, trial: str, machine: str | None) -> TrialRecord:
    """A trial as it is on a machine; None: on its own. UsageError where it has none."""
    record = ledger.read(trial)
    if machine is None and record.machines:
        known = ledger.plan.machines
        raise UsageError(f"{trial} is of all machines: say of which one, machine='{next(iter(known))}'")
    found = record.of(machine or record.machine)
    if found is None:
        raise UsageError(f"{trial} is a trial of {record.machine}, not of {machine}")
    return found


def limit_of(scores: Array, clips: ClipTable, *, false_alarms: float = FALSE_ALARMS) -> Threshold | None:
    """The threshold that held-out clips set: the rate is kept in each domain. None where there are none.

    Scores [N] of the table. Clips that were recorded together count as one group.
    """
    held_out = clips.having(Role.HELD_OUT)
    groups = group_names(clips.attributes, clips.section, clips.domain)[held_out]
    domains = [DOMAIN_NAMES[domain] for domain in clips.domain[held_out].tolist()]
    healthy = HealthyScores(grouped(scores[held_out], domains, groups))
    return threshold_of(promises(healthy, false_alarms)) if held_out.size else None
