"""Probes and disturbances: of which clips they are made, what they claim, and that they come again alike."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from humtune.config import SAMPLE_RATE
from humtune.sounds.bank import ClipBank, load_banks
from humtune.sounds.probes import (
    DISTURBANCES,
    LEVEL,
    PER_KIND,
    ProbeKind,
    Stranger,
    knocks,
    make_probes,
    rubbing,
    strangers,
    whine,
    wrong_colour,
    wrong_speed,
)
from humtune.sounds.table import ANOMALY, NORMAL, ClipTable, Role, assign_roles
from humtune.storage import Storage

LOUD = Stranger("valve/loud.wav", np.full(300, 20_000, np.int16))

Disturb = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "runs")


@pytest.fixture
def bank(dcase2022: Path, storage: Storage) -> ClipBank:
    """Machine fan: of sections 0 and 3 one clip each is held out."""
    found = load_banks(dcase2022, storage)["fan"]
    return replace(found, table=assign_roles(found.table))


def of_kind(table: ClipTable, kind: ProbeKind) -> ClipTable:
    return table.take(table.part == str(kind))


def test_faults_are_made_of_held_out_clips_and_of_nothing_else(bank: ClipBank, storage: Storage) -> None:
    probes = make_probes(bank, [], storage)
    assert probes is not None
    faults = of_kind(probes.table, ProbeKind.FAULT)
    held_out = bank.table.take(bank.table.having(Role.HELD_OUT))
    assert len(faults) == PER_KIND
    assert {name.partition("-section")[2] for name in faults.name.tolist()} == {
        name.partition("section")[2] for name in held_out.name.tolist()
    }
    assert set(faults.role.tolist()) == {Role.PROBE}
    assert set(faults.label.tolist()) == {ANOMALY}
    assert len(set(faults.name.tolist())) == PER_KIND
    assert sorted(np.unique(faults.section, return_counts=True)[1]) == [PER_KIND // 2, PER_KIND // 2]


def test_a_probe_is_as_long_as_the_clip_it_imitates_and_differs_from_it(
    bank: ClipBank, storage: Storage
) -> None:
    probes = make_probes(bank, [LOUD], storage)
    assert probes is not None
    clips = {str(bank.table.name[i]): bank.clip(int(i)) for i in bank.table.having(Role.HELD_OUT)}
    for i, (name, part) in enumerate(zip(probes.table.name, probes.table.part, strict=True)):
        if part == ProbeKind.FAULT:
            own = clips["section" + str(name).partition("section")[2]]
            assert len(probes.clip(i)) == len(own)
            assert not np.array_equal(probes.clip(i), own)
        if part == ProbeKind.MACHINE:
            assert str(name) == "valve/loud.wav"
            assert set(probes.clip(i).tolist()) == {20_000}
            assert len(probes.clip(i)) > 300  # a short one is repeated


def test_every_held_out_clip_tells_the_truth_once_and_lies_once(bank: ClipBank, storage: Storage) -> None:
    probes = make_probes(bank, [], storage)
    assert probes is not None
    claims = of_kind(probes.table, ProbeKind.SECTION)
    assert claims.label.tolist() == [NORMAL, NORMAL, ANOMALY, ANOMALY]
    assert claims.section.tolist() == [0, 3, 3, 0]
    first = len(probes.table) - 4
    assert np.array_equal(probes.clip(first), probes.clip(first + 2))  # the same sound, another claim


def test_the_same_recordings_give_the_same_bank(bank: ClipBank, storage: Storage) -> None:
    first, again, other = (make_probes(bank, [LOUD], storage, seed=seed) for seed in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.hash == again.hash != other.hash


def test_without_a_clip_to_hold_out_there_are_no_probes(bank: ClipBank, storage: Storage) -> None:
    bank.table.role[bank.table.role == Role.HELD_OUT] = Role.TRAIN
    assert make_probes(bank, [LOUD], storage) is None


def test_one_section_has_nothing_to_lie_about(bank: ClipBank, storage: Storage) -> None:
    bank.table.section[:] = 0
    probes = make_probes(bank, [], storage)
    assert probes is not None
    assert set(probes.table.part.tolist()) == {ProbeKind.FAULT}


def test_strangers_are_training_clips_of_every_other_machine(
    dcase2022: Path, wav: Callable[..., np.ndarray]
) -> None:
    assert strangers(dcase2022, "fan") == []
    for machine in ("slider", "valve"):
        folder = dcase2022 / "dev_data" / machine
        for i in range(3):
            wav(folder / "train" / f"section_00_source_train_normal_{i:04d}_a_1.wav", seed=i)
            wav(folder / "test" / f"section_00_source_test_anomaly_{i:04d}_a_1.wav", seed=i)
    (dcase2022 / "dev_data" / "valve" / "train" / "section_00_broken.wav").write_bytes(b"no sound")
    found = strangers(dcase2022, "fan")
    assert [s.name.partition("/")[0] for s in found] == ["slider"] * 3 + ["valve"] * 3
    assert all("train_normal" in s.name and len(s.samples) for s in found)


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
