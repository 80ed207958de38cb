"""What to expect of a model that was made of a folder of recordings, in plain words."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count as counting
from math import ceil

from humtune.config import SAMPLE_RATE
from humtune.metrics.cells import Array
from humtune.names import count
from humtune.runtime.info import ModelInfo
from humtune.runtime.limits import Limits
from humtune.runtime.promises import Promise, promises
from humtune.sounds.bank import ClipBank
from humtune.sounds.groups import RECORDING, recording_names
from humtune.sounds.importing import BAD, ImportRecord, spell
from humtune.sounds.survey import few
from humtune.sounds.table import ANOMALY, NORMAL, ClipTable, Role


@dataclass(frozen=True)
class Heard:
    """Recordings of one label, and those above the limit."""

    recordings: tuple[str, ...]
    flagged: tuple[str, ...]


def outlook(sound: str, info: ModelInfo, scores: Array, clips: ClipTable, *, detectors: int) -> list[str]:
    """Sentences: what was learned of what `sound`, what the limit can promise, and what it would have caught.

    `scores` [N] are the model's of the search's scored clips; `detectors` how many trials score together.
    """
    how = count(detectors, "detector") + " together" * (detectors > 1)
    learned = f"{info.machine}: learned from {sound}, by {how}."
    return [learned, *_promised(info), *caught(info, scores, clips)]


def sound_imported(record: ImportRecord) -> str:
    """How much healthy sound an import found to learn from."""
    files, windows = record.recordings("train"), record.windows("train")
    length = spell(record.seconds("train"))
    return f"{length} of healthy sound, {count(files, 'recording')} in {count(windows, 'window')}"


def sound_of(bank: ClipBank) -> str:
    """How much healthy sound a bank has to learn from."""
    healthy = bank.table.having(Role.TRAIN, Role.HELD_OUT)
    length = spell(float(bank.lengths[healthy].sum()) / SAMPLE_RATE)
    return f"{length} of healthy sound in {count(len(healthy), 'window')}"


def _promised(info: ModelInfo) -> Iterator[str]:
    """The false-alarm rate that the healthy recordings promise, and what the wished one needs."""
    healthy = info.healthy
    wished, seconds = info.threshold.false_alarms, info.promised_seconds or 0.0
    if healthy.overlapping:
        clip = info.kept_evidence().clip_samples  # that recordings were cut in
        clips = next(n for n in counting(1) if info.windows(n * clip) >= healthy.usual_length)
        seconds = clips * clip / info.sample_rate
    part = _weakest(info)
    there = part.threshold.clips
    yield (
        f"The limit of recordings of {spell(seconds)} is set by "
        f"{count(there, 'healthy stretch', 'es')} as long, of {count(part.groups, 'recording')}."
    )
    if part.least <= wished:
        yield (
            f"About {wished:.1%} of new healthy recordings will be called strange, however long: longer ones "
            "have a higher limit."
        )
    else:
        more = part.needed - there
        yield (
            f"They can promise no less than {part.least:.1%} false alarms: {wished:.1%} needs {more} more, "
            f"{spell(more * seconds)} of new healthy sound. Until then the limit is an estimate, and may be "
            "much too high."
        )


def _weakest(info: ModelInfo) -> Promise:
    """What the healthy recordings can promise for recordings as long as they are, where that is least."""
    healthy = info.healthy
    if healthy.overlapping:
        healthy = replace(healthy, length=healthy.usual_length)
    found = promises(healthy, info.threshold.false_alarms)
    return max(found, key=lambda promise: promise.least)


def least_share(info: ModelInfo) -> float | None:
    """The least share of false alarms that can be promised, whole percents; None where the wished can."""
    least = _weakest(info).least
    return None if least <= info.threshold.false_alarms else ceil(100 * least) / 100


def heard(
    info: ModelInfo, scores: Array, clips: ClipTable, label: int, *, share: float | None = None
) -> Heard:
    """What the limit says of labelled test recordings, by the highest of their clips' scores.

    These are the ones that nothing chose by, where some were hidden. Another `share` of false alarms has
    another limit.
    """
    highest: dict[str, list[float]] = {}
    limits = Limits(info.with_threshold(share))
    names = recording_names(clips.attributes)
    for i in clips.having(_tried(clips)).tolist():
        if clips.label[i] == label:
            name = str(names[i] or clips.name[i]).removeprefix(f"{RECORDING}=").removeprefix(BAD)
            highest.setdefault(name, []).append(float(scores[i]))
    samples = info.kept_evidence().clip_samples
    flagged = (name for name, own in highest.items() if limits.scale(len(own) * samples).is_above(max(own)))
    return Heard(tuple(highest), tuple(flagged))


def caught(info: ModelInfo, scores: Array, clips: ClipTable, *, chose: bool = True) -> Iterator[str]:
    """What the limit would have caught of the labelled test recordings; nothing without bad ones.

    `chose` tells whether labelled recordings chose the model.
    """
    bad, healthy = (heard(info, scores, clips, label) for label in (ANOMALY, NORMAL))
    if not bad.recordings:
        return
    missed = [name for name in bad.recordings if name not in bad.flagged]
    named = f" (not {few(missed)})" if missed and bad.flagged else ""
    found = f"{len(bad.flagged)} of {count(len(bad.recordings), 'bad recording')}{named}"
    false = f"{len(healthy.flagged)} of {count(len(healthy.recordings), 'healthy one')}"
    yield f"It would have caught {found}, and called {false} strange that it did not learn from."
    if share := least_share(info):
        would = (heard(info, scores, clips, label, share=share) for label in (ANOMALY, NORMAL))
        shares = " and ".join(f"{len(one.flagged)} of {len(one.recordings)}" for one in would)
        yield f"With --false-alarms {share:.0%} it would have been {shares}."
    if chose and _tried(clips) is Role.SELECT:
        yield "These helped to choose it: expect less of new ones."


def _tried(clips: ClipTable) -> Role:
    return Role.HIDDEN if clips.having(Role.HIDDEN).size else Role.SELECT
