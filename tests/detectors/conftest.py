"""Small banks of tones in noise, and a detector trained on one of them."""

from collections.abc import Callable

import numpy as np
import pytest

from humtune.config import SAMPLE_RATE
from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.fit import ClassifierFit, Training
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import ClipTable, Role

TONES = (700.0, 1900.0, 4300.0)  # Hz, one a section
ROLES = (*[Role.TRAIN] * 8, *[Role.HELD_OUT] * 2, Role.SELECT, Role.REPORT)  # of a section's clips

MakeBank = Callable[..., ClipBank]


@pytest.fixture(scope="module", autouse=True)
def _each_on_one_thread(one_thread: None) -> None:
    pass


@pytest.fixture(scope="session")
def small() -> Classifier:
    """A trial of seconds: 64×64 spectrograms of a quarter-wide network, three epochs."""
    return Classifier(
        spectrogram=Spectrogram(n_fft=256, chunk_frames=64, n_mels=64),
        backbone=MobileFaceNet(width=0.25),
        training=Training(epochs=3, batch_size=8, learning_rate=3e-3),
    )


@pytest.fixture(scope="session")
def make_bank() -> MakeBank:
    """Clips of a section are its tone in noise; their lengths differ, and are odd as often as even."""

    def make(
        roles: tuple[Role, ...] = ROLES, *, seconds: float = 0.7, seed: int = 0, sections: int = 3
    ) -> ClipBank:
        rng = np.random.default_rng(seed)
        clips = []
        for tone in TONES[:sections]:
            for _ in roles:
                samples = int(seconds * SAMPLE_RATE) + int(rng.integers(0, 999))
                phase = 2 * np.pi * (tone * np.arange(samples) / SAMPLE_RATE + rng.uniform())
                clips.append((2000 * np.sin(phase) + rng.normal(0, 800, samples)).astype(np.int16))
        count = len(clips)
        table = ClipTable.from_columns(
            machine="fan",
            name=[f"{i:03d}.wav" for i in range(count)],
            part=["dev"] * count,
            split=["train" if role in (Role.TRAIN, Role.HELD_OUT) else "test" for role in roles] * sections,
            section=np.repeat(np.arange(sections), len(roles)).tolist(),
            domain=[0] * count,
            label=[0] * count,
            attributes=[""] * count,
            role=[str(role) for role in roles] * sections,
        )
        offsets = np.cumsum([0, *map(len, clips)]).astype(np.int64)
        return ClipBank(table, np.concatenate(clips), offsets, "bank")

    return make


@pytest.fixture(scope="session")
def bank(make_bank: MakeBank) -> ClipBank:
    return make_bank()


@pytest.fixture(scope="module")
def trained(small: Classifier, bank: ClipBank) -> ClassifierFit:
    """A run at its end. Tests must leave it as it is."""
    run = small.start(bank)
    run.run()
    return run
