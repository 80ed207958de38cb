"""Writes a search's report: the table in four formats, the points, the pictures."""

from humtune.ledger import Ledger
from humtune.report.agreement import agreement, agreement_block
from humtune.report.best import Measured, measure
from humtune.report.figures import probe_histogram, roc_curves, score_histogram, search_history
from humtune.report.html import to_html
from humtune.report.point_table import wants_points, write_points
from humtune.report.points import Point
from humtune.report.rows import machine_row, overall_row
from humtune.report.sheet import to_csv
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
        measured.append(measure(ledger, machine))
        for name, png in draw(measured[-1]).items():
            files[machine, name] = f"{machine}-{name}.png"
            pngs[f"{machine}-{name}.png"] = png
    rows = [machine_row(m) for m in measured]
    if len(rows) > 1:
        rows.append(overall_row(measured))
    points: list[Point] = []
    point_files: tuple[str, ...] = ()
    if wants_points(ledger):
        points, point_files = write_points(ledger)
    agreed = [a for m in measured if (a := agreement(ledger, m.records, m.clips))]
    text = to_markdown(
        ledger.name, rows, files, points=point_files[0] if point_files else "", blocks=agreement_block(agreed)
    )
    written = {
        "table.md": text.encode(),
        "table.csv": to_csv([row.to_percent() for row in rows]),
        "table.html": to_html(text, pngs).encode(),
        "table.tex": to_tex(ledger.name, rows).encode(),
        **pngs,
    }
    for name, data in written.items():
        ledger.storage.write(f"{folder}/{name}", data)
    names = ["table.md", "table.csv", "table.html", "table.tex", *point_files, *pngs]
    return Report(ledger.name, tuple(rows), tuple(f"{folder}/{name}" for name in names), tuple(points))


def draw(measured: Measured) -> dict[str, bytes]:
    """A machine's pictures by name: scores and ROC where there are labels, scores of probes elsewhere."""
    pictures = {"history": search_history(measured.records, title=f"{measured.machine}: search")}
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
