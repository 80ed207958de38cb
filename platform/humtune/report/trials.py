"""A search's trials in a list, one trial in full, and what new seeds say of the best configurations."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from humtune.errors import HumtuneError
from humtune.formatting.text import MISSING, escaped, percent, span, to_markdown
from humtune.ledger import Ledger
from humtune.metrics.cells import Cells
from humtune.metrics.omega import Metrics, evaluate
from humtune.names import count
from humtune.records import SYMBOLS, TrialRecord, of_machine
from humtune.report.searches import continuations
from humtune.results.candidates import (
    Candidate,
    Configuration,
    choose,
    complete_trials,
    configurations,
    confirmed,
    searched_trials,
)
from humtune.results.measure import Measured
from humtune.results.reading import Average, labelled_clips
from humtune.sounds.table import Role

EPOCH_LINES = 25  # of a curve on a screen: of a longer one, evenly chosen epochs and the last


def list_trials(records: Sequence[TrialRecord]) -> Table:
    """A line a trial: state, Ω in percent, what was searched, why it ended; each machine's best in bold."""
    table = _table("trial", "state", right=(_symbols(records), "epochs", "time"))
    table.add_column("score")
    table.add_column("searched", overflow="fold")
    best = {c.trial.id for c in _best(records)}
    for record in records:
        table.add_row(
            record.id,
            record.state,
            percent(record.objective) if record.judged else MISSING,
            str(len(record.epochs)),
            span(record.seconds),
            record.best_score if record.judged else MISSING,
            Text("; ".join(filter(None, (searched(record), record.reason)))),
            style="bold" if record.id in best else None,
        )
    return table


def list_best(records: Sequence[TrialRecord]) -> Table:
    """The best trial of each machine that has one."""
    table = _table("machine", "best trial", right=(_symbols(records),))
    table.add_column("score")
    table.add_column("searched", overflow="fold")
    for best in _best(records):
        row = (best.trial.machine, best.trial.id, percent(best.metric), best.score_type)
        table.add_row(*row, Text(searched(best.trial)))
    return table


def show_trial(ledger: Ledger, record: TrialRecord) -> list[RenderableType]:
    """One trial for a screen: state, figures per score type, configuration, epochs, files."""
    where = f" on {record.host} ({record.device})" if record.host else ""
    epochs = count(len(record.epochs), "epoch")
    head = f"{record.id}: {record.state}, {epochs}, {span(record.seconds)} of work{where}"
    parts: list[RenderableType] = [Text(head, style="bold")]
    if record.reason:
        parts.append(Text(record.reason))
    if record.params:
        parts.append(Text(f"searched: {searched(record)}"))
    if record.started_from:
        parts.append(Text(f"started from {record.started_from}"))
    if record.judged:
        parts += ["", _metrics(ledger, record)]
        parts += [
            part
            for m in record.machines
            if (seen := record.of(m))
            for part in ("", m, _metrics(ledger, seen))
        ]
    if record.readable:
        parts += ["", Text(yaml.safe_dump(record.config, sort_keys=False).rstrip())]
    if record.epochs:
        parts += ["", _epochs(record)]
    return [
        *parts,
        "",
        *map(Text, trial_files(ledger, record)),
    ]


def trial_files(ledger: Ledger, record: TrialRecord) -> list[str]:
    """Where the files of a trial are, folder first."""
    layout, whole = ledger.layout, ledger.layout.trial(record.id)
    files: list[str] = []
    for folder in record.folders:
        place, scores = layout.trial(folder), layout.scores(folder)
        files += [f"{place}/{n}" for n in ledger.storage.list(place) if "." in n or n == "holder"]
        files += [f"{scores}/{n}" for n in ledger.storage.list(scores)]
    return [f"{ledger.storage.uri}/{whole}", *(f"  {name.removeprefix(f'{whole}/')}" for name in files)]


def trial_dict(ledger: Ledger, record: TrialRecord) -> dict[str, Any]:
    """One trial for a program: its record as the ledger keeps it (fractions), and the folder of its files."""
    folder = f"{ledger.storage.uri}/{ledger.layout.trial(record.id)}"
    return record.model_dump(mode="json") | {"folder": folder}


def search_dict(ledger: Ledger, records: Sequence[TrialRecord]) -> dict[str, Any]:
    """A search for a program: its kin, the best trial's id per machine, and every trial's record."""
    return {
        "search": ledger.name,
        "continues": ledger.plan.asked.continues,
        "continued_by": continuations(ledger),
        "best": {c.trial.machine: c.trial.id for c in _best(records)},
        "trials": [trial_dict(ledger, r) for r in records],
    }


def searched(record: TrialRecord) -> str:
    """What the sampler chose, by short names: mu=10, sigma2=0.05."""
    values = {name.rpartition(".")[2]: value for name, value in record.params.items()}
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items())


def _symbols(records: Sequence[TrialRecord]) -> str:
    """What the trials are judged by: Ω, pseudo-Ω, or both where machines differ."""
    return " or ".join(sorted({r.symbol for r in records})) or "Ω"


def _best(records: Sequence[TrialRecord]) -> list[Candidate]:
    machines = dict.fromkeys(m for r in complete_trials(records) for m in r.machines or (r.machine,))
    found = [choose(of_machine(records, machine)) for machine in machines]
    return [candidate for candidate in found if candidate]


def _metrics(ledger: Ledger, record: TrialRecord) -> Table:
    """Figures per score type on the selecting clips and, where there is truth, on the others.

    Of a shared trial those over all machines, which are known of the selecting clips alone.
    """
    columns = ("pseudo-Ω", "Ω official", "Ω paper", "AUC source", "AUC target", "pAUC")
    table = _table("score", "clips", right=columns)
    clips = None if record.machines else ledger.clips(record.machine)
    for name in record.judged:
        pseudo = percent(record.pseudo.get(name))
        if clips is None:
            table.add_row(name, "select", pseudo, percent(record.omega.get(name)))
            continue
        for label, role in (("select", Role.SELECT), ("hidden", Role.HIDDEN), ("eval", Role.REPORT)):
            try:
                metrics = evaluate(ledger.scores(record.folder, name), Cells.of(clips, role))
            except HumtuneError:  # a pruned trial keeps its Ω alone; most eval clips have no truth
                if role == Role.SELECT:
                    table.add_row(name, label, pseudo, percent(record.omega.get(name)))
                continue
            table.add_row(name, label, pseudo if role == Role.SELECT else "", *_percents(metrics))
    return table


def _percents(metrics: Metrics) -> list[str]:
    values = (
        metrics.omega_official,
        metrics.omega_paper,
        metrics.auc_source,
        metrics.auc_target,
        metrics.pauc,
    )
    return [percent(None if math.isnan(value) else float(value)) for value in values]


def _epochs(record: TrialRecord) -> Table:
    """The curves, a line an epoch; Ω and pseudo-Ω in percent."""
    names = list(dict.fromkeys(name for epoch in record.epochs for name in epoch.metrics))
    table = _table(right=("epoch", *(SYMBOLS.get(n, n) for n in names), "seconds"))
    step = math.ceil(len(record.epochs) / EPOCH_LINES)
    for epoch in record.epochs[::-step][::-1]:
        values = [_value(name, epoch.metrics.get(name)) for name in names]
        table.add_row(str(epoch.epoch), *values, f"{epoch.seconds:.1f}")
    return table


def _value(name: str, value: float | None) -> str:
    if name in SYMBOLS or value is None:
        return percent(value)
    return f"{value:.4g}"


def _table(*left: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def confirmed_block(machines: Iterable[Measured]) -> list[str]:
    """Lines of Markdown: every confirmed configuration of each machine, best first."""
    rows = []
    for measured in machines:
        clips, symbol = labelled_clips(measured.clips), "Ω"
        before = {c.trials[0].configuration: c for c in configurations(searched_trials(measured.records))}
        for found in confirmed(measured.records):
            score, first = found.best_score, found.trials[0]
            symbol = first.symbol
            hidden = None
            if clips.hidden and measured.archive:
                scores = measured.archive.rows([(t.id, score) for t in found.trials])
                readings = [clips.read(vector) for vector in scores]
                hidden = Average.of(float(r.hidden.omega_official) for r in readings if r.hidden)
            old = before.get(first.configuration)
            rows.append(
                [
                    escaped(measured.machine),
                    escaped(searched(first)),
                    score,
                    f"{len(found.trials)}",
                    f"{symbol} {_average(found)}",
                    str(hidden or MISSING),
                    percent(old.metric) if old else MISSING,
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
