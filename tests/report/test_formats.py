import base64
import re

from humtune.formatting.text import to_html, to_markdown
from humtune.report.published import MACHINES, SYSTEMS, pointer, published_block
from humtune.report.table import escape, to_tex
from humtune.report.write import write_report
from humtune.results.reading import Estimate
from humtune.results.rows import Choice, Row


def test_a_page_holds_its_plots_and_shows_html_as_text():
    page = to_html("# a <b>\n\n| x |\n|---|\n| <script> |\n\n![roc](fan-roc.png)\n", {"fan-roc.png": b"png"})
    assert f"data:image/png;base64,{base64.b64encode(b'png').decode()}" in page
    assert "<script>" not in page
    assert '<td data-column="x">&lt;script&gt;</td>' in page
    assert "<title>a &lt;b&gt;</title>" in page


def test_the_page_of_a_report_needs_no_other_file(bench):
    ledger = bench.search(machines=("fan",))
    bench.trial(ledger, "fan", 0, skill=1)
    write_report(ledger)
    page = bench.storage.read("fans/report/table.html").decode()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_latex_signs_are_escaped():
    assert escape(r"a_b & 5% ±1 – Ω \x {}") == (r"a\_b \& 5\% $\pm$1 -- $\Omega$ \textbackslash{}x \{\}")
    choice = Choice(settings={"head.beta_class": 1.0}, varied=("head.beta_class",))
    text = to_tex("my_fans", [Row("fan_1", choice=choice, cross_fitted=Estimate(0.5, spread=0.01))])
    assert r" & fan\_1 \\" in text
    assert r"beta\_class & 1 \\" in text
    assert r"\textbf{$\Omega$ cross-fitted} & \textbf{50.0$\pm$1.0} \\" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in body} == {1}
    assert text.count(r"\begin{tabular}{lr}") == text.count(r"\end{tabular}") == 1


def test_a_bar_in_a_cell_stays_a_cell():
    assert to_markdown(["a", "b"], [["66.3|65.9", "x"]]).splitlines()[-1] == "| 66.3\\|65.9 | x |"


def test_published_systems_stand_apart_and_only_beside_their_machines(bench):
    assert published_block(["fan", "pump", "all"]) == pointer(["pump"]) == []
    text = "\n".join(published_block([*MACHINES, "all"]))
    assert "not measured here" in text
    assert text.count("\n| ") == len(SYSTEMS) + 1
    assert (
        "| Zeng et al. | 2022 | 1st place, an ensemble per machine | DCASE 2022 Task 2 results | – | 70.97 |"
        in text
    )
    ledger = bench.search(machines=("fan",))
    bench.trial(ledger, "fan", 0, skill=1)
    write_report(ledger)
    measured, _, published = bench.storage.read("fans/report/table.md").decode().partition("## Published")
    assert "Zeng" not in measured
    assert "Zeng" in published
    assert b"Zeng" not in bench.storage.read("fans/report/table.csv")
