"""The columns of a report's table, and what they mean."""

from collections.abc import Callable, Sequence
from functools import partial

from humtune.formatting.text import MISSING, escaped, percent, span, to_markdown
from humtune.metrics.bootstrap import LEVEL, SAMPLES, SURE
from humtune.metrics.calibration import FALSE_ALARMS
from humtune.metrics.cross_fitting import SPLITS
from humtune.records import SYMBOLS
from humtune.results.reading import Estimate
from humtune.results.rows import BEST, LABEL_FREE, ONE_FOR_ALL, Row, searched_settings

LEGEND = (
    "Ω cross-fitted: official Ω of what the search finds, on clips that did not choose it. Trial and score "
    "type are chosen on half of the selecting clips of each section, domain and label and read on the other "
    f"half; mean ± standard deviation of {SPLITS} splits.",
    "Ω select: on the labelled dev clips, which makes it too high where they chose the trial.",
    f"{100 * LEVEL:.0f} %: the interval of what other clips of the same recordings would give, from "
    f"{SAMPLES:,} draws of each cell's clips. It doesn't mend a figure that is too high from being chosen.",
    "within noise: candidates (trial × score type) that may truly be the best, of all there were; the one "
    f"that is, is among them with {SURE:.0%}.",
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
WORDS = "What each word means is in humtune's docs/glossary.md."
HIDDEN_LEGEND = (
    "Ω hidden: on the labelled dev clips that --holdout hid from search, early stopping and every choice.",
)
CONFIRMED_LEGEND = (
    "Ω confirmed: mean ± standard deviation over new seeds of the configuration that is best by that mean; "
    "the trial shown is the one with their median Ω. Cross-fitting is of the search's own trials.",
)
OTHERS_LEGEND = (
    "one for all: the parameters and score type with the highest Ω over all machines, of those that were "
    "tried on every one; cross-fitted in the same way.",
    "label-free: all trials together, which count as far as they agree with one another, on labelled clips "
    "that had no part in it: what the search gives without labelled anomalies.",
)
SHORT_LEGEND = (
    "In percent. Ω cross-fitted (official) is read on clips that did not choose, Ω select on those that did,",
    "Ω hidden on clips that nothing chose by. trials: complete + pruned + failed.",
    "The whole legend is in table.md, every word in humtune's docs/glossary.md.",
)


def _setting(path: str, row: Row) -> str:
    """A trial's setting; a dash where its family has none of that name."""
    if path not in row.choice.settings:
        return MISSING
    match row.choice.settings[path]:
        case bool(value):
            return "yes" if value else "no"
        case None:
            return "none"
        case float(value):
            return f"{value:g}"
        case list(value):
            return ", ".join(map(str, value))
        case value:
            return str(value)


def _interval(found: Estimate) -> str:
    return MISSING if found.low is None else f"{percent(found.low)}–{percent(found.high)}"


def _spread(found: Estimate) -> str:
    return percent(found.value) + ("" if found.spread is None else f"±{percent(found.spread)}")


def _within(row: Row) -> str:
    return MISSING if row.within_noise is None else f"{row.within_noise} of {row.candidates}"


FIELDS: dict[str, Callable[[Row], str]] = {
    "score": lambda r: r.choice.score or MISSING,
    "chosen by": lambda r: SYMBOLS.get(r.choice.judged_by or "", MISSING),
    "pseudo-Ω": lambda r: percent(r.choice.pseudo),
    "Ω cross-fitted": lambda r: _spread(r.cross_fitted),
    "Ω hidden, official": lambda r: percent(r.hidden.official.value),
    "Ω hidden, 90 %": lambda r: _interval(r.hidden.official),
    "Ω hidden, paper": lambda r: percent(r.hidden.paper.value),
    "Ω confirmed": lambda r: _spread(r.confirmed),
    "new seeds": lambda r: MISSING if r.seeds is None else f"{r.seeds}",
    "Ω select, official": lambda r: percent(r.select.official.value),
    "Ω select, 90 %": lambda r: _interval(r.select.official),
    "Ω select, paper": lambda r: percent(r.select.paper.value),
    "Ω eval, official": lambda r: percent(r.report.official.value),
    "Ω eval, paper": lambda r: percent(r.report.paper.value),
    "within noise": _within,
    "AUC source": lambda r: percent(r.select.auc_source),
    "AUC target": lambda r: percent(r.select.auc_target),
    "pAUC": lambda r: percent(r.select.pauc),
    "false alarms": lambda r: percent(r.false_alarms),
    "trials": lambda r: f"{r.work.complete}+{r.work.pruned}+{r.work.failed}",
    "time": lambda r: span(r.work.seconds),
}
_HIDDEN = ("Ω hidden, official", "Ω hidden, 90 %", "Ω hidden, paper")
_CONFIRMED = ("Ω confirmed", "new seeds")


def fields(rows: Sequence[Row]) -> dict[str, Callable[[Row], str]]:
    """The columns that some rows need: the settings that were searched, then the figures that there are."""
    unused: tuple[str, ...] = ()
    if all(row.hidden.official.value is None for row in rows):
        unused += _HIDDEN
    if all(row.seeds is None for row in rows):
        unused += _CONFIRMED
    settings = {name: partial(_setting, path) for name, path in searched_settings(rows).items()}
    return settings | {name: show for name, show in FIELDS.items() if name not in unused}


def headline(rows: Sequence[Row]) -> tuple[str, ...]:
    """The columns that tell what the search is worth: on hidden clips where there are some."""
    return _HIDDEN[:2] if _HIDDEN[0] in fields(rows) else ("Ω cross-fitted",)


def legend(rows: Sequence[Row], others: Sequence[Row] = ()) -> tuple[str, ...]:
    """What the columns of some rows mean."""
    names = fields(rows)
    found: tuple[str, ...] = LEGEND
    for lines, wanted in ((HIDDEN_LEGEND, _HIDDEN[0] in names), (CONFIRMED_LEGEND, _CONFIRMED[0] in names)):
        found += lines if wanted else ()
    return (*found, *(OTHERS_LEGEND if others else ()), WORDS)


def lines(rows: Sequence[Row], others: Sequence[Row] = ()) -> list[tuple[str, list[str], bool]]:
    """The table with rows as columns: name of the line, a cell a row, whether it is of the headline.

    The last lines hold the honest Ω of other ways to choose: hidden, else cross-fitted, else of select.
    """
    best = headline(rows)
    found = [(name, [show(row) for row in rows], name in best) for name, show in fields(rows).items()]
    for way in (ONE_FOR_ALL, LABEL_FREE):
        known = {row.machine: honest(row) for row in others if row.way == way}
        if known:
            found.append((f"{way}, Ω", [known.get(row.machine, MISSING) for row in rows], False))
    return found


def honest(row: Row) -> str:
    """A row's Ω on clips that had no part in its choice."""
    if row.hidden.official.value is not None:
        return percent(row.hidden.official.value)
    return percent(row.select.official.value) if row.way == LABEL_FREE else _spread(row.cross_fitted)


OTHER_FIELDS: dict[str, Callable[[Row], str]] = {
    "machine": lambda r: escaped(r.machine),
    "trial": lambda r: escaped(r.choice.trial or MISSING),
    **{
        name: FIELDS[name]
        for name in (
            "score",
            "Ω cross-fitted",
            "Ω hidden, official",
            "Ω hidden, 90 %",
            "Ω select, official",
            "Ω select, 90 %",
            "Ω eval, official",
        )
    },
}


def others_block(rows: Sequence[Row], others: Sequence[Row]) -> list[str]:
    """Lines of Markdown that set the best beside one configuration for all and the label-free choice."""
    if not others:
        return []
    shown = fields(rows)
    names = [name for name in OTHER_FIELDS if name not in _HIDDEN or name in shown]
    cells = []
    for way in (BEST, ONE_FOR_ALL, LABEL_FREE):
        chosen = [row for row in (*rows, *others) if row.way == way]
        cells += [[way, *(OTHER_FIELDS[name](row) for name in names)] for row in chosen]
    return ["", "## Other ways to choose", "", to_markdown(["choice", *names], cells, left=3)]
