import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from humtune.errors import HumtuneError
from humtune.formatting.columns import LEGEND, WORDS, fields
from humtune.formatting.text import span
from humtune.records import TrialState
from humtune.report.table import Report, to_terminal
from humtune.report.write import write_report
from humtune.results.reading import Estimate
from humtune.results.rows import Choice, Row, Work
from humtune.sounds.table import Role

SEVEN = ("ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve")


def filled(bench, machines=("fan", "valve")):
    ledger = bench.search(machines=machines)
    for machine in machines:
        for number, skill in enumerate((0.3, 1.5)):
            bench.trial(ledger, machine, number, skill=skill)
    return ledger


def printed(report, width):
    console = Console(width=width, file=io.StringIO())
    for table in to_terminal(report, width=width):
        console.print(table)
    return console.file.getvalue()


def test_what_is_written_is_what_is_returned(bench):
    report = write_report(filled(bench))
    assert set(report.files) == {
        "fans/report/table.md",
        "fans/report/table.csv",
        "fans/report/table.html",
        "fans/report/table.tex",
        *(f"fans/report/{m}-{f}.png" for m in ("fan", "valve") for f in ("scores", "roc", "history")),
    }
    rows = list(csv.DictReader(io.StringIO(bench.storage.read("fans/report/table.csv").decode())))
    told = [(row["machine"], row["choice"]) for row in rows]
    assert told == [(m, c) for c in ("best", "one for all", "label-free") for m in ("fan", "valve", "all")]
    fan = report.rows[0]
    assert float(rows[0]["omega_cross_fitted"]) == pytest.approx(100 * fan.cross_fitted.value, abs=1e-4)
    assert float(rows[0]["omega_eval_paper"]) == pytest.approx(100 * fan.report.paper.value, abs=1e-4)
    assert (rows[0]["mu"], rows[2]["mu"], rows[0]["trial"]) == ("6.0", "", "fan-00001")
    assert "n_mels" not in rows[0]  # nobody searched it
    for name in report.files:
        assert bench.storage.read(name)


def test_markdown_has_a_line_a_machine_the_legend_and_the_plots(bench):
    report = write_report(filled(bench))
    text = bench.storage.read("fans/report/table.md").decode()
    head, _, first, second, last, *_ = [line for line in text.splitlines() if line.startswith("|")]
    assert head.count("|") == first.count("|") == len(fields(report.rows)) + 2
    row = report.rows[0]
    interval = f"{100 * row.select.official.low:.1f}–{100 * row.select.official.high:.1f}"
    assert f"| **{100 * row.cross_fitted.value:.1f}±{100 * row.cross_fitted.spread:.1f}** |" in first
    official, paper = 100 * row.select.official.value, 100 * row.select.paper.value
    assert f"| {official:.1f} | {interval} | {paper:.1f} |" in first
    assert f"| {row.within_noise} of 4 |" in first
    assert "Ω hidden" not in head
    assert "Ω confirmed" not in head
    assert head.startswith("| machine | mu | score |")
    assert first.startswith("| fan | 6 | cosine |")
    assert second.startswith("| valve |")
    assert last.startswith("| all | – |")
    assert all(f"- {line}" in text for line in (*LEGEND, WORDS))
    assert "![roc](fan-roc.png)" in text
    assert "Notes" not in text


def test_a_search_without_any_result_has_no_table(bench):
    ledger = bench.search()
    bench.trial(ledger, "fan", 0, state=TrialState.FAILED, reason="torn", epochs=0)
    with pytest.raises(
        HumtuneError, match=r"^search 'fans': no trial completed: 1 failed, 'torn' \(1 of them"
    ):
        write_report(ledger)
    assert not bench.storage.exists("fans/report")


def test_a_machine_without_any_result_has_a_column_and_a_note(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan"), "valve": make_clips("valve")})
    bench.trial(ledger, "fan", 0, state=TrialState.FAILED, epochs=0)
    bench.trial(ledger, "valve", 0)
    report = write_report(ledger)
    text = bench.storage.read("fans/report/table.md").decode()
    assert "- fan: no trial completed: 1 failed" in text
    assert "![history](fan-history.png)" in text
    assert "fan-roc.png" not in text
    assert "0+0+1" in printed(report, 80)


def test_one_machine_needs_no_row_over_all(bench):
    report = write_report(filled(bench, machines=("fan",)))
    assert [row.machine for row in report.rows] == ["fan"]


@pytest.mark.parametrize(("width", "tables"), [(100, 1), (80, 2), (40, 4), (20, 8)])
def test_seven_machines_fit_a_screen(width, tables):
    choice = Choice(score="cosine", settings={"head.beta_class": 10.0}, varied=("head.beta_class",))
    row = Row("all", choice=choice, cross_fitted=Estimate(0.689, spread=0.0123), work=Work(60, 35))
    report = Report("fans", tuple(replace(row, machine=m) for m in (*SEVEN, "all")), ())
    text = printed(report, width)
    assert text.count("beta_class") == tables
    if width >= 40:
        assert max(map(len, text.splitlines())) <= width
        lines = [line for line in text.splitlines() if line.startswith("Ω cross-fitted")]
        shown = [figure for line in lines for figure in line.split()[2:]]
        assert shown == ["68.9±1.2"] * 8
        assert all(machine in text for machine in (*SEVEN, "all"))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (12_240, "3.4 h")]
)
def test_times_are_short(seconds, text):
    assert span(seconds) == text


def test_a_machine_with_too_few_held_out_clips_says_why_no_row_is_without_labels(bench, make_clips) -> None:
    clips = {name: make_clips(name) for name in ("fan", "valve")}
    clips["fan"].role[clips["fan"].having(Role.HELD_OUT)[1:]] = str(Role.TRAIN)
    ledger = bench.search(clips=clips)
    for name in clips:
        bench.trial(ledger, name, 0, skill=1.0)
    report = write_report(ledger)
    assert "label-free" not in {row.way for row in report.others}
    [why] = [note for note in report.notes if note.startswith("there is no label-free row: fan")]
    assert "held-out" in why
