"""The model card: what an exported model is, how good it is, and how to run it."""

from collections import Counter
from collections.abc import Iterable, Sequence

from humtune.config import TEST_CHUNKS, leaves
from humtune.evaluation.selection import SPLITS
from humtune.export.alarms import Alarms
from humtune.ledger import Plan, TrialState
from humtune.report.best import Measured
from humtune.report.sheet import percent
from humtune.runtime.info import MODEL, ModelInfo
from humtune.sounds.table import UNKNOWN, ClipTable, Role

_CARD = """\
# {machine}

Hears whether a {machine} sounds as it should. `{model}` maps a recording (mono, {rate} Hz, float32 in
[-1, 1]) to an anomaly score, higher is stranger: spectrogram, {chunks} chunks, network and the {score} score
against the training recordings, all in one graph. A score above **{threshold:.6g}** counts as an anomaly.

Trial `{trial}` of the search `{search}`, made with humtune {humtune} (torch {torch}, onnx {onnx}, onnxruntime
{onnxruntime}, opset {opset}).

## Run it

In the folder above this one:

```
humtune score {machine} recordings/ --out scores
```

Without humtune:

```python
import onnxruntime, soundfile
session = onnxruntime.InferenceSession("{machine}/{model}")
waveform, rate = soundfile.read("recording.wav", dtype="float32")  # mono, {rate} Hz, {least} samples or more
score = session.run(None, {{"waveform": waveform}})[0]
print(score, "anomaly" if score > {threshold!r} else "normal")
```

## Data

Recordings: `{data}`, content hash `{data_hash}`.

{clips}

## How good it is

{figures}

Ω is the harmonic mean of AUC source, AUC target and pAUC (p = 0.1) over the sections, as DCASE Task 2 ranks.
{selection}

## Threshold

{threshold_text}

{alarms}

## Configuration

{configuration}

## Limits

- It knows the machines, microphones and rooms of its training recordings; others need their own search.
- It takes what those recordings hold for healthy. A fault that was there all along is not heard.
- A score says how strange a recording is, not what is broken, nor how badly.
- A recording of less than {seconds:.2f} s ({least} samples) is repeated to that length by `humtune score`.
- The graph's scores were compared with the trained detector's on held-out recordings: they differ by at most
  {parity:.1e} of the scores' spread.
"""


def model_card(
    info: ModelInfo,
    measured: Measured,
    alarms: Sequence[Alarms],
    *,
    plan: Plan,
    parity: float,
    left_out: str | None = None,
) -> str:
    """The card as Markdown; figures in percent."""
    return _CARD.format(
        machine=info.machine,
        model=MODEL,
        rate=info.sample_rate,
        chunks=TEST_CHUNKS,
        score=info.score_type,
        threshold=info.threshold.value,
        trial=info.trial,
        search=info.search,
        **info.versions,
        least=info.least_samples,
        seconds=info.least_samples / info.sample_rate,
        data=plan.data,
        data_hash=plan.data_hash[info.machine],
        clips=_clips(measured.clips),
        figures=_table(("", "%"), _figures(info.figures)),
        selection=_selection(measured) + (f"\n\n{left_out}." if left_out else ""),
        threshold_text=_threshold(info),
        alarms=_alarms(alarms),
        configuration=_table(("setting", "value"), leaves(info.configuration)),
        parity=parity,
    )


def _clips(clips: ClipTable) -> str:
    uses = {
        Role.HELD_OUT: "normal training clips held out, for the threshold",
        Role.SELECT: "labelled test clips",
        Role.HIDDEN: "labelled test clips that chose nothing",
        Role.REPORT: "test clips that are only reported",
    }
    counts = Counter(clips.role.tolist())
    lines = [f"- {counts[str(role)]} {use}" for role, use in uses.items() if counts[str(role)]]
    truthless = int(((clips.role == str(Role.REPORT)) & (clips.label == UNKNOWN)).sum())
    return "\n".join(lines) + (f" ({truthless} of them without truth)" if truthless else "")


def _figures(figures: dict[str, float]) -> Iterable[tuple[str, str]]:
    names = {
        "omega_cross_fitted": "**Ω cross-fitted** (on clips that did not choose)",
        "pseudo": "pseudo-Ω (held-out clips against probes)",
        "omega_select_official": "Ω on the labelled dev clips",
        "omega_select_paper": "Ω with a pAUC per domain (the paper's), same clips",
        "omega_eval_official": "Ω on eval clips",
        "omega_eval_paper": "Ω with a pAUC per domain, eval clips",
        "auc_source": "AUC source, dev clips",
        "auc_target": "AUC target, dev clips",
        "pauc": "pAUC, dev clips",
    }
    for key, name in names.items():
        if key in figures:
            spread = figures.get(f"{key}_spread")
            yield name, percent(figures[key]) + (f" ± {percent(spread)}" if spread is not None else "")


def _selection(measured: Measured) -> str:
    complete = sum(r.state == TrialState.COMPLETE for r in measured.records)
    among = f"of {complete} complete ones ({len(measured.records)} in all)"
    if measured.best and measured.best.judged_by == "pseudo":
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


def _threshold(info: ModelInfo) -> str:
    threshold = info.threshold
    text = (
        f"{threshold.value!r} is the score of a held-out normal clip that at most "
        f"{threshold.false_alarms:.1%} of {threshold.clips} such clips exceed."
    )
    return f"{text} {threshold.note}." if threshold.note else text


def _alarms(alarms: Sequence[Alarms]) -> str:
    if not alarms:
        return "There were no labelled test clips to try it on."
    header = ("test clips", "normals", "false alarms %", "anomalies", "caught %")
    rows = (
        (f"{a.part} {a.domain}", a.normals, percent(a.false_alarms), a.anomalies, percent(a.caught))
        for a in alarms
    )
    return _table(header, rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
