"""The paper's tables and figures out of searches that were truly run."""

import csv
import io

import pytest

from humtune.ledger import Ledger, TrialState
from humtune.report.paper.write import RESULTS, write_paper
from humtune.report.write import write_report

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]  # the searches are run first

Searches = dict[str, Ledger]
LINES = {  # a line a machine or point and score type
    "spectrogram": 2 * 10,
    "mu_sigma2": 20 * 2,
    "beta_class": 2 * 5,
    "per_machine": 2 * 2 + 2,
    "vanilla": 3,
}


@pytest.mark.parametrize(("result", "name"), [(result, space) for result, (_, space) in RESULTS.items()])
def test_each_space_gives_its_table_with_a_picture(paper_searches: Searches, result: str, name: str) -> None:
    ledger = paper_searches[name]
    written = write_paper(ledger)
    files = {file.rpartition("/")[2]: ledger.storage.read(file) for file in written.files}
    assert files.keys() == {f"{result}.{kind}" for kind in ("md", "csv", "html", "png")}
    assert files[f"{result}.png"].startswith(b"\x89PNG")
    rows = list(csv.DictReader(io.StringIO(files[f"{result}.csv"].decode())))
    assert len(rows) == LINES.get(name, len(rows)) > 0
    seeds = len({r.config.seed for r in ledger.records() if r.state == TrialState.COMPLETE})
    assert {int(row["seeds"]) for row in rows} == {seeds}
    assert all(row["difference"] == "" for row in rows)  # toys are not compared with the paper
    text = files[f"{result}.md"].decode()
    assert "No difference to the paper is given: the machines are not the paper's seven" in text
    assert "training.epochs is 1, not 50" in text


def test_accuracy_is_of_what_the_trials_measured(paper_searches: Searches) -> None:
    ledger = paper_searches["accuracy"]
    written = write_paper(ledger)
    (vanilla,) = [line for line in written.page.lines if line.labels["classifier"] == "cross-entropy"]
    shares = [
        r.epochs[-1].metrics["accuracy_test"]
        for r in ledger.records()
        if r.config.head.kind == "cross_entropy"
    ]
    assert vanilla.ours["accuracy, dev test clips"].mean == pytest.approx(sum(shares) / len(shares))


def test_the_report_of_a_grid_has_its_points(paper_searches: Searches) -> None:
    ledger = paper_searches["vanilla"]
    report = write_report(ledger)
    assert [(p.machine, p.params["head"]) for p in report.points] == [
        (machine, head)
        for machine in ("fan", "valve", "all")
        for head in ("variational", "cross_entropy", "arcface")
    ]
    assert {"points.md", "points.csv", "table.html", "table.tex"} <= {
        f.rpartition("/")[2] for f in report.files
    }
