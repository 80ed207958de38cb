"""What is strange about a recording, to see and to hear, beside the nearest healthy one."""

import json
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humtune.drafts import write_output
from humtune.errors import HumtuneError
from humtune.runtime.explain import occlude
from humtune.runtime.healthy import Healthy, nearest
from humtune.runtime.log import Entry
from humtune.runtime.scorer import Scorer
from humtune.runtime.spectrum import image, spectra
from humtune.sounds.sound_file import FULL_SCALE, open_sound, to_flac, to_waveform

HEARD = 4.0  # s that are played, at least
ENDS = (".json", ".png", ".flac", ".healthy.png", ".healthy.flac")  # of its files
_LOUD, _GAIN = 0.7, 100.0  # peak of what is played, and the most that it is made louder by


@dataclass(frozen=True)
class Exhibit:
    """What is kept of a recording beside its sound and pictures."""

    time: float  # of the entry that it shows
    seconds: float  # of the window
    start: float  # s, in the window: the strange stretch; all of it where no part stands out
    end: float
    played: tuple[float, float]  # s, in the window
    gain: float  # by which both sounds were made louder
    score: float  # of the window
    bands: tuple[
        float, ...
    ] = ()  # how far the score falls where a band is healthy; none without a healthy one
    healthy: str | None = None


def make_exhibit(entry: Entry, scorer: Scorer, healthy: Sequence[Healthy], base: Path) -> Exhibit | None:
    """Write `<base>.png`, `.flac` and, where there is a healthy one, `.healthy.png` and `.healthy.flac`.

    `<base>.json` comes last, so that what it tells of is there. None where the recording can't be read any
    more; UsageError where a file can't be written.
    """
    rate = scorer.info.sample_rate
    try:
        samples = _window(entry, rate, scorer.info.channel)
        wave = to_waveform(samples)
        near = nearest(healthy, wave)
        found, normal = spectra(wave), None if near is None else spectra(to_waveform(near.samples))
        bands, stretch = tuple[float, ...](), (0.0, len(wave) / rate)
        if normal is not None and entry.anomaly:  # what is below the limit needs no explanation
            bands, stretch = occlude(found, normal, len(wave), scorer)
    except HumtuneError:
        return None
    played = _around(stretch, len(wave) / rate)
    sounds = {"": samples[slice(*(round(t * rate) for t in played))]}
    spectrograms = {"": found}
    if near is not None and normal is not None:
        length = round((played[1] - played[0]) * rate)
        sounds[".healthy"], spectrograms[".healthy"] = np.resize(near.samples, length), normal
    peak = max(int(np.abs(sound.astype(np.int32)).max(initial=1)) for sound in sounds.values())
    gain = float(np.clip(_LOUD * FULL_SCALE / max(peak, 1), 1.0, _GAIN))
    loudest = max(float(20 * np.log10(np.abs(s).max() + 1e-6)) for s in spectrograms.values())
    for kind, sound in sounds.items():
        louder = np.rint(sound * gain).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        _write(base, f"{kind}.flac", to_flac(louder, rate))
        _write(base, f"{kind}.png", image(spectrograms[kind][2:-2], rate, loudest))
    exhibit = Exhibit(
        time=entry.time,
        seconds=len(wave) / rate,
        start=stretch[0],
        end=stretch[1],
        played=played,
        gain=gain,
        score=entry.score,
        bands=bands,
        healthy=None if near is None else near.name,
    )
    _write(base, ".json", json.dumps(asdict(exhibit)).encode())
    return exhibit


def read_exhibit(entry: Entry, base: Path) -> Exhibit | None:
    """What was kept of this result of a recording; None where nothing was, or of another result."""
    exhibit = _read(base)
    return exhibit if exhibit and exhibit.time == entry.time else None


def remove_exhibits(folder: Path, *, but: Container[str]) -> None:
    """Remove the files of the exhibits in a folder, but for those of these names; of no other file any.

    An exhibit is known by what its `.json` says, which comes last and goes last.
    """
    for path in folder.glob("*.json"):
        base = path.with_suffix("")
        if base.name not in but and _read(base) is not None:
            for end in reversed(ENDS):
                base.with_name(base.name + end).unlink(missing_ok=True)


def _read(base: Path) -> Exhibit | None:
    try:
        found = json.loads(base.with_name(f"{base.name}.json").read_bytes())
        return Exhibit(**{**found, "bands": tuple(found["bands"]), "played": tuple(found["played"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _window(entry: Entry, rate: int, channel: int | None) -> NDArray[np.int16]:
    """The samples of a recording's strangest window."""
    first, after = round(entry.start * rate), round((entry.start + entry.window) * rate)
    parts, count = [], 0
    with open_sound(Path(entry.file), rate, channel=channel) as sound:
        for block in sound.blocks():
            parts.append(block[max(0, first - count) : max(0, after - count)])
            count += len(block)
    samples = np.concatenate(parts)
    if not len(samples):
        raise HumtuneError(f"{entry.file}: shorter than it was")
    return samples


def _around(stretch: tuple[float, float], seconds: float) -> tuple[float, float]:
    """The stretch with what is around it, so much that it can be listened to."""
    more = max(0.0, HEARD - (stretch[1] - stretch[0])) / 2
    start = max(0.0, min(stretch[0] - more, seconds - HEARD))
    return start, min(seconds, max(stretch[1] + more, start + HEARD))


def _write(base: Path, end: str, content: bytes) -> None:
    write_output(base.with_name(base.name + end), content)
