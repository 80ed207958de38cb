"""What a model card tells of a threshold: what it promises, by which clips, and what it truly gave."""

from collections.abc import Sequence

from humtune.export.story import markdown
from humtune.formatting.text import percent
from humtune.runtime.info import Alarms, ModelInfo
from humtune.runtime.limits import Limits
from humtune.runtime.promises import promises

_PRECISION = """\
Recall is the share of anomalies above the threshold; precision, the share of anomalies among all clips above
it. The latter is that of these test clips: where a machine seldom fails, most alarms are false ones."""

_HEALTHY = """\
Clips of one recording or working condition are a group. {scored}
They count for as many independent clips as the spread between the groups leaves. The highest threshold of the
domains is used, because a clip doesn't tell its domain."""

_TRUTH = """\
`model.json` holds the threshold in use: `humtune threshold` measures another on new healthy recordings. What
this one, which promises {wanted}, truly gave on labelled test clips:"""

_LENGTHS = """\
A longer recording's score is its strangest window's, and it has more of them: so that no more of longer ones
are false alarms, their limit is higher. `humtune score` knows that of every length."""

LENGTHS = (1, 3, 6, 30)  # windows beside each other, of the recordings whose limits a card names


def threshold_text(info: ModelInfo, scored: str) -> str:
    """What the threshold promises and by which clips; `scored` tells how they were scored."""
    threshold = info.threshold
    wanted = f"{threshold.false_alarms:.1%}"
    text = {
        "quantile": f"is the score of a healthy clip, which at most {wanted} of new ones should exceed.",
        "tail": f"is what {wanted} of new healthy clips should exceed, if the highest scores of those there "
        "are fall off exponentially.",
        "single": f"is the score of the only healthy clip of a domain, which can't promise {wanted}.",
    }[threshold.fit] + f" That is for clips of {info.promised_seconds:.4g} s."
    table = markdown(
        ("domain", "healthy clips", "groups", "as good as", "least rate to promise, %", "threshold"),
        (
            (
                promise.domain,
                promise.threshold.clips,
                promise.groups,
                f"{promise.effective:.0f}",
                percent(promise.least),
                f"{promise.threshold.value:.6g}",
            )
            for promise in promises(info.healthy, threshold.false_alarms)
        ),
    )
    notes = f"\n\n{threshold.note}." if threshold.note else ""
    truth = _TRUTH.format(wanted=wanted)
    lengths = f"{_LENGTHS}\n\n{_lengths(info)}"
    healthy = _HEALTHY.format(scored=scored)
    return f"{threshold.value!r} {text}\n{healthy}\n\n{table}{notes}\n\n{lengths}\n\n{truth}"


def _lengths(info: ModelInfo) -> str:
    """The limits of recordings of several lengths, as a table."""
    limits, window = Limits(info), info.window_samples
    rows = (
        (f"{length * window / info.sample_rate:.4g} s", f"{limits.scale(length * window).limit:.6g}")
        for length in LENGTHS
    )
    return markdown(("recording of", "limit"), rows)


def alarms_text(alarms: Sequence[Alarms]) -> str:
    """What the threshold gave on labelled test clips, as a table, or that there were none."""
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
