"""A small data set in the DCASE 2022 layout, written with soundfile alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from humtune.config import SAMPLE_RATE


def write_wav(path: Path, seconds: float = 0.05, *, seed: int = 0, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Write mono 16 bit noise; the samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(-9000, 9000, round(seconds * rate)).astype(np.int16)
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return samples


@pytest.fixture
def wav() -> Callable[..., np.ndarray]:
    return write_wav


@pytest.fixture
def dcase2022(tmp_path: Path) -> Path:
    """Machine fan: sections 0 (dev) and 3 (eval), three source and one target training clip each."""
    data = tmp_path / "data"
    seed = 0
    for part, section in (("dev", 0), ("eval", 3)):
        fan = data / f"{part}_data" / "fan"
        train = [("source", i, "m-n_W") for i in range(3)] + [("target", 0, "m-n_X")]
        for domain, index, tail in train:
            name = f"section_{section:02d}_{domain}_train_normal_{index:04d}_{tail}.wav"
            write_wav(fan / "train" / name, seed=(seed := seed + 1))
        for i, (domain, label) in enumerate(
            (d, b) for d in ("source", "target") for b in ("normal", "anomaly")
        ):
            named = f"section_{section:02d}_{domain}_test_{label}_{0:04d}_m-n_W.wav"
            name = named if part == "dev" else f"section_{section:02d}_{i:04d}.wav"
            write_wav(fan / "test" / name, 0.05 + 0.01 * i, seed=(seed := seed + 1))
    for folder, column in (("ground_truth_data", "0101"), ("ground_truth_domain", "0011")):
        (data / folder).mkdir()
        rows = [f"section_03_{i:04d}.wav,{value}\n" for i, value in enumerate(column)]
        (data / folder / "ground_truth_fan_section_03_test.csv").write_text("".join(rows))
    return data
