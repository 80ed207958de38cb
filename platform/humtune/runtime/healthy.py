"""Healthy sound that a model folder carries, to listen to beside what is strange."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humtune.errors import HumtuneError
from humtune.runtime.spectrum import level, spectra
from humtune.sounds.sound_file import open_sound, to_waveform

HEALTHY = "healthy"  # the folder of a model folder


@dataclass(frozen=True, eq=False)
class Healthy:
    """A healthy recording's sound."""

    name: str
    samples: NDArray[np.int16]  # [n], at the model's rate
    level: NDArray[np.float64]  # dB, [F]


def read_healthy(model: Path, rate: int) -> list[Healthy]:
    """Those of a model folder; none where it was exported before, or they were removed."""
    found = []
    for path in sorted((model / HEALTHY).glob("*.flac")):
        try:
            with open_sound(path, rate) as sound:
                samples = np.concatenate(list(sound.blocks()))
        except HumtuneError:  # what can't be read is as good as removed
            continue
        found.append(Healthy(path.stem, samples, level(spectra(to_waveform(samples)))))
    return found


def nearest(healthy: Sequence[Healthy], wave: NDArray[np.floating]) -> Healthy | None:
    """The one whose mean spectrum in dB is nearest to a waveform's; None of none."""
    own = level(spectra(wave))
    return min(healthy, key=lambda one: float(np.square(one.level - own).mean()), default=None)
