import csv
import io

import numpy as np
import pytest

from humtune.detectors.classifier.heads import ArcFaceHead, CrossEntropyHead
from humtune.detectors.frontends import Spectrogram
from humtune.metrics.cells import Cells
from humtune.metrics.omega import evaluate, pool
from humtune.report.paper.printed import BEST_PER_MACHINE, MACHINES, SPECTROGRAMS
from humtune.report.paper.write import RESULTS, write_paper
from humtune.sounds.table import Role

PNG = b"\x89PNG"


def lines_of(bench, written):
    text = bench.storage.read(next(f for f in written.files if f.endswith(".csv"))).decode()
    return list(csv.DictReader(io.StringIO(text)))


def text_of(bench, written):
    return bench.storage.read(next(f for f in written.files if f.endswith(".md"))).decode()


def pooled(ledger, numbers, score, *roles, kind="omega_paper"):
    """Ω over machines of the trials with those numbers, straight from the score vectors."""
    figures = [
        evaluate(ledger.scores(f"{m}-{numbers:05d}", score), Cells.of(ledger.clips(m), role))
        for m in ledger.plan.machines
        for role in roles
    ]
    return float(getattr(pool(figures), kind))


@pytest.mark.parametrize("name", RESULTS)
def test_a_search_without_results_is_a_page_too(paper, bench, name):
    ledger = paper.search(name)
    written = write_paper(ledger)
    assert "Nothing to show yet" in text_of(bench, written)
    assert not any(f.endswith(".png") for f in written.files)


def test_table3_holds_each_cell_against_the_papers(paper, bench, variational):
    ledger = paper.search("table3", MACHINES, per_cell=50)
    for machine in MACHINES:
        paper.point(ledger, machine, variational(mu=5, sigma2=0.02), skill=1)
        paper.point(ledger, machine, variational(mu=10, sigma2=0.5), skill=0.2)
    written = write_paper(ledger)
    assert [f.rpartition("/")[2] for f in written.files] == [
        "table3.md",
        "table3.csv",
        "table3.html",
        "table3.png",
    ]
    assert bench.storage.read("table3/report/paper/table3.png").startswith(PNG)
    rows = lines_of(bench, written)
    assert [(r["mu"], r["sigma2"], r["score"], r["paper"], r["seeds"], r["machines"]) for r in rows] == [
        ("5", "0.02", "cosine", "66.3", "2", "7"),
        ("5", "0.02", "nll", "65.9", "2", "7"),
        ("10", "0.5", "cosine", "", "2", "7"),
        ("10", "0.5", "nll", "", "2", "7"),
    ]
    both = [pooled(ledger, n, "cosine", Role.SELECT, Role.REPORT) for n in (0, 1)]
    dev = [pooled(ledger, n, "cosine", Role.SELECT) for n in (0, 1)]
    official = [pooled(ledger, n, "cosine", Role.SELECT, kind="omega_official") for n in (0, 1)]
    first = {k: float(v) for k, v in rows[0].items() if k.startswith(("Ω", "diff"))}
    assert first["Ω paper, dev+eval"] == pytest.approx(100 * np.mean(both), abs=1e-3)
    assert first["Ω paper, dev+eval sd"] == pytest.approx(100 * np.std(both, ddof=1), abs=1e-3)
    assert first["Ω paper, dev"] == pytest.approx(100 * np.mean(dev), abs=1e-3)
    assert first["Ω official, dev"] == pytest.approx(100 * np.mean(official), abs=1e-3)
    assert first["difference"] == pytest.approx(100 * np.mean(both) - 66.3, abs=1e-3)
    assert rows[2]["difference"] == ""
    text = text_of(bench, written)
    assert "| sigma2 | 5 | 10 |" in text
    assert "| – \\| – |".replace(" \\| ", "\\|") in text  # mu 10, sigma2 0.02 was not tried
    assert "No difference" not in text


def test_there_is_no_difference_where_the_searches_differ(paper, bench, variational):
    ledger = paper.search("table3", ("fan",), truth=False)
    paper.point(ledger, "fan", variational(mu=5, sigma2=0.02), epochs=2)
    written = write_paper(ledger)
    row = lines_of(bench, written)[0]
    assert (row["paper"], row["difference"]) == ("66.3", "")
    assert "Ω paper, eval" not in row
    text = text_of(bench, written)
    assert "No difference to the paper is given: the machines are not the paper's seven" in text
    assert "training.epochs is 2, not 50" in text


def test_table2_ranks_spectrograms_and_marks_the_papers(paper, bench, variational):
    ledger = paper.search("table2", ("fan", "pump"))
    other = Spectrogram(n_fft=400, chunk_frames=400, n_mels=None)
    for machine in ("fan", "pump"):
        paper.point(ledger, machine, variational(), spectrogram=SPECTROGRAMS["fan"], skill=0.1)
        paper.point(ledger, machine, variational(), spectrogram=other, skill=3)
    written = write_paper(ledger)
    assert bench.storage.read("table2/report/paper/table2.png").startswith(PNG)
    rows = lines_of(bench, written)
    assert [(r["machine"], r["mels"], r["paper's choice"]) for r in rows] == [
        ("fan", "linear", ""),
        ("fan", "512", "yes"),
        ("pump", "linear", ""),
        ("pump", "512", ""),
    ]
    text = text_of(bench, written)
    assert "| fan | 400 · 400 · linear dB | 512 · 256 · 512 dB | 2 of 2 |" in text
    assert "| pump | 400 · 400 · linear dB | – | – of 2 |" in text
    assert "difference |" not in text  # the paper prints no figure


def test_figure2_draws_each_score_at_its_own_setting(paper, bench, variational):
    ledger = paper.search("figure2")
    for machine in ("fan", "valve"):
        for sigma2 in (0.1, 0.02):
            for beta in (0.1, 1, 10):
                paper.point(ledger, machine, variational(sigma2=sigma2, beta_class=beta), skill=beta, seeds=1)
    written = write_paper(ledger)
    rows = lines_of(bench, written)
    assert [(r["score"], r["sigma2"], r["beta_class"]) for r in rows] == [
        *(("cosine", "0.1", beta) for beta in ("0.1", "1", "10")),
        *(("nll", "0.02", beta) for beta in ("0.1", "1", "10")),
    ]
    assert float(rows[2]["Ω paper, dev"]) == pytest.approx(
        100 * pooled(ledger, 2, "cosine", Role.SELECT), abs=1e-3
    )
    assert bench.storage.read("figure2/report/paper/figure2.png").startswith(PNG)


def test_figure2_says_where_the_papers_setting_is_missing(paper, bench, variational):
    ledger = paper.search("figure2", ("fan",))
    paper.point(ledger, "fan", variational(mu=5, sigma2=0.5))
    text = text_of(bench, write_paper(ledger))
    assert "cosine: the paper's mu=10, sigma2=0.1 was not tried." in text
    assert "| nll | 5 | 0.5 | 1 |" in text


def test_table4_takes_each_machine_as_the_paper_does(paper, bench, variational):
    ledger = paper.search("table4", ("bearing", "fan", "pump"))
    for machine in ("bearing", "fan"):
        best = BEST_PER_MACHINE[machine]
        paper.point(ledger, machine, variational(best.mu, best.sigma2, best.beta_class))
    paper.point(ledger, "pump", variational())
    written = write_paper(ledger)
    rows = lines_of(bench, written)
    marked = [(r["machine"], r["score"]) for r in rows if r["paper's choice"] == "yes"]
    assert marked == [("bearing", "cosine"), ("fan", "nll")]
    theirs, ours = rows[-2:]
    assert (theirs["machine"], theirs["machines"]) == ("all: the paper's score types", "2")
    figures = [
        evaluate(ledger.scores(f"{m}-00000", s), Cells.of(ledger.clips(m), Role.SELECT)) for m, s in marked
    ] + [evaluate(ledger.scores(f"{m}-00001", s), Cells.of(ledger.clips(m), Role.SELECT)) for m, s in marked]
    expected = np.mean([pool(figures[:2]).omega_paper, pool(figures[2:]).omega_paper])
    assert float(theirs["Ω paper, dev"]) == pytest.approx(100 * expected, abs=1e-3)
    assert float(ours["Ω paper, dev"]) >= float(theirs["Ω paper, dev"])
    assert "pump: not in Table 4" in text_of(bench, written)


def test_figure3_sets_heads_side_by_side_and_keeps_published_out_of_the_table(paper, bench, variational):
    ledger = paper.search("figure3")
    for machine in ("fan", "valve"):
        for head, skill in ((variational(), 1), (CrossEntropyHead(), 0.5), (ArcFaceHead(), 0.2)):
            paper.point(ledger, machine, head, skill=skill)
    written = write_paper(ledger)
    rows = lines_of(bench, written)
    assert [(r["system"], r["score"], r["paper"]) for r in rows] == [
        ("cross-entropy", "cosine", ""),
        ("ArcFace", "cosine", ""),
        ("variational, best on average", "cosine", "66.4"),
    ]
    text = text_of(bench, written)
    assert "Best per machine needs several" in text
    assert "Zeng" not in text
    for machine in ("fan", "valve"):
        paper.point(ledger, machine, variational(mu=5), skill=3 if machine == "fan" else 0.1)
    rows = lines_of(bench, write_paper(ledger))
    average, each = (float(r["Ω paper, dev"]) for r in rows[-2:])
    assert rows[-1]["system"] == "variational, best per machine"
    assert each > average


def test_accuracy_averages_machines_and_picks_the_best_of_each(paper, bench, variational):
    ledger = paper.search("accuracy")
    paper_setting, other = variational(5, 0.02), variational(10, 0.1)
    shares = {
        ("fan", paper_setting): 0.9,
        ("valve", paper_setting): 0.5,
        ("fan", other): 0.6,
        ("valve", other): 0.9,
        ("fan", CrossEntropyHead()): 0.5,
        ("valve", CrossEntropyHead()): 0.6,
    }
    for (machine, head), share in shares.items():
        metrics = {"accuracy_test": share, "accuracy_held_out": 1.0}
        paper.point(ledger, machine, head, metrics=metrics)
    rows = lines_of(bench, write_paper(ledger))
    found = [(r["classifier"], float(r["accuracy, dev test clips"]), r["paper"]) for r in rows]
    assert found == [
        ("variational, best on average (mu=10, sigma2=0.1, beta_class=1)", 75.0, "71.1"),
        ("variational, the paper's setting (mu=5, sigma2=0.02, beta_class=1)", 70.0, "71.1"),
        ("variational, best per machine", 90.0, "72.4"),
        ("cross-entropy", 55.0, "68.8"),
        ("variational, mu=5, sigma2=0.02, beta_class=1", 70.0, ""),
        ("variational, mu=10, sigma2=0.1, beta_class=1", 75.0, ""),
    ]


def test_accuracy_of_trials_that_measured_none_is_an_empty_page(paper, bench, variational):
    ledger = paper.search("accuracy", ("fan",))
    paper.point(ledger, "fan", variational())
    assert "Nothing to show yet" in text_of(bench, write_paper(ledger))
