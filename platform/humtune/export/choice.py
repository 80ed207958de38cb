"""Which trial leaves as a model: the best of those that ask nothing of a clip but its sound."""

from humtune.config import FUSION, TrialConfig
from humtune.detector.scores import SCORES
from humtune.errors import HumtuneError
from humtune.ledger import Ledger
from humtune.results.best import Measured, measure

WHY = "scores a clip against its own section, which an exported model can't know"


def exportable(config: TrialConfig, score_type: str) -> bool:
    """Whether a new recording can be scored so: it doesn't say which section it is of."""
    parts = config.base_types if score_type == FUSION else (score_type,)
    return config.scoring.pool == "machine" and not any(SCORES[part].by_section for part in parts)


def measure_exportable(ledger: Ledger, machine: str) -> Measured:
    """Measure the machine's best trial × score type that can be exported.

    HumtuneError where there are complete trials and all of them need a clip's section.
    """
    measured = measure(ledger, machine, allowed=exportable)
    if measured.best is None and (left := measured.left_out):
        raise HumtuneError(
            f"{machine}: {left.id} {WHY}, and so does every other complete trial; "
            "search without scoring.pool: section and with more score types than neg_logit"
        )
    return measured


def left_out_note(measured: Measured) -> str | None:
    """A sentence about the better trial that could not be exported, where there is one."""
    left, best = measured.left_out, measured.best
    if left is None or best is None:
        return None
    figure = "Ω" if best.judged_by == "omega" else "pseudo-Ω"
    return (
        f"{left.id} with {left.best_score} is left out, though its {figure} is "
        f"{100 * measured.lead:.1f} points higher: it {WHY}"
    )
