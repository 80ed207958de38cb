"""What a model card tells of where a model comes from: one trial, or an ensemble of several."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from humtune.config import TEST_CHUNKS, leaves
from humtune.evaluation.selection import SPLITS
from humtune.formatting.tables import MISSING, code, escaped, percent
from humtune.records import CONFIRM, SYMBOLS, TrialRecord, TrialState
from humtune.results.ensembles.record import EnsembleRecord
from humtune.results.measure import Measured
from humtune.runtime.info import ModelInfo

_LIMITS = """\
- A new recording doesn't say its section, so all are scored with one weighting. An ensemble's gain is what it
  knows of the sections that chose it; on another section the best single model may be as good.
"""


@dataclass(frozen=True)
class Story:
    """The parts of a card in which a single model and an ensemble differ, as Markdown."""

    inside: str  # the graph
    origin: str
    selection: str
    heading: str  # of the configuration
    configuration: str
    limits: str = ""


def trial_story(info: ModelInfo, measured: Measured) -> Story:
    """What a card tells of the machine's best trial."""
    return Story(
        inside=(
            f"spectrogram, {TEST_CHUNKS} chunks, network and the {info.score_type}\n"
            "score against the training recordings"
        ),
        origin=f"Trial {code(info.trial)}",
        selection=_trial_selection(measured),
        heading="Configuration",
        configuration=markdown(("setting", "value"), leaves(info.configuration)),
    )


def ensemble_story(record: EnsembleRecord, measured: Measured) -> Story:
    """What a card tells of an ensemble with the machine's weights."""
    members = sorted(record.machine_wide.items(), key=lambda member: -member[1])
    trials = {trial.id: trial for trial in measured.records}
    symbol = SYMBOLS[record.settings.judged_by]
    header = ("trial", "score", "weight", f"{symbol} alone, %", "family", "searched")
    rows = (_member_row(trials[m.trial], m.score_type, weight) for m, weight in members if m.trial)
    return Story(
        inside=(
            f"the weighted sum of {len(members)} calibrated scores,\n"
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
    family = trial.config.get("family", "classifier")
    return escaped(trial.id), score_type, f"{weight:.3f}", alone, escaped(family), escaped(chosen) or MISSING


def _trial_selection(measured: Measured) -> str:
    searched = [r for r in measured.records if r.origin != CONFIRM]
    complete = sum(r.state == TrialState.COMPLETE for r in searched)
    among = f"of {complete} complete ones ({len(searched)} in all)"
    if again := measured.confirmed:
        seeds = len(again.trials)
        return (
            f"The best configurations {among} were trained again.\n"
            f"This one has the highest mean over {seeds} new seed(s), with the score type that is\n"
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
    among = f"{settings.candidates} candidates (trial × score type)"
    if settings.judged_by == "pseudo":
        return (
            f"The members have the highest pseudo-Ω of {among}, with equal weights. No anomaly\n"
            "was looked at: probes stood in for them (disturbed clips, other machines, false sections)."
        )
    text = (
        f"Members and weights were chosen out of {among} by Ω on the labelled\n"
        f"dev clips, {settings.members} members at most; that Ω is too high."
    )
    if not record.compared:
        return text
    rows = ((way, _mean(splits)) for way, splits in record.compared.items())
    text += (
        "\nCross-fitted Ω is what choosing so is worth: chosen on half of the clips, read on the other.\n"
        "This model is the row *greedy*, one weighting for all sections; *ensemble* knows a clip's.\n\n"
    )
    return text + markdown(("chosen by", "cross-fitted Ω, %"), rows)


def _mean(splits: Sequence[float]) -> str:
    if not splits:
        return MISSING
    return f"{percent(float(np.mean(splits)))} ± {percent(float(np.std(splits)))}"
