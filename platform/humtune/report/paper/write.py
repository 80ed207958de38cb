"""Writes the paper's result that a search stands for."""

from collections.abc import Callable
from dataclasses import dataclass

from humtune.errors import UsageError
from humtune.formatting.text import to_csv, to_html
from humtune.ledger import Ledger
from humtune.report.paper.accuracy import accuracy
from humtune.report.paper.figures import figure2, figure3
from humtune.report.paper.page import Page, csv_lines, to_page_markdown
from humtune.report.paper.study import Study, read_study
from humtune.report.paper.tables import table2, table3, table4

RESULTS: dict[str, tuple[Callable[[Study], Page], str]] = {  # what a space reproduces -> page, its space
    "table2": (table2, "spectrogram"),
    "table3": (table3, "mu_sigma2"),
    "figure2": (figure2, "beta_class"),
    "table4": (table4, "per_machine"),
    "figure3": (figure3, "vanilla"),
    "accuracy": (accuracy, "accuracy"),
}


@dataclass(frozen=True)
class Written:
    """A result, what it was made from, and its files by their names in the storage."""

    page: Page
    study: Study
    files: tuple[str, ...]


def write_paper(ledger: Ledger) -> Written:
    """Write the paper's result that a search stands for (md, csv, html, png) to <search>/report/paper/.

    UsageError that lists the spaces where the search stands for none.
    """
    stands_for = ledger.plan.asked.space.get("reproduces")
    if stands_for not in RESULTS:
        spaces = ", ".join(f"paper/{space} ({name})" for name, (_, space) in RESULTS.items())
        raise UsageError(
            f"search '{ledger.name}' stands for none of the paper's results; these spaces do: {spaces}"
        )
    make, _ = RESULTS[stands_for]
    study = read_study(ledger, spectrogram_searched=stands_for == "table2")
    page = make(study)
    text = to_page_markdown(page, study)
    plots = {f"{page.name}.png": page.plot} if page.plot else {}
    written = {
        f"{page.name}.md": text.encode(),
        f"{page.name}.csv": to_csv(csv_lines(page, study)),
        f"{page.name}.html": to_html(text, plots).encode(),
        **plots,
    }
    folder = f"{ledger.layout.report}/paper"
    for name, data in written.items():
        ledger.storage.write(f"{folder}/{name}", data)
    return Written(page, study, tuple(f"{folder}/{name}" for name in written))
