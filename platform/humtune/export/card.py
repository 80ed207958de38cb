"""The model card: what an exported model is, how good it is, and how to run it."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from humtune.export import healthy
from humtune.export.blueprint import Blueprint
from humtune.export.check import SECONDS, Beside
from humtune.export.evidence import how_scored
from humtune.export.outlook import caught
from humtune.export.story import (
    ensemble_story,
    failures,
    licence_of,
    markdown,
    trial_story,
)
from humtune.export.threshold_text import alarms_text, threshold_text
from humtune.formatting.columns import WORDS
from humtune.formatting.text import code, escaped, percent
from humtune.metrics.bootstrap import LEVEL
from humtune.names import SOURCE, command
from humtune.plan import Plan
from humtune.runtime.info import INT8, MODEL, REQUIREMENTS, Alarms, ModelInfo
from humtune.runtime.limits import Limits
from humtune.sounds.table import UNKNOWN, ClipTable, Role

_CARD = """\
# {name}

{plain}

## What it is

Tells whether a {name} sounds as it should. `{model}` maps a recording ({channel}, {rate} Hz, float32 in
[-1, 1]) to an anomaly score, higher is stranger: {inside}, all in one graph. A score above
**{threshold:.6g}** counts as an anomaly; of a recording longer than {window_seconds:.4g} s one above the
[limit of its length](#threshold).

{origin} of the search {search}, made with humtune {humtune} (torch {torch}, onnx {onnx}, onnxruntime
{onnxruntime}, opset {opset}).{int8}

## Run it

In the folder that holds {holder}:

```
{score}
```

On a computer that only scores, about 200 MB are enough instead of all that a search needs:

```
pip install -r {requirements}
pip install --no-deps {source}
```

`{source}` is humtune's own folder, or a wheel of it, which `pip wheel --no-deps {source}` makes.

Without humtune:

```python
import onnxruntime, soundfile
session = onnxruntime.InferenceSession({place})
waveform, rate = soundfile.read("recording.wav", dtype="float32")  # mono, {rate} Hz
# {least} to {window} samples
score = session.run(None, {{"waveform": waveform}})[0]
print(score, "anomaly" if score > {threshold!r} else "normal")
```

## Data

Recordings: {data}, content hash `{data_hash}`.

{clips}

{licence}

`healthy/` holds up to {healthy} of the healthy recordings that it was made with, of {healthy_seconds} s at
most, to listen to beside strange ones. Delete it where they mustn't be passed on; no score needs it.

## How good it is

{metrics}

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

One clip at a time, in time of one core of the computer that made it, whatever else worked there.

## Limits

- It knows the machines, microphones and rooms of its training recordings; others need their own search.
- It takes what those recordings hold for healthy. A fault that was there all along is not found.
{limits}- A score says how strange a recording is, not what is broken, nor how badly.
- It scores {window_seconds:.2f} s ({window} samples) at a time. `humtune score` scores a longer recording in
  windows of that length, half over each other; its score is its strangest window's. So were the clips of the
  tables above that are longer; cross-fitted Ω alone is of chunks spread over whole clips, as in a search.
- A recording of less than {seconds:.2f} s ({least} samples) is repeated to that length by `humtune score`.
- The graph's scores were compared with those of what was trained, on held-out recordings: they differ by at
  most {parity:.1e} of the scores' spread.
"""


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
    folder: Path,
    ledger: Plan,
    parity: float,
) -> str:
    """The card of the model in a folder, as Markdown; figures in percent, `costs` of this and of others."""
    measured = plan.measured
    limit = Limits(info).scale(info.window_samples).limit
    story = (
        ensemble_story(plan.ensemble, measured)
        if plan.ensemble
        else trial_story(info, measured, teacher=ledger.asked.taught_by)
    )
    holder = (folder.parent if info.precision == INT8 else folder).resolve().name
    place = f"{holder}/{INT8}" if info.precision == INT8 else holder
    return _CARD.format(
        name=escaped(info.machine),
        plain=_in_plain_words(info, plan, place, chose=ledger.machines[info.machine].judged_by == "omega"),
        holder=code(holder),
        model=MODEL,
        score=command("score", place, "recordings/", out="scores"),
        source=SOURCE,
        requirements=shlex.quote(f"{place}/{REQUIREMENTS}"),
        place=json.dumps(f"{place}/{MODEL}", ensure_ascii=False),
        int8=_INT8 if info.precision == INT8 else "",
        rate=info.sample_rate,
        channel="mono" if info.channel is None else f"channel {info.channel} alone",
        threshold=limit,
        search=code(info.search),
        **info.versions,
        least=info.least_samples,
        seconds=info.least_samples / info.sample_rate,
        window=info.window_samples,
        healthy=healthy.COUNT,
        healthy_seconds=healthy.SECONDS,
        window_seconds=info.window_samples / info.sample_rate,
        data=code(ledger.asked.data),
        data_hash=ledger.machines[info.machine].data_hash,
        clips=_clips(measured.clips),
        licence=licence_of(ledger.asked.data),
        failures=failures(measured.reading),
        words=WORDS,
        metrics=_metrics_table(info.metrics),
        threshold_text=threshold_text(info, how_scored(plan.members, plan.bank.table)),
        alarms=alarms_text(alarms),
        costs=_costs(costs),
        parity=parity,
        **vars(story)
        | {"selection": story.selection + (f"\n\n{escaped(plan.left_out)}." if plan.left_out else "")},
    )


def _in_plain_words(info: ModelInfo, plan: Blueprint, place: str, *, chose: bool) -> str:
    """What whoever keeps a machine running needs to know of its model in a folder `place`, as Markdown."""
    rate = f"{info.threshold.false_alarms:.1%}"
    text = (
        f"Tells which recordings of {escaped(info.machine)} sound strange. A usual healthy one is at\n"
        f"0 × limit; one above 1 × limit is strange. About {rate} of new healthy ones will be above it."
    )
    if info.threshold.fit != "quantile":
        again = code(command("threshold", place, healthy="NEW-HEALTHY"))
        text += (
            "\nThat is an estimate: there were too few healthy recordings to tell. With more of them,\n"
            f"{again} sets the limit anew."
        )
    tried = " ".join(caught(info, plan.scores, plan.measured.clips, chose=chose))
    return f"{text}\n{escaped(tried)}" if tried else text


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


class _Line(NamedTuple):
    """A line of the card's table: what it is called, and the figures that it shows where they are known."""

    name: str
    value: str
    spread: str = ""
    low: str = ""
    high: str = ""


_LINES = (
    _Line(
        "**Ω hidden** (on labelled clips that nothing chose by)",
        "omega_hidden_official",
        low="omega_hidden_low",
        high="omega_hidden_high",
    ),
    _Line("Ω with a pAUC per domain, same clips", "omega_hidden_paper"),
    _Line(
        "**Ω cross-fitted** (on clips that did not choose)",
        "omega_cross_fitted",
        spread="omega_cross_fitted_spread",
    ),
    _Line(
        "Ω confirmed (mean over new seeds, on the labelled dev clips)",
        "omega_confirmed",
        spread="omega_confirmed_spread",
    ),
    _Line("pseudo-Ω (held-out clips against probes)", "pseudo"),
    _Line(
        "Ω on the labelled dev clips",
        "omega_select_official",
        low="omega_select_low",
        high="omega_select_high",
    ),
    _Line("Ω with a pAUC per domain (the paper's), same clips", "omega_select_paper"),
    _Line("Ω on eval clips", "omega_eval_official"),
    _Line("Ω with a pAUC per domain, eval clips", "omega_eval_paper"),
    _Line("AUC source, dev clips", "auc_source"),
    _Line("AUC target, dev clips", "auc_target"),
    _Line("pAUC, dev clips", "pauc"),
)


def _metrics_table(metrics: dict[str, float]) -> str:
    rows = list(_metrics(metrics))
    return markdown(("", "%"), rows) if rows else "Nothing is known of it: there were no labelled test clips."


def _metrics(metrics: dict[str, float]) -> Iterable[tuple[str, str]]:
    for line in _LINES:
        if line.value in metrics:
            text = percent(metrics[line.value])
            if line.spread in metrics:
                text += f" ± {percent(metrics[line.spread])}"
            if line.low in metrics and line.high in metrics:
                ends = f"{percent(metrics[line.low])} – {percent(metrics[line.high])}"
                text += f" ({ends} with {100 * LEVEL:.0f} %)"
            yield line.name, text
