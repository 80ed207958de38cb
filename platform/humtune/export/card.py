"""The model card: what an exported model is, how good it is, and how to run it."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from humtune.evaluation.bootstrap import LEVEL
from humtune.export.blueprint import Blueprint
from humtune.export.check import SECONDS, Beside
from humtune.export.story import ensemble_story, failures, licence_of, markdown, trial_story
from humtune.formatting.columns import WORDS
from humtune.formatting.tables import code, escaped, percent
from humtune.names import command
from humtune.plan import Plan
from humtune.runtime.info import INT8, MODEL, Alarms, ModelInfo
from humtune.sounds.table import UNKNOWN, ClipTable, Role

_CARD = """\
# {name}

Hears whether a {name} sounds as it should. `{model}` maps a recording ({channel}, {rate} Hz, float32 in
[-1, 1]) to an anomaly score, higher is stranger: {inside}, all in one graph. A score above
**{threshold:.6g}** counts as an anomaly.

{origin} of the search {search}, made with humtune {humtune} (torch {torch}, onnx {onnx}, onnxruntime
{onnxruntime}, opset {opset}).{int8}

## Run it

In the folder that holds {machine}:

```
{score}
```

Without humtune:

```python
import onnxruntime, soundfile
session = onnxruntime.InferenceSession({place})
waveform, rate = soundfile.read("recording.wav", dtype="float32")  # mono, {rate} Hz, {least} samples or more
score = session.run(None, {{"waveform": waveform}})[0]
print(score, "anomaly" if score > {threshold!r} else "normal")
```

## Data

Recordings: {data}, content hash `{data_hash}`.

{clips}

{licence}

## How good it is

{figures}

Ω is the harmonic mean of AUC source, AUC target and pAUC (p = 0.1) over the sections, as DCASE Task 2 ranks.
{words}
{selection}

## How it fails

{failures}

## Threshold

{threshold_text}

{alarms}

## {heading}

{configuration}

## Size and speed

{costs}

One clip at a time on one core of the computer that made it, other work there included.

## Limits

- It knows the machines, microphones and rooms of its training recordings; others need their own search.
- It takes what those recordings hold for healthy. A fault that was there all along is not heard.
{limits}- A score says how strange a recording is, not what is broken, nor how badly.
- A recording of less than {seconds:.2f} s ({least} samples) is repeated to that length by `humtune score`.
- The graph's scores were compared with those of what was trained, on held-out recordings: they differ by at
  most {parity:.1e} of the scores' spread.
"""


_PRECISION = """\
Recall is the share of anomalies above the threshold; precision, the share of anomalies among all clips above
it. The latter is that of these test clips: where a machine seldom fails, most alarms are false ones."""

_INT8 = """

This is the model of the folder above in int8: its networks were quantised on training clips; reference
embeddings, threshold and figures are its own, and scores of the two are not to be mixed. It is fastest on
processors that multiply bytes (x86 with VNNI, ARM with dot products)."""


def model_card(
    info: ModelInfo,
    plan: Blueprint,
    alarms: Sequence[Alarms],
    costs: Sequence[Beside],
    *,
    ledger: Plan,
    parity: float,
) -> str:
    """The card as Markdown; figures in percent, `costs` of this model and of others."""
    measured = plan.measured
    story = ensemble_story(plan.ensemble, measured) if plan.ensemble else trial_story(info, measured)
    place = f"{info.machine}/{INT8}" if info.precision == INT8 else info.machine
    return _CARD.format(
        name=escaped(info.machine),
        machine=code(info.machine),
        model=MODEL,
        score=command("score", place, "recordings/", out="scores"),
        place=json.dumps(f"{place}/{MODEL}", ensure_ascii=False),
        int8=_INT8 if info.precision == INT8 else "",
        rate=info.sample_rate,
        channel="mono" if info.channel is None else f"channel {info.channel} alone",
        threshold=info.threshold.value,
        search=code(info.search),
        **info.versions,
        least=info.least_samples,
        seconds=info.least_samples / info.sample_rate,
        data=code(ledger.asked.data),
        data_hash=ledger.machines[info.machine].data_hash,
        clips=_clips(measured.clips),
        licence=licence_of(ledger.asked.data),
        failures=failures(measured.reading),
        words=WORDS,
        figures=markdown(("", "%"), _figures(info.figures)),
        threshold_text=_threshold(info),
        alarms=_alarms(alarms),
        costs=_costs(costs),
        parity=parity,
        **vars(story)
        | {"selection": story.selection + (f"\n\n{escaped(plan.left_out)}." if plan.left_out else "")},
    )


def _costs(costs: Sequence[Beside]) -> str:
    header = ("", "MB", f"ms a clip of {SECONDS:g} s", "Ω on the labelled dev clips, %")
    rows = (
        (of.name, f"{of.cost.size / 1e6:.2f}", f"{1e3 * of.cost.seconds:.1f}", percent(of.omega))
        for of in costs
    )
    return markdown(header, rows)


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
        "omega_hidden_official": "**Ω hidden** (on labelled clips that nothing chose by)",
        "omega_hidden_paper": "Ω with a pAUC per domain, same clips",
        "omega_cross_fitted": "**Ω cross-fitted** (on clips that did not choose)",
        "omega_confirmed": "Ω confirmed (mean over new seeds, on the labelled dev clips)",
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
            told = percent(figures[key]) + (f" ± {percent(spread)}" if spread is not None else "")
            interval = [figures.get(key.replace("official", side)) for side in ("low", "high")]
            if key.endswith("_official") and None not in interval:
                told += f" ({' – '.join(map(percent, interval))} with {100 * LEVEL:.0f} %)"
            yield name, told


def _threshold(info: ModelInfo) -> str:
    threshold = info.threshold
    wanted, clips = f"{threshold.false_alarms:.1%}", f"{threshold.clips} held-out normal clips"
    text = {
        "quantile": f"is the score of one of {clips}, which at most {wanted} of them exceed.",
        "gamma": f"is what {wanted} of normal clips exceed by a gamma distribution with the mean, spread and "
        f"skewness of the scores of {clips}; it need not be the score of any.",
    }[threshold.fit]
    return " ".join([f"{threshold.value!r} {text}", *([f"{threshold.note}."] if threshold.note else [])])


def _alarms(alarms: Sequence[Alarms]) -> str:
    if not alarms:
        return "There were no labelled test clips to try it on."
    header = ("test clips", "normals", "false alarms %", "anomalies", "recall %", "precision %")
    rows = (
        (
            f"{a.part} {a.domain}",
            a.normals,
            percent(a.false_alarms),
            a.anomalies,
            percent(a.caught),
            percent(_precision(a)),
        )
        for a in alarms
    )
    return markdown(header, rows) + "\n\n" + _PRECISION


def _precision(alarms: Alarms) -> float | None:
    """Of the clips above the threshold, the share that is anomalous; None where there are none."""
    true, false = alarms.caught * alarms.anomalies, alarms.false_alarms * alarms.normals
    return true / (true + false) if true + false else None
