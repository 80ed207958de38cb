"""Run what is left of a search until it is through, its hours are over, or a signal comes."""

from contextlib import nullcontext
from time import monotonic

from humtune.ledger import Ledger
from humtune.search import run as tune_run
from humtune.search.clock import Clock
from humtune.search.stop import Interruption
from humtune.search.studies import Studies

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
