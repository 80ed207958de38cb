"""When and where in frequency a sound is strange, asked of the model itself.

A second or a band of its strangest window is replaced by what the nearest healthy recording has there, and
the window is scored again. How far the score falls is how much that part made it strange.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from humtune.runtime.healthy import Healthy, nearest
from humtune.runtime.outcomes import Scored
from humtune.runtime.scorer import Scorer
from humtune.runtime.spectrum import Complex, band_bins, band_edges, image, spectra, waveform
from humtune.sounds.sound_file import to_waveform

PIECE = 1.0  # s: stretches are marked by so much at a time
_PIECES = (4, 16)


class Band(NamedTuple):
    """A band of frequencies, and how far the score falls where it is as a healthy recording's."""

    low: float  # Hz
    high: float  # Hz
    fall: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """What made a sound strange: when, where in frequency, and how that looks."""

    scored: Scored
    start: float  # s, in the sound: the stretch that made it strange; all of the window where none stands out
    end: float  # s
    bands: tuple[Band, ...]  # low ones first; none where the model carries no healthy recording
    healthy: str | None  # the healthy recording that it was compared with
    image: bytes = field(repr=False)  # PNG of the strangest window's spectrogram, on the mel scale

    @property
    def strangest_band(self) -> Band | None:
        """The band that made it strange; None where none did."""
        return max((b for b in self.bands if b.fall > 0), key=lambda b: b.fall, default=None)

    def __str__(self) -> str:
        said = f"{self.scored.level}, strangest from {self.start:.1f} to {self.end:.1f} s"
        if band := self.strangest_band:
            said += f", at {band.low:.0f} to {band.high:.0f} Hz"
        return said

    def _repr_html_(self) -> str:
        data = b64encode(self.image).decode()
        return f'<p>{escape(str(self))}</p><img alt="spectrogram" src="data:image/png;base64,{data}">'


def explain(
    samples: NDArray[np.int16], scored: Scored, scorer: Scorer, healthy: Sequence[Healthy]
) -> Explanation:
    """What made a sound [n] at the model's rate strange, whose score and decision are known."""
    rate, start = scorer.info.sample_rate, 0.0
    if (timeline := scored.timeline) is not None:
        start = float(timeline.starts[timeline.scores.argmax()])
        samples = samples[round(start * rate) : round((start + timeline.window) * rate)]
    wave = to_waveform(samples)
    found, near = spectra(wave), nearest(healthy, wave)
    falls, stretch = tuple[float, ...](), (0.0, len(wave) / rate)
    if near is not None:
        falls, stretch = occlude(found, spectra(to_waveform(near.samples)), len(wave), scorer)
    return Explanation(
        scored=scored,
        start=start + stretch[0],
        end=start + stretch[1],
        bands=tuple(
            Band(low, high, fall)
            for (low, high), fall in zip(pairwise(band_edges(rate).tolist()), falls, strict=False)
        ),
        healthy=None if near is None else near.name,
        image=image(found[2:-2], rate, float(20 * np.log10(np.abs(found).max() + 1e-6))),
    )


def occlude(
    found: Complex, normal: Complex, samples: int, scorer: Scorer
) -> tuple[tuple[float, ...], tuple[float, float]]:
    """How far the score falls with each band of `normal`, and the stretch in s that makes it fall most.

    `found` [T, F] are the spectra of so many samples, `normal` [t, F] those of a healthy recording, which is
    repeated to as many.
    """
    rate, normal = scorer.info.sample_rate, normal[np.arange(len(found)) % len(normal)]

    def score(change: Callable[[Complex], None]) -> float:
        changed = found.copy()
        change(changed)
        return scorer.score_window(waveform(changed, samples))

    def replace(where: tuple[slice, slice]) -> Callable[[Complex], None]:
        def change(changed: Complex) -> None:
            changed[where] = normal[where]

        return change

    whole, everything = score(lambda _: None), slice(None)
    bands = [whole - score(replace((everything, bins))) for bins in band_bins(rate)]
    seconds = samples / rate
    count = int(np.clip(round(seconds / PIECE), *_PIECES))
    edges = np.rint(np.linspace(0, len(found), count + 1)).astype(int).tolist()
    pieces = np.array([whole - score(replace((slice(a, b), everything))) for a, b in pairwise(edges)])
    first = after = int(pieces.argmax())
    least = pieces[first] / 2
    if least <= 0:
        return tuple(bands), (0.0, seconds)
    while first and pieces[first - 1] >= least:
        first -= 1
    while after < count - 1 and pieces[after + 1] >= least:
        after += 1
    return tuple(bands), (first * seconds / count, (after + 1) * seconds / count)
