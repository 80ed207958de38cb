"""What is done to a healthy recording: it must be heard, be no louder than said, and come again alike."""

from collections.abc import Callable

import numpy as np
import pytest

from humtune.config import SAMPLE_RATE
from humtune.sounds.disturbances import DISTURBANCES, LEVEL, knocks, rubbing, whine, wrong_colour, wrong_speed

Disturb = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@pytest.fixture
def wave() -> np.ndarray:
    """A second of a hum of 100 Hz with its orders, in a little noise."""
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    hum = sum(np.sin(2 * np.pi * 100 * order * seconds) / order for order in range(1, 20))
    return 0.05 * hum + 0.002 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)


@pytest.mark.parametrize("disturb", DISTURBANCES)
def test_a_disturbed_clip_has_its_length_and_is_not_the_clip(disturb: Disturb, wave: np.ndarray) -> None:
    before = wave.copy()
    heard = disturb(wave, np.random.default_rng(1))
    assert heard.shape == wave.shape
    assert np.isfinite(heard).all()
    assert np.abs(heard - wave).max() > 1e-4
    assert np.array_equal(wave, before)


@pytest.mark.parametrize("disturb", DISTURBANCES)
def test_the_same_draw_gives_the_same_sound(disturb: Disturb, wave: np.ndarray) -> None:
    first, again, other = (disturb(wave, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("disturb", [knocks, rubbing, whine])
def test_what_is_mixed_in_keeps_to_the_level(disturb: Disturb, wave: np.ndarray) -> None:
    levels = []
    for seed in range(20):
        added = disturb(wave, np.random.default_rng(seed)) - wave
        levels.append(10 * np.log10(np.mean(added**2) / np.mean(wave**2)))
    assert LEVEL[0] - 1e-6 <= min(levels) < -20
    assert -10 < max(levels) <= LEVEL[1] + 1e-6


def test_a_wrong_speed_moves_the_pitch_by_one_to_eight_percent(wave: np.ndarray) -> None:
    ratios = []
    for seed in range(20):
        spectrum = np.abs(np.fft.rfft(wrong_speed(wave, np.random.default_rng(seed)) * np.hanning(len(wave))))
        ratios.append(float(spectrum[80:120].argmax() + 80) / 100)
    assert all(0.91 <= ratio <= 0.99 or 1.0 <= ratio <= 1.09 for ratio in ratios)
    assert min(ratios) < 1 < max(ratios)


def test_a_wrong_colour_changes_one_band_only(wave: np.ndarray) -> None:
    heard = wrong_colour(wave, np.random.default_rng(5))
    gain = np.abs(np.fft.rfft(heard)) / np.abs(np.fft.rfft(wave))
    orders = 20 * np.log10(gain[100:2000:100])
    assert 3 <= np.abs(20 * np.log10(gain[150:6000])).max() <= 12.01
    assert np.abs(orders).min() < 1  # far from the band nothing happens


def test_silence_stays_finite() -> None:
    for disturb in DISTURBANCES:
        assert np.isfinite(disturb(np.zeros(4000), np.random.default_rng(0))).all()
