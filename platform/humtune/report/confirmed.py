"""What new seeds say of the configurations that a search found best."""

from collections.abc import Iterable, Mapping

from humtune.formatting.tables import MISSING, escaped, percent, to_markdown
from humtune.report.trials import searched
from humtune.results.average import Average
from humtune.results.candidates import Configuration, configurations, confirmed, searched_trials
from humtune.results.labelled import labelled_clips
from humtune.results.measure import Measured


def confirmed_block(machines: Iterable[Measured]) -> list[str]:
    """Lines of Markdown: every confirmed configuration of each machine, best first."""
    rows = []
    for measured in machines:
        clips, symbol = labelled_clips(measured.clips), "Ω"
        before = {_key(c.trials[0].params): c for c in configurations(searched_trials(measured.records))}
        for found in confirmed(measured.records):
            score, first = found.best_score, found.trials[0]
            symbol = first.symbol
            hidden = None
            if clips.hidden and measured.archive:
                scores = measured.archive.rows([(t.id, score) for t in found.trials])
                readings = [clips.read(vector) for vector in scores]
                hidden = Average.of(float(r.hidden.omega_official) for r in readings if r.hidden)
            old = before.get(_key(first.params))
            rows.append(
                [
                    escaped(measured.machine),
                    escaped(searched(first)),
                    score,
                    f"{len(found.trials)}",
                    f"{symbol} {_average(found)}",
                    str(hidden or MISSING),
                    percent(old.figure) if old else MISSING,
                ]
            )
    if not rows:
        return []
    columns = ["machine", "configuration", "score", "new seeds", "mean ± sd", "Ω hidden", "in the search"]
    return [
        "",
        "## Confirmed with new seeds",
        "",
        "Each machine's best configurations, trained again: mean and standard deviation over the new seeds, "
        "official, on the selecting clips. In the search stands what made them the best, partly luck.",
        "",
        to_markdown(columns, rows, left=3),
    ]


def _average(found: Configuration) -> str:
    return str(Average.of(trial.judged[found.best_score] for trial in found.trials))


def _key(params: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(params.items()))
