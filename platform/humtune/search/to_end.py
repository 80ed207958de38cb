"""Run what is left of a search until it is through, its hours are over, or a signal comes."""

from contextlib import nullcontext
from time import monotonic
from typing import TYPE_CHECKING

from humtune.errors import HumtuneError
from humtune.ledger import Ledger
from humtune.records import why_none
from humtune.search import run as tune_run
from humtune.search.clock import Clock
from humtune.search.stop import Interruption
from humtune.search.studies import Studies

if TYPE_CHECKING:
    from humtune.results.ensembles.make import Made

KEPT_SHARE, KEPT_LEAST, KEPT_MACHINE = 0.02, 10.0, 5.0  # of a limited time, or seconds of all and of each
# machine: what its ensemble and the leaderboard of its kinds may take


def run_to_end(
    ledger: Ledger, address: str | None, slots: int, *, is_new: bool = False, began: float | None = None
) -> tuple[Studies, Interruption]:
    """Run a search; its studies, and what ended it. Its time runs since `began` (monotonic), None: from now.

    A new search of which no trial has begun gives its name free again where it fails.
    """
    hours, clock = ledger.plan.asked.hours, Clock()
    if hours is not None:
        kept = max(KEPT_LEAST, KEPT_MACHINE * len(ledger.plan.machines), KEPT_SHARE * 3600 * hours)
        gone = 0.0 if began is None else monotonic() - began
        clock = Clock.of(ledger, hours, spent=gone + kept)
    with Interruption(clock) as interruption, tune_run.free_unless_begun(ledger) if is_new else nullcontext():
        studies = tune_run.run(ledger, address=address, slots=slots, interruption=interruption)
    return studies, interruption


def found_nothing(studies: Studies) -> dict[str, str]:
    """The machines of which no trial of theirs or of all ran its whole budget, with why."""
    machines = studies.machines.values()
    return {m.machine: why_none(m.ended.values()) for m in machines if m.quota and not m.ranking}


def conclude(studies: Studies) -> "Made | None":
    """Make the ensembles of a search with `hours` that has come to its end; None: it has none, or no trial.

    HumtuneError where trials have ended, or the hours are over, and none at all could be completed.
    """
    ledger, machines = studies.ledger, studies.machines.values()
    hours, ended = ledger.plan.asked.hours, [record for m in machines for record in m.ended.values()]
    if any(machine.ranking for machine in machines):
        return None if hours is None else _join(ledger)
    if ended or not any(machine.left for machine in machines):
        raise HumtuneError(why_none(ended))
    if hours is not None:
        raise HumtuneError(f"no trial could be ended in {hours:g} h")
    return None


def _join(ledger: Ledger) -> "Made":
    """Make each machine's ensemble, as `humtune ensemble` does, of what `export` can hand over."""
    from humtune.report.ensembles import write_ensembles  # these draw plots
    from humtune.results.ensembles.make import make_ensembles

    made = make_ensembles(ledger, exportable=None)
    write_ensembles(ledger)
    return made
