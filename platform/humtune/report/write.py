"""Writes a search's report: the table in four formats, the points, the pictures."""

from humtune.ledger import Ledger
from humtune.records import CONFIRM
from humtune.report.agreement import agreement, agreement_block
from humtune.report.best import Measured, label_free, measure, read_scores
from humtune.report.confirmed import confirmed_block
from humtune.report.ensembles import ensembles_block
from humtune.report.figures import probe_histogram, roc_curves, score_histogram, search_history
from humtune.report.html import to_html
from humtune.report.labelled import labelled_clips
from humtune.report.one_for_all import Pick, one_for_all
from humtune.report.point_table import wants_points, write_points
from humtune.report.points import Point
from humtune.report.rows import LABEL_FREE, ONE_FOR_ALL, Row, machine_row, overall_row, pick_rows
from humtune.report.rungs import rungs, rungs_block
from humtune.report.sheet import escaped, to_csv
from humtune.report.table import Report, to_markdown
from humtune.report.tex import to_tex
from humtune.sounds.parallel import tracked


def write_report(ledger: Ledger) -> Report:
    """Measure every machine's best trial; write table.md, .csv, .html, .tex and figures to <search>/report/.

    A search that tries points (a grid, a list, several seeds) has them measured too: points.md, points.csv.
    """
    folder = f"{ledger.name}/report"
    measured, files, pngs = [], {}, {}
    machines = ledger.plan.machines
    for machine in tracked(machines, total=len(machines), title="measuring"):
        measured.append(measure(ledger, machine, noise=True))
        for name, png in draw(measured[-1]).items():
            files[machine, name] = f"{machine}-{name}.png"
            pngs[f"{machine}-{name}.png"] = png
    if not any(m.best for m in measured):
        ledger.check_complete()
    rows = [machine_row(m) for m in measured]
    if len(rows) > 1:
        rows.append(overall_row(measured))
    others, told = other_rows(ledger, measured)
    points: list[Point] = []
    point_files: tuple[str, ...] = ()
    if wants_points(ledger):
        points, point_files = write_points(ledger)
    agreed = [a for m in measured if (a := agreement(ledger, m.records, m.clips))]
    blocks = [
        *(f"\n{escaped(note)}." for note in told),
        *confirmed_block(ledger, measured),
        *agreement_block(agreed),
        *rungs_block([rung for m in measured for rung in rungs(m.machine, m.records)]),
        *ensembles_block(ledger),
    ]
    text = to_markdown(
        ledger.name,
        rows,
        files,
        others=others,
        points=point_files[0] if point_files else "",
        blocks=blocks,
    )
    written = {
        "table.md": text.encode(),
        "table.csv": to_csv([row.to_percent() for row in (*rows, *others)]),
        "table.html": to_html(text, pngs).encode(),
        "table.tex": to_tex(ledger.name, rows, others).encode(),
        **pngs,
    }
    for name, data in written.items():
        ledger.storage.write(f"{folder}/{name}", data)
    names = ["table.md", "table.csv", "table.html", "table.tex", *point_files, *pngs]
    return Report(
        ledger.name,
        tuple(rows),
        tuple(f"{folder}/{name}" for name in names),
        others=tuple(others),
        notes=tuple(told),
        points=tuple(points),
    )


def other_rows(ledger: Ledger, machines: list[Measured]) -> tuple[list[Row], list[str]]:
    """Rows of one configuration for all machines and of a choice without labels, and why one is missing.

    The label-free rows need both pseudo-Ω and labels to read it by; where pseudo-Ω chose, they are the best.
    """
    rows: list[Row] = []
    notes: list[str] = []
    judged = [m for m in machines if m.best and m.best.judged_by == "omega"]
    if len(machines) > 1 and len(judged) == len(machines):
        found = one_for_all(ledger, machines)
        if isinstance(found, str):
            notes.append(found)
        else:
            rows += pick_rows(ONE_FOR_ALL, found)
    free = []
    for measured in judged:
        if (trial := label_free(measured.records)) and measured.select:
            scores = read_scores(ledger, trial.id, trial.best_score)
            free.append(Pick(measured.machine, trial, labelled_clips(measured.clips).read(scores)))
    if len(free) == len(machines):
        rows += pick_rows(LABEL_FREE, free)
    return rows, notes


def draw(measured: Measured) -> dict[str, bytes]:
    """A machine's pictures by name: scores and ROC where there are labels, scores of probes elsewhere."""
    pictures = {
        "history": search_history(
            [r for r in measured.records if r.origin != CONFIRM], title=f"{measured.machine}: search"
        )
    }
    threshold = measured.threshold.value if measured.threshold else None
    if measured.scores is not None and measured.best and measured.select:
        scores, clips = measured.scores, measured.clips
        what = f"{measured.best.id}, {measured.best.best_score}, selecting clips"
        pictures["scores"] = score_histogram(scores, clips, threshold=threshold, title=what)
        pictures["roc"] = roc_curves(scores, clips, title=what)
    elif measured.scores is not None and measured.best:
        what = f"{measured.best.id}, {measured.best.best_score}, probes"
        pictures["probes"] = probe_histogram(measured.scores, measured.clips, threshold=threshold, title=what)
    return pictures
