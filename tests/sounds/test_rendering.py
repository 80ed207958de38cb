"""Each fault is heard where physics puts it."""

import numpy as np
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt, welch

from humtune.config import SAMPLE_RATE
from humtune.sounds.machines import RECIPES, Unit, unit
from humtune.sounds.rendering import HEALTHY, STRENGTH, Fault, Recorder, Setting

SECONDS = 8.0


def record(
    machine_unit: Unit, fault: Fault = HEALTHY, setting: Setting | None = None, seed: int = 5
) -> np.ndarray:
    recorder = Recorder(machine_unit, round(SECONDS * SAMPLE_RATE))
    return recorder.record(setting or Setting(), np.random.default_rng(seed), fault).astype(float)


def power(wave: np.ndarray, low: float, high: float, segment: int = 8192) -> float:
    hertz, density = welch(wave, SAMPLE_RATE, nperseg=segment)
    return float(density[(hertz >= low) & (hertz < high)].sum())


def beats(wave: np.ndarray, low: float, high: float, hertz: float) -> float:
    """Strength of the line near `hertz` in the envelope of a band, against the median around it."""
    band = sosfiltfilt(butter(4, [low, high], "bandpass", fs=SAMPLE_RATE, output="sos"), wave)
    envelope = np.abs(hilbert(band))
    lines = np.abs(np.fft.rfft((envelope - envelope.mean()) * np.hanning(len(envelope))))
    at = np.fft.rfftfreq(len(envelope), 1 / SAMPLE_RATE)
    near, around = np.abs(at - hertz) < 0.05 * hertz, np.abs(at - hertz) < 0.5 * hertz
    return float(lines[near].max() / np.median(lines[around]))


def test_a_healthy_hum_has_the_lines_of_its_teeth():
    gearbox = unit("gearbox", 0, seed=0)
    mesh = gearbox.speed * gearbox.teeth
    wave = record(gearbox)
    assert power(wave, 0.97 * mesh, 1.03 * mesh) > 3 * power(
        wave, 0.5 * mesh - 0.03 * mesh, 0.5 * mesh + 0.03 * mesh
    )
    fast = record(gearbox, setting=Setting(speed=1.12))
    assert power(fast, 1.09 * mesh, 1.15 * mesh) > 3 * power(fast, 0.97 * mesh, 1.03 * mesh)


def test_clicks_beat_at_the_defects_pace_in_the_band_that_rings():
    bearing = unit("bearing", 1, seed=0)
    pace = bearing.speed * bearing.defect
    band = (bearing.ring / 1.15, min(bearing.ring * 1.15, 7900))
    healthy, broken = record(bearing), record(bearing, Fault("clicks", 1.0))
    assert power(broken, *band) > 1.5 * power(healthy, *band)
    assert beats(broken, *band, pace) > 2 * beats(healthy, *band, pace)


def test_imbalance_grows_the_shafts_own_order_and_beats_with_it():
    fan = unit("fan", 0, seed=0)
    healthy, broken = record(fan), record(fan, Fault("imbalance", 0.5))
    first = (0.95 * fan.speed, 1.05 * fan.speed)
    assert power(broken, *first, segment=32768) > 4 * power(healthy, *first, segment=32768)
    assert beats(broken, 200, 3000, fan.speed) > 3 * beats(healthy, 200, 3000, fan.speed)


def test_a_leak_hisses_in_its_band_alone():
    slider = unit("slider", 0, seed=0)
    healthy, broken = record(slider), record(slider, Fault("leak", 0.5))
    rise = power(broken, slider.leak / 1.2, slider.leak * 1.2) - power(
        healthy, slider.leak / 1.2, slider.leak * 1.2
    )
    assert rise > 0.2 * power(healthy, 0, 8000) * 0.25
    assert power(broken, 0, slider.leak / 8) == pytest.approx(power(healthy, 0, slider.leak / 8), rel=0.2)


def test_missing_teeth_take_their_lines_away():
    gearbox = unit("gearbox", 0, seed=0)
    mesh = gearbox.speed * gearbox.teeth
    lines = (0.99 * mesh, 1.01 * mesh)
    assert power(record(gearbox, Fault("missing", 1.0)), *lines) < 0.5 * power(record(gearbox), *lines)


def test_stutter_drops_the_hum_now_and_then():
    car = unit("ToyCar", 0, seed=0)

    def lowest(wave: np.ndarray) -> float:
        level = np.sqrt(np.mean(wave[: len(wave) // 800 * 800].reshape(-1, 800) ** 2, axis=1))
        return float(np.quantile(level, 0.05) / np.median(level))

    assert lowest(record(car, Fault("stutter", 1.0))) < 0.8 * lowest(record(car))


@pytest.mark.parametrize("machine", ["valve", "slider"])
def test_strokes_come_and_go(machine: str):
    wave = record(unit(machine, 0, seed=0))
    level = np.mean(wave[: len(wave) // 400 * 400].reshape(-1, 400) ** 2, axis=1)
    assert np.quantile(level, 0.9) > 3 * np.quantile(level, 0.05)


@pytest.mark.parametrize("machine", RECIPES)
def test_units_of_a_kind_differ_and_stay_the_same(machine: str):
    units = [unit(machine, section, seed=0) for section in range(6)]
    assert len({u.speed for u in units}) == 6
    again = unit(machine, 3, seed=0)
    np.testing.assert_array_equal(record(units[3]), record(again))
    assert unit(machine, 3, seed=1).speed != units[3].speed or unit(machine, 3, seed=1).leak != units[3].leak
    for u in units:
        assert len(u.amplitudes) * u.speed < SAMPLE_RATE / 2
        assert 0.5 < np.std(record(u)) / np.std(record(units[0])) < 2


def test_no_fault_of_no_strength_changes_a_clip():
    fan = unit("fan", 0, seed=0)
    for kind in STRENGTH:
        np.testing.assert_array_equal(record(fan, Fault(kind, 0.0)), record(fan))
