"""Where a model hears worst: its figures section by section and domain by domain, the worst first."""

import numpy as np

from humtune.evaluation.metrics import SectionFigures, harmonic_mean
from humtune.export.story import markdown
from humtune.formatting.tables import MISSING, percent
from humtune.results.labelled import Reading
from humtune.sounds.table import SOURCE, TARGET, UNKNOWN

GUESS = 0.55  # an AUC below it is hardly more than tossing a coin
_DOMAINS = {SOURCE: "in the source domain", TARGET: "in the target domain", UNKNOWN: ""}


def failures(reading: Reading) -> str:
    """The worst cell in a sentence, and a table of all, as Markdown; official figures in percent."""
    parts = {"dev": reading.select, "hidden": reading.hidden, "eval": reading.report}
    sections = [(part, s) for part, figures in parts.items() if figures for s in figures.sections]
    if not sections:
        return "Nobody told which clips are anomalous, so nobody knows."
    sections.sort(key=lambda found: float(harmonic_mean(np.stack(found[1].values("official")))))
    header = ("section", "AUC source %", "AUC target %", "AUC without domain %", "pAUC %")
    columns = [i for i in range(5) if i in (0, 4) or any(_row(*found)[i] != MISSING for found in sections)]
    rows = [[_row(*found)[i] for i in columns] for found in sections]
    return f"{_worst(sections)}\n\n{markdown([header[i] for i in columns], rows)}"


def _worst(sections: list[tuple[str, SectionFigures]]) -> str:
    value, part, section, domain = min(
        (float(auc), part, s.section, domain) for part, s in sections for domain, auc in s.auc.items()
    )
    where = f"section {section:02d} of the {part} clips {_DOMAINS[domain]}".rstrip()
    guess = ", hardly more than a guess" if value < GUESS else ""
    return f"It hears worst in {where}: AUC {percent(value)} %{guess}. The sections, worst first:"


def _row(part: str, section: SectionFigures) -> tuple[str, ...]:
    told = {domain: percent(float(auc)) for domain, auc in section.auc.items()}
    aucs = (told.get(domain, MISSING) for domain in (SOURCE, TARGET, UNKNOWN))
    return f"{part} {section.section:02d}", *aucs, percent(float(section.pauc))
