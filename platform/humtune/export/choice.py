"""Which trial leaves as a model: the best of those that ask nothing of a clip but its sound."""

from humtune.errors import HumtuneError
from humtune.ledger import Ledger
from humtune.results.measure import Measured, measure

WHY = "scores a clip against its own section, which an exported model can't know"


def measure_exportable(ledger: Ledger, machine: str) -> Measured:
    """Measure the machine's best trial × score type that can be exported.

    HumtuneError where there are complete trials and all of them need a clip's section.
    """
    measured = measure(ledger, machine, exportable=True)
    if measured.best is None and (left := measured.left_out):
        raise HumtuneError(
            f"{machine}: {left.trial.id} {WHY}, and so does every other complete trial; "
            "search without scoring.pool: section and with more score types than neg_logit"
        )
    return measured


def left_out_note(measured: Measured) -> str | None:
    """A sentence about the better trial that can't be exported, and about trials whose scores are lost."""
    left, best, notes = (
        measured.left_out,
        measured.best,
        list(measured.archive.notes if measured.archive else ()),
    )
    if left and best:
        notes.append(
            f"{left.trial.id} with {left.score_type} is left out, though its {best.trial.symbol} is "
            f"{100 * measured.lead:.1f} points higher: it {WHY}"
        )
    return "; ".join(notes) or None
