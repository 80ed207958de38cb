"""Writes a search's report: the table in four formats, the points, the plots."""

from collections.abc import Sequence

from humtune.errors import HumtuneError
from humtune.formatting.plots import Plot, probe_histogram, roc_curves, score_histogram, search_history
from humtune.formatting.text import escaped, to_csv, to_html
from humtune.ledger import Ledger
from humtune.records import CONFIRM, TrialRecord
from humtune.report.agreement import agreement, agreement_block, rungs, rungs_block
from humtune.report.ensembles import ensembles_block
from humtune.report.leaderboard import leaderboard, leaderboard_block, to_rows
from humtune.report.point_table import wants_points, write_points
from humtune.report.students import students_block
from humtune.report.table import Report, to_markdown, to_tex
from humtune.report.trials import confirmed_block
from humtune.results.archive import trial_stamps
from humtune.results.ensembles.candidates import UNLABELLED, gather
from humtune.results.measure import Measured, measure
from humtune.results.one_for_all import Pick, one_for_all
from humtune.results.points import Point
from humtune.results.reading import labelled_clips
from humtune.results.rows import (
    LABEL_FREE,
    ONE_FOR_ALL,
    Row,
    machine_row,
    overall_row,
    pick_rows,
    searched_settings,
)
from humtune.sounds.parallel import tracked


def write_report(ledger: Ledger) -> Report:
    """Measure every machine's best trial; write table.md, .csv, .html, .tex and plots to <search>/report/.

    A search that tries points (a grid, a list, several seeds) has them measured too: points.md, points.csv.
    """
    folder = ledger.layout.report
    measured, files, pngs, measured_rungs = [], {}, {}, []
    machines, stamps = ledger.plan.machines, trial_stamps(ledger)
    for machine in tracked(machines, total=len(machines), title="measuring"):
        measured.append(measure(ledger, machine, noise=True, stamps=stamps))
        usable = {record.id for record in measured[-1].records}
        whole = [record for record in ledger.trials_of(machine) if record.id in usable]  # with all epochs
        measured_rungs += rungs(machine, whole)
        for name, plot in draw(measured[-1], whole).items():
            files[machine, name] = f"{machine}-{name}.png"
            pngs[f"{machine}-{name}.png"] = plot.to_png()
    if not any(m.best for m in measured):
        ledger.check_complete()
    rows = [machine_row(m) for m in measured]
    if len(rows) > 1:
        rows.append(overall_row(measured))
    others, notes = other_rows(measured)
    if earlier := ledger.plan.asked.continues:
        notes.append(f"it has the detectors of search {earlier}, and other recordings beside those of it")
    points: list[Point] = []
    point_files: tuple[str, ...] = ()
    if wants_points(ledger):
        points, point_files = write_points(ledger)
    lines = leaderboard(ledger, ledger.records(), stamps=stamps)
    agreed = [a for m in measured if (a := agreement(m))]
    blocks = [
        *(f"\n{escaped(note)}." for note in notes),
        *leaderboard_block(lines),
        *confirmed_block(measured),
        *agreement_block(agreed),
        *rungs_block(measured_rungs),
        *ensembles_block(ledger),
        *students_block(ledger),
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
        "table.csv": to_csv([row.to_percent(searched_settings(rows)) for row in (*rows, *others)]),
        "table.html": to_html(text, pngs).encode(),
        "table.tex": to_tex(ledger.name, rows, others).encode(),
        **pngs,
    }
    if lines:
        written["leaderboard.csv"] = to_csv(to_rows(lines))
    for name, data in written.items():
        ledger.storage.write(f"{folder}/{name}", data)
    names = ["table.md", "table.csv", "table.html", "table.tex", *point_files, *pngs]
    names += ["leaderboard.csv"] if lines else []
    return Report(
        ledger.name,
        tuple(rows),
        tuple(f"{folder}/{name}" for name in names),
        others=tuple(others),
        notes=tuple(notes),
        points=tuple(points),
    )


def other_rows(machines: list[Measured]) -> tuple[list[Row], list[str]]:
    """Rows of one configuration for all machines and of a choice without labels, and why one is missing.

    The label-free rows need labels to read them by.
    """
    rows: list[Row] = []
    notes: list[str] = []
    judged = [m for m in machines if m.best and m.best.trial.judged_by == "omega"]
    if len(machines) > 1 and len(judged) == len(machines):
        found = one_for_all(machines)
        if isinstance(found, str):
            notes.append(found)
        else:
            rows += pick_rows(ONE_FOR_ALL, found)
    free = []
    for measured in machines:
        if measured.best and measured.archive and measured.select:
            try:
                joined = gather(measured.clips, measured.archive, calibration=UNLABELLED).unlabelled
            except HumtuneError as error:  # too few held-out clips for a scale
                notes.append(f"there is no {LABEL_FREE} row: {error}")
                continue
            free.append(Pick(measured.machine, None, labelled_clips(measured.clips).read(joined)))
    if len(free) == len(machines):
        rows += pick_rows(LABEL_FREE, free)
    return rows, notes


def draw(measured: Measured, records: Sequence[TrialRecord]) -> dict[str, Plot]:
    """A machine's plots by name: scores and ROC where there are labels, scores of probes elsewhere.

    `records` are its trials with all of their epochs.
    """
    plots = {
        "history": search_history(
            [r for r in records if r.origin != CONFIRM], title=f"{measured.machine}: search"
        )
    }
    threshold = measured.threshold.value if measured.threshold else None
    if measured.scores is None or measured.best is None:
        return plots
    what, scores, clips = measured.best.name, measured.scores, measured.clips
    if measured.select:
        what = f"{what}, selecting clips"
        plots["scores"] = score_histogram(scores, clips, threshold=threshold, title=what)
        plots["roc"] = roc_curves(scores, clips, title=what)
    else:
        plots["probes"] = probe_histogram(scores, clips, threshold=threshold, title=f"{what}, probes")
    return plots
