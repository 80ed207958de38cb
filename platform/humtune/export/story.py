"""What a model card tells of one model: where it comes from, under what terms, and where it is worst."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from humtune.config import TEST_CHUNKS, leaves
from humtune.formatting.text import MISSING, code, escaped, percent
from humtune.metrics.cross_fitting import SPLITS
from humtune.metrics.omega import SectionMetrics, harmonic_mean
from humtune.names import count
from humtune.records import CONFIRM, SYMBOLS, TrialRecord, TrialState
from humtune.results.ensembles.record import EnsembleRecord
from humtune.results.measure import Measured
from humtune.results.reading import Reading
from humtune.runtime.info import ModelInfo
from humtune.sounds.table import SOURCE, TARGET, UNKNOWN

_LIMITS = """\
- A new recording doesn't say its section, so all are scored with one weighting. An ensemble's gain is what it
  knows of the sections that chose it; on another section the best single model may be as good.
"""

_STUDENT = """\
- It gives the score that it expects of an ensemble, which it knows of healthy, mixed and disturbed clips.
  Of a sound unlike all of these the ensemble itself may say something else.
"""

GUESS = 0.55  # an AUC below it is hardly more than tossing a coin
_DOMAINS = {SOURCE: "in the source domain", TARGET: "in the target domain", UNKNOWN: ""}

_NAMES = ("licen", "copying", "terms")  # how the names of such files begin
_DEPTH = 2  # folders below the data's own: dev_data/fan


@dataclass(frozen=True)
class Story:
    """The parts of a card in which a single model and an ensemble differ, as Markdown."""

    inside: str  # the graph
    origin: str
    selection: str
    heading: str  # of the configuration
    configuration: str
    limits: str = ""


def trial_story(info: ModelInfo, measured: Measured, *, teacher: str | None = None) -> Story:
    """What a card tells of the machine's best trial; `teacher` is the search whose ensemble it was taught."""
    against = "score against the training recordings" if teacher is None else "score"
    taught = "" if teacher is None else f", which was taught what the ensemble of {code(teacher)} says,"
    return Story(
        inside=f"spectrogram, {TEST_CHUNKS} chunks, network and the {info.score_type}\n{against}",
        origin=f"Trial {code(info.trial)}{_training(measured)}{taught}",
        selection=_trial_selection(measured),
        heading="Configuration",
        configuration=markdown(("setting", "value"), leaves(info.configuration)),
        limits="" if teacher is None else _STUDENT,
    )


def _training(measured: Measured) -> str:
    """What else than the machine's own recordings has trained the network."""
    trial = measured.best.trial if measured.best else None
    if trial and trial.is_shared:
        return ", trained on all machines of the search together,"
    if trial and trial.started_from:
        return f", which started from {code(trial.started_from)}, trained on all machines together,"
    return ""


def ensemble_story(record: EnsembleRecord, measured: Measured) -> Story:
    """What a card tells of an ensemble with the machine's weights."""
    members = sorted(record.machine_wide.items(), key=lambda member: -member[1])
    trials = {trial.id: trial for trial in measured.records}
    symbol = SYMBOLS[record.settings.judged_by]
    header = ("trial", "score", "weight", f"{symbol} alone, %", "family", "searched")
    rows = (_member_row(trials[m.trial], m.score_type, weight) for m, weight in members if m.trial)
    return Story(
        inside=(
            f"the weighted sum of {count(len(members), 'calibrated score')},\n"
            "networks and spectrograms made once where scores share them"
        ),
        origin=f"Ensemble {code(record.id)}",
        selection=_ensemble_selection(record),
        heading="Members",
        configuration=markdown(header, rows)
        + "\n\nAll settings of each trial, and what calibrates each score, are in `model.json`.",
        limits=_LIMITS,
    )


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, all columns leaning left."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _member_row(trial: TrialRecord, score_type: str, weight: float) -> Sequence[object]:
    alone = percent(trial.judged.get(score_type))
    chosen = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in trial.params.items())
    return (
        escaped(trial.id),
        score_type,
        f"{weight:.3f}",
        alone,
        escaped(trial.family),
        escaped(chosen) or MISSING,
    )


def _trial_selection(measured: Measured) -> str:
    searched = [r for r in measured.records if r.origin != CONFIRM]
    complete = sum(r.state == TrialState.COMPLETE for r in searched)
    among = f"of {count(complete, 'complete one')} ({len(searched)} in all)"
    if again := measured.confirmed:
        seeds = len(again.trials)
        return (
            f"The best configurations {among} were trained again.\n"
            f"This one has the highest mean over {count(seeds, 'new seed')}, with the score type that is\n"
            "best by it; of its trials this is the one with the median figure. The clips that judge are the\n"
            "same, so the mean is still a little too high."
        )
    if measured.best and measured.best.trial.judged_by == "pseudo":
        return (
            f"The trial has the highest pseudo-Ω {among}, with the better of its score types. No anomaly\n"
            "was looked at: probes stood in for them (disturbed clips, other machines, false sections)."
        )
    text = (
        f"The trial has the highest Ω {among} on the labelled dev clips, with the better of its score\n"
        "types; being the best of many, that Ω is too high."
    )
    if measured.cross_fitted:
        text += (
            "\nCross-fitted Ω is what choosing so is worth: chosen on half of the clips, read on the other;\n"
            f"mean ± standard deviation of {SPLITS} splits."
        )
    return text


def _ensemble_selection(record: EnsembleRecord) -> str:
    settings = record.settings
    among = f"{count(settings.candidates, 'candidate')} (trial × score type)"
    if not settings.by_labels:
        return (
            f"The members are of {among}. No label chose them or their\n"
            "weights, so that no recording of a fault was needed."
        )
    text = (
        f"Members and weights were chosen out of {among} by Ω on the labelled\n"
        f"dev clips, {count(settings.members, 'member')} at most; that Ω is too high."
    )
    if not record.compared:
        return text
    rows = ((way, _mean(splits)) for way, splits in record.compared.items())
    text += (
        "\nCross-fitted Ω is what choosing so is worth: chosen on half of the clips, read on the other.\n"
        "This model is the row *greedy*, one weighting for all sections"
    )
    text += "; *ensemble* knows a clip's.\n\n" if "ensemble" in record.compared else ".\n\n"
    return text + markdown(("chosen by", "cross-fitted Ω, %"), rows)


def _mean(splits: Sequence[float]) -> str:
    if not splits:
        return MISSING
    return f"{percent(float(np.mean(splits)))} ± {percent(float(np.std(splits)))}"


def failures(reading: Reading) -> str:
    """The worst cell in a sentence, and a table of all, as Markdown; official figures in percent."""
    parts = {"dev": reading.select, "hidden": reading.hidden, "eval": reading.report}
    sections = [(part, s) for part, metrics in parts.items() if metrics for s in metrics.sections]
    if not sections:
        return "Which clips are anomalous is not known, so neither is where it fails."
    sections.sort(key=lambda found: float(harmonic_mean(np.stack(found[1].values("official")))))
    header = ("section", "AUC source %", "AUC target %", "AUC without domain %", "pAUC %")
    columns = [i for i in range(5) if i in (0, 4) or any(_row(*found)[i] != MISSING for found in sections)]
    rows = [[_row(*found)[i] for i in columns] for found in sections]
    return f"{_worst(sections)}\n\n{markdown([header[i] for i in columns], rows)}"


def _worst(sections: list[tuple[str, SectionMetrics]]) -> str:
    value, part, section, domain = min(
        (float(auc), part, s.section, domain) for part, s in sections for domain, auc in s.auc.items()
    )
    where = f"section {section:02d} of the {part} clips {_DOMAINS[domain]}".rstrip()
    guess = ", hardly more than a guess" if value < GUESS else ""
    return f"It is worst in {where}: AUC {percent(value)} %{guess}. The sections, worst first:"


def _row(part: str, section: SectionMetrics) -> tuple[str, ...]:
    by_domain = {domain: percent(float(auc)) for domain, auc in section.auc.items()}
    aucs = (by_domain.get(domain, MISSING) for domain in (SOURCE, TARGET, UNKNOWN))
    return f"{part} {section.section:02d}", *aucs, percent(float(section.pauc))


def licence_of(data: str) -> str:
    """A sentence or two about the licence of the recordings in a folder, for a model card."""
    folder = Path(data)
    found = sorted(
        path.relative_to(folder).as_posix()
        for depth in range(_DEPTH + 1)
        for path in folder.glob("/".join(["*"] * (depth + 1)))
        if path.name.lower().startswith(_NAMES) and path.is_file()
    )
    known = (
        f"Beside the recordings lies {', '.join(map(code, found))}: their licence is there."
        if found
        else "No licence lies beside the recordings, so humtune doesn't know it."
    )
    return (
        f"{known} Recordings of DCASE Task 2 have their terms on their Zenodo page; some forbid commercial\n"
        "use. The model holds what it learnt of its recordings, an embedding of each chunk included: read\n"
        "the terms before you pass it on."
    )
