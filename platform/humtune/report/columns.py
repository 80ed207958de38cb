"""The columns of a report's table, and what they mean."""

from collections.abc import Callable

from humtune.evaluation.calibration import FALSE_ALARMS
from humtune.evaluation.selection import SPLITS
from humtune.ledger import SYMBOLS
from humtune.report.rows import Row
from humtune.report.sheet import MISSING, percent, span

LEGEND = (
    "Ω cross-fitted: official Ω of what the search finds, on clips that did not choose it. Trial and score "
    "type are chosen on half of the selecting clips of each section, domain and label and read on the other "
    f"half; mean ± standard deviation of {SPLITS} splits.",
    "Ω select: on the labelled dev clips, which makes it too high where they chose the trial.",
    "pseudo-Ω: harmonic mean of AUC and pAUC of held-out training clips against probes (disturbed clips, "
    "other machines, false sections). Where it chose the trial, no label was looked at: Ω select is honest.",
    "Ω eval: on test clips that chose nothing, where their truth is known.",
    "official: harmonic mean of AUC source, AUC target and pAUC over the sections (DCASE 2022 Task 2). "
    "paper: with a pAUC per domain, four values a section (its eq. 1).",
    "AUC source, AUC target, pAUC (p = 0.1): harmonic means over the sections, selecting clips. Where a data "
    "set names no domains, AUC source is that of all clips.",
    "false alarms: normal selecting clips above the threshold, which at most "
    f"{FALSE_ALARMS:.0%} of the held-out training clips exceed.",
    "trials: complete + pruned + failed. time: the work of all trials, added up.",
    "all: harmonic means over all values of all machines, as the challenge ranks; cross-fitted per split.",
)
SHORT_LEGEND = (
    "In percent. Ω cross-fitted (official) is read on clips that did not choose, Ω select on those that did.",
    "trials: complete + pruned + failed. The whole legend is in table.md.",
)


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:g}"


def _mels(row: Row) -> str:
    return MISSING if row.trial is None else "linear" if row.n_mels is None else f"{row.n_mels}"


def _db(row: Row) -> str:
    return MISSING if row.db is None else "yes" if row.db else "no"


def _cross_fitted(row: Row) -> str:
    if row.omega_cross_fitted is None:
        return MISSING
    return f"{percent(row.omega_cross_fitted)}±{percent(row.omega_cross_fitted_spread)}"


FIELDS: dict[str, Callable[[Row], str]] = {
    "n_fft": lambda r: _number(r.n_fft),
    "chunk frames": lambda r: _number(r.chunk_frames),
    "mels": _mels,
    "dB": _db,
    "head": lambda r: r.head or MISSING,
    "mu": lambda r: _number(r.mu),
    "sigma2": lambda r: _number(r.sigma2),
    "beta_class": lambda r: _number(r.beta_class),
    "score": lambda r: r.score or MISSING,
    "chosen by": lambda r: SYMBOLS.get(r.judged_by or "", MISSING),
    "pseudo-Ω": lambda r: percent(r.pseudo),
    "Ω cross-fitted": _cross_fitted,
    "Ω select, official": lambda r: percent(r.omega_select_official),
    "Ω select, paper": lambda r: percent(r.omega_select_paper),
    "Ω eval, official": lambda r: percent(r.omega_eval_official),
    "Ω eval, paper": lambda r: percent(r.omega_eval_paper),
    "AUC source": lambda r: percent(r.auc_source),
    "AUC target": lambda r: percent(r.auc_target),
    "pAUC": lambda r: percent(r.pauc),
    "false alarms": lambda r: percent(r.false_alarms),
    "trials": lambda r: f"{r.complete}+{r.pruned}+{r.failed}",
    "time": lambda r: span(r.seconds),
}
HEADLINE = list(FIELDS).index("Ω cross-fitted")
