"""The generated table of a search: for the terminal, as Markdown and as CSV, with the figures beside it."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.table import Table

from humtune.evaluation.calibration import FALSE_ALARMS
from humtune.evaluation.selection import SPLITS
from humtune.ledger import Ledger
from humtune.report.best import Measured, measure
from humtune.report.figures import roc_curves, score_histogram, search_history
from humtune.report.rows import Row, machine_row, overall_row
from humtune.sounds.parallel import tracked

MISSING = "–"
_COLUMN = 8  # characters that a machine's figures take on a screen

LEGEND = (
    "Ω cross-fitted: official Ω of what the search finds, on clips that did not choose it. Trial and score "
    "type are chosen on half of the selecting clips of each section, domain and label and read on the other "
    f"half; mean ± standard deviation of {SPLITS} splits.",
    "Ω select: on the labelled dev clips that chose the trial, which makes it too high.",
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


@dataclass(frozen=True)
class Report:
    """A search's table and the files that hold it, by their names in the storage."""

    search: str
    rows: tuple[Row, ...]  # a machine each; with two or more a last one over all
    files: tuple[str, ...]


def write_report(ledger: Ledger) -> Report:
    """Measure every machine's best trial; write table.md, table.csv and figures below <search>/report/."""
    folder = f"{ledger.name}/report"
    measured, pictures = [], {}
    machines = ledger.plan.machines
    for machine in tracked(machines, total=len(machines), title="measuring"):
        measured.append(measure(ledger, machine))
        for name, png in draw(measured[-1]).items():
            pictures[machine, name] = f"{machine}-{name}.png"
            ledger.storage.write(f"{folder}/{machine}-{name}.png", png)
    rows = [machine_row(m) for m in measured]
    if len(rows) > 1:
        rows.append(overall_row(measured))
    ledger.storage.write(f"{folder}/table.csv", to_csv(rows).encode())
    ledger.storage.write(f"{folder}/table.md", to_markdown(ledger.name, rows, pictures).encode())
    names = ("table.md", "table.csv", *pictures.values())
    return Report(ledger.name, tuple(rows), tuple(f"{folder}/{name}" for name in names))


def draw(measured: Measured) -> dict[str, bytes]:
    """A machine's pictures by name; those of scores only where there are labelled selecting clips."""
    pictures = {"history": search_history(measured.records, title=f"{measured.machine}: search")}
    if measured.scores is not None and measured.best and measured.select:
        scores, clips = measured.scores, measured.clips
        what = f"{measured.best.id}, {measured.best.best_score}, selecting clips"
        threshold = measured.threshold.value if measured.threshold else None
        pictures["scores"] = score_histogram(scores, clips, threshold=threshold, title=what)
        pictures["roc"] = roc_curves(scores, clips, title=what)
    return pictures


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV with a header; figures in percent, empty where there is none."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0].to_percent()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.to_percent() for row in rows)
    return text.getvalue()


def to_markdown(search: str, rows: Sequence[Row], pictures: dict[tuple[str, str], str]) -> str:
    """The rows as a Markdown table in percent, with the legend, the notes and the pictures."""
    lines = [f"# {search}", "", "Ω, AUC, pAUC and false alarms in percent.", ""]
    lines.append(f"| {' | '.join(['machine', *FIELDS])} |")
    lines.append(f"|---|{'---:|' * len(FIELDS)}")
    for row in rows:
        values = [show(row) for show in FIELDS.values()]
        values[HEADLINE] = f"**{values[HEADLINE]}**"
        lines.append(f"| {' | '.join([row.machine, *values])} |")
    lines += ["", *(f"- {line}" for line in LEGEND)]
    if notes := [row.note for row in rows if row.note]:
        lines += ["", "Notes", "", *(f"- {note}" for note in notes)]
    for machine, files in groupby(pictures.items(), key=lambda picture: picture[0][0]):
        lines += ["", f"## {machine}", "", *(f"![{name}]({file})" for (_, name), file in files)]
    return "\n".join(lines) + "\n"


def to_terminal(report: Report, *, width: int) -> list[Table]:
    """The table for a screen of that width: machines as columns, in several tables where they are many."""
    first = max(map(len, FIELDS)) + 1
    room = max(1, (width - first) // (_COLUMN + 1))
    blocks = math.ceil(len(report.rows) / room)
    size = math.ceil(len(report.rows) / blocks)
    return [_block(report.search, report.rows[i : i + size]) for i in range(0, len(report.rows), size)]


def _block(search: str, rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    table.add_column(search, no_wrap=True)
    for row in rows:
        table.add_column(row.machine, justify="right", min_width=_COLUMN, overflow="fold")
    for i, (field, show) in enumerate(FIELDS.items()):
        table.add_row(field, *map(show, rows), style="bold" if i == HEADLINE else None)
    return table


def percent(value: float | None) -> str:
    """A fraction in percent with one decimal: 66.4."""
    return MISSING if value is None else f"{100 * value:.1f}"


def span(seconds: float) -> str:
    """A time in its natural unit, short: 42 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


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
