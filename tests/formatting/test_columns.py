import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from humtune.cli.main import app
from humtune.formatting.columns import FIELDS, fields, headline, honest, lines
from humtune.metrics.cells import Cells
from humtune.metrics.omega import omega
from humtune.records import CONFIRM
from humtune.report.write import write_report
from humtune.results.archive import read_archive
from humtune.results.ensembles.candidates import gather
from humtune.results.reading import Estimate, Estimates
from humtune.results.rows import LABEL_FREE, ONE_FOR_ALL, Choice, Row
from humtune.sounds.table import Role

MACHINES = ("fan", "valve")


@pytest.fixture
def ledger(bench, make_clips):
    """Two machines with hidden clips and pseudo-Ω; fan's two best are confirmed."""
    ledger = bench.search(clips={m: make_clips(m, hidden=4) for m in MACHINES}, trials=2)
    for machine in MACHINES:
        for number, skill in enumerate((1.5, 0.8)):
            pseudo = {"cosine": 0.5 + number / 10, "nll": 0.4}
            bench.trial(ledger, machine, number, skill=skill, pseudo=pseudo)
    for number, mu in enumerate((5.0, 6.0, 5.0, 6.0), 2):
        bench.trial(ledger, "fan", number, skill=1, mu=mu, origin=CONFIRM)
    return ledger


def table(ledger, name="table.md"):
    return ledger.storage.read(f"{ledger.name}/report/{name}").decode()


def test_columns_that_nobody_needs_are_left_out():
    plain, hidden, confirmed = Row("a"), Row("b", hidden=Estimates(Estimate(0.5))), Row("c", seeds=2)
    gone = {"Ω hidden, official", "Ω hidden, 90 %", "Ω hidden, paper", "Ω confirmed", "new seeds"}
    assert FIELDS.keys() - fields([plain]).keys() == gone
    assert FIELDS.keys() == fields([plain, hidden, confirmed]).keys()
    assert headline([plain, confirmed]) == ("Ω cross-fitted",)
    assert headline([plain, hidden]) == ("Ω hidden, official", "Ω hidden, 90 %")


def test_settings_are_written_as_a_person_would():
    settings = {
        "head.mu": 10.0,
        "head.sigma2": 0.02,
        "spectrogram.n_mels": None,
        "spectrogram.db": False,
        "training.milestones": [0.5, 0.8],
        "labels": "both",
    }
    row, other = Row("fan", choice=Choice(settings=settings, varied=tuple(settings))), Row("valve")
    shown = fields([row, other])
    assert list(shown)[:6] == ["mu", "sigma2", "n_mels", "db", "milestones", "labels"]
    assert [shown[name](row) for name in list(shown)[:6]] == ["10", "0.02", "none", "no", "0.5, 0.8", "both"]
    assert {shown[name](other) for name in list(shown)[:6]} == {"–"}


def test_the_honest_figure_is_the_hidden_one_else_one_that_did_not_choose():
    row = Row("a", cross_fitted=Estimate(0.6, spread=0.01), select=Estimates(Estimate(0.7)))
    assert honest(row) == "60.0±1.0"
    assert honest(replace(row, way=LABEL_FREE)) == "70.0"
    assert honest(replace(row, way=LABEL_FREE, hidden=Estimates(Estimate(0.65)))) == "65.0"


def test_rows_as_columns_end_with_the_other_ways_to_choose():
    rows = [Row("fan"), Row("valve")]
    found = lines(rows, [Row("valve", ONE_FOR_ALL, cross_fitted=Estimate(0.6, spread=0))])
    assert found[-1] == ("one for all, Ω", ["–", "60.0±0.0"], False)
    assert [name for name, *_ in lines(rows)] == list(fields(rows))


def test_with_a_holdout_the_hidden_clips_make_the_headline_with_their_interval(ledger):
    report = write_report(ledger)
    fan = report.rows[0]
    assert fan.hidden.official.low < fan.hidden.official.value < fan.hidden.official.high
    assert report.rows[-1].hidden.official.low < report.rows[-1].hidden.official.value
    text = table(ledger)
    low, high = 100 * fan.hidden.official.low, 100 * fan.hidden.official.high
    assert f"| **{100 * fan.hidden.official.value:.1f}** | **{low:.1f}–{high:.1f}** |" in text
    assert "- Ω hidden: on the labelled dev clips that --holdout hid" in text
    assert rf"\textbf{{{100 * fan.hidden.official.value:.1f}}}" in table(ledger, "table.tex")


def test_every_confirmed_configuration_is_listed_and_the_best_by_its_mean(ledger):
    report = write_report(ledger)
    again = [r for r in ledger.records("fan") if r.origin == CONFIRM]
    fan, valve = report.rows[:2]
    assert (fan.seeds, valve.seeds, valve.confirmed.value) == (2, None, None)
    means = {
        (mu, s): sum(r.omega[s] for r in again if r.params["head.mu"] == mu) / 2
        for mu in (5, 6)
        for s in ("cosine", "nll")
    }
    assert fan.confirmed.value == pytest.approx(max(means.values()))
    assert fan.choice.settings["head.mu"] == max(means, key=means.get)[0]
    block = table(ledger).partition("## Confirmed with new seeds")[2].partition("## ")[0]
    listed = [line for line in block.splitlines() if line.startswith("| fan")]
    assert len(listed) == 2
    mu, omega = fan.choice.settings["head.mu"], 100 * fan.confirmed.value
    assert listed[0].startswith(f"| fan | mu={mu:g} | {fan.choice.score} | 2 | Ω {omega:.1f}±")
    assert "| valve" not in block


def test_the_best_stands_beside_one_for_all_and_the_label_free_choice(ledger):
    report = write_report(ledger)
    ways = [(row.way, row.machine) for row in report.others]
    assert ways == [(c, m) for c in (ONE_FOR_ALL, LABEL_FREE) for m in (*MACHINES, "all")]
    free = [row for row in report.others if row.way == LABEL_FREE]
    assert [row.choice.trial for row in free] == [None] * 3
    clips = ledger.clips("fan")
    joined = gather(clips, read_archive(ledger, "fan")).unlabelled
    assert free[0].select.official.value == pytest.approx(float(omega(joined, Cells.of(clips, Role.SELECT))))
    assert free[0].cross_fitted.value is None
    text = table(ledger).partition("## Other ways to choose")[2]
    assert text.count("\n| label-free |") == 3
    assert text.count("\n| best |") == 3
    for name in ("table.csv", "table.tex", "table.html"):
        assert "label-free" in table(ledger, name)


@pytest.mark.slow
def test_the_screen_and_json_have_them_too(ledger):
    def told(*words):
        return CliRunner().invoke(app, ["report", ledger.name, *words, "--storage", ledger.storage.uri])

    screen = [line.split(",")[0] for line in told().stdout.splitlines() if ", Ω  " in line]
    assert screen == ["one for all", "label-free"]
    rows = json.loads(told("--json").stdout)["rows"]
    assert [row["choice"] for row in rows] == ["best"] * 3 + [ONE_FOR_ALL] * 3 + [LABEL_FREE] * 3


def test_without_a_shared_configuration_a_note_says_so(bench):
    ledger = bench.search()
    bench.trial(ledger, "fan", 0, mu=5.0)
    bench.trial(ledger, "valve", 0, mu=6.0)
    report = write_report(ledger)
    assert {row.way for row in report.others} == {LABEL_FREE}
    assert "no configuration was tried on every machine" in report.notes[0]
    assert report.notes[0] in table(ledger)
