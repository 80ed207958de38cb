"""The healthy recordings that go into a model folder: few, short, and as different as they come."""

import numpy as np

from humtune.config import SAMPLE_RATE
from humtune.runtime.healthy import HEALTHY
from humtune.runtime.spectrum import level, spectra
from humtune.sounds.bank import ClipBank
from humtune.sounds.sound_file import to_flac, to_waveform
from humtune.sounds.table import Role

COUNT = 8
SECONDS = 10  # of each, at most
_LOOKED_AT = 160  # clips that they are chosen from


def healthy_files(bank: ClipBank) -> dict[str, bytes]:
    """Flac files of normal training clips, held-out ones among them: name in the model folder -> content.

    Their mean spectra in dB are those nearest to the centres of as many clusters.
    """
    from sklearn.cluster import KMeans  # here: it takes a second to import

    clips = bank.table.having(Role.TRAIN, Role.HELD_OUT)
    clips = clips[np.unique(np.linspace(0, len(clips) - 1, min(_LOOKED_AT, len(clips))).astype(np.intp))]
    starts = [bank.clip(int(i))[: SECONDS * SAMPLE_RATE] for i in clips]
    levels = np.stack([level(spectra(to_waveform(samples))) for samples in starts])
    count = min(COUNT, len(np.unique(levels, axis=0)))
    found = KMeans(count, n_init=1, random_state=0).fit(levels)
    chosen = sorted({int(row.argmin()) for row in found.transform(levels).T})
    return {f"{HEALTHY}/{i:02d}.flac": to_flac(starts[clip]) for i, clip in enumerate(chosen)}
