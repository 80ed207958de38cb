import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from humtune.errors import UsageError
from humtune.sounds.sound_file import (
    open_sound,
    read_recording,
    to_samples,
    to_waveform,
)


def tone(rate: int, seconds: float = 0.5, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sixteen_bit_mono_passes_bit_by_bit(tmp_path: Path, suffix: str):
    samples = np.arange(-32768, 32768).astype(np.int16)
    path = tmp_path / f"all{suffix}"
    soundfile.write(path, samples, 16_000, subtype="PCM_16")
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.samples, samples)
    assert recording.changes == ()
    np.testing.assert_array_equal(to_waveform(read_recording(path).samples), samples / 32768)
    assert to_waveform(read_recording(path).samples).dtype == np.float32


def test_stereo_is_mixed_down(tmp_path: Path):
    left = np.array([1000, -32768, 3], dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", np.stack([left, [0, -32768, 3]], axis=1).astype(np.int16), 16_000)
    recording = read_recording(tmp_path / "a.wav")
    np.testing.assert_array_equal(recording.samples, [500, -32768, 3])
    assert recording.changes == ("mixed down from 2 channels",)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_other_rates_are_resampled(tmp_path: Path, rate: int):
    soundfile.write(tmp_path / "a.wav", tone(rate), rate)
    recording = read_recording(tmp_path / "a.wav")
    assert recording.changes == (f"resampled from {rate} Hz to 16000 Hz",)
    assert len(recording.samples) == 8_000
    error = (to_waveform(recording.samples) - tone(16_000))[400:-400]
    assert np.abs(error).max() < 2e-3


@pytest.mark.parametrize(
    ("subtype", "step"),
    [
        ("FLOAT", 1),
        ("DOUBLE", 1),
        ("PCM_24", 1),
        ("PCM_32", 1),
        ("PCM_U8", 256),
        ("ALAW", 520),
        ("ULAW", 520),
    ],
)
def test_other_sample_formats_are_scaled(tmp_path: Path, subtype: str, step: int):
    soundfile.write(tmp_path / "a.wav", tone(16_000), 16_000, subtype=subtype)
    error = read_recording(tmp_path / "a.wav").samples - tone(16_000) * 32768
    assert np.abs(error).max() <= step


def test_loud_floats_are_clipped(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.array([2.0, -2.0, 1.0, 0.0]), 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_recording(tmp_path / "a.wav").samples, [32767, -32768, 32767, 0])


NOISE = np.random.default_rng(0).normal(size=8_000)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize(
    ("scale", "mend"),
    [
        (1 << 15, "write it as 16 bit, or divide its samples by 32768"),
        (1 << 23, "write it as 24 bit, or divide its samples by 8388608"),
        (1 << 31, "write it as 32 bit, or divide its samples by 2147483648"),
        (1e30, "it is damaged"),
    ],
)
def test_floats_in_the_units_of_whole_samples_are_told_with_their_peak(tmp_path, subtype, rate, scale, mend):
    wave = np.stack([0.1 * NOISE, 0 * NOISE], axis=1)  # one channel of them is enough
    wave[7_000, 0] = -0.9
    soundfile.write(tmp_path / "a.wav", scale * wave, rate, subtype=subtype)
    with pytest.raises(UsageError) as caught:
        read_recording(tmp_path / "a.wav")
    said = f"{tmp_path}/a.wav: holds samples up to {0.9 * scale:.6g}, where 1 is full scale; {mend}"
    assert str(caught.value) == said


def test_a_quiet_recording_in_such_units_is_known_by_its_whole_numbers(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.rint(NOISE), 16_000, subtype="FLOAT")
    peak = np.rint(np.abs(NOISE).max())
    assert 2 < peak < 16
    with pytest.raises(
        UsageError, match=f"samples up to {peak:g}, where 1 is full scale; write it as 16 bit"
    ):
        read_recording(tmp_path / "a.wav")


def test_floats_a_little_beyond_full_scale_are_clipped_and_told(tmp_path: Path):
    wave = 0.1 * NOISE
    wave[5] = 1.2
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
    recording = read_recording(tmp_path / "a.wav")
    np.testing.assert_array_equal(recording.samples, to_samples(wave.astype(np.float32)))
    assert recording.samples[5] == 32_767
    assert recording.oddities == ("beyond full scale in places, where it is clipped",)
    soundfile.write(tmp_path / "a.wav", NOISE, 16_000, subtype="FLOAT")
    assert read_recording(tmp_path / "a.wav").oddities == ("clipped, more than 0.1% of it at full scale",)


@pytest.mark.parametrize(("peak", "told"), [(1e-5, True), (1e-4, True), (1e-2, False)])
@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_24"])
def test_sound_that_hardly_moves_16_bits_is_told(tmp_path: Path, peak, told, subtype):
    wave = peak * np.sin(np.arange(8_000))
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype=subtype)
    recording = read_recording(tmp_path / "a.wav")
    if peak == 1e-5:
        assert recording.silent.startswith("silent from end to end, ")
        assert recording.oddities == ("silent from end to end",)
    else:
        assert recording.silent is None
        assert recording.oddities == ("hardly any sound in it, all of it within 8 steps of 16 bit",) * told


@pytest.mark.parametrize("rate", [16_000, 48_000])
@pytest.mark.parametrize(("value", "every"), [(0.0, "0"), (0.25, "the same")])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_recording_of_one_value_is_silent(tmp_path: Path, rate, value, every, channels):
    soundfile.write(tmp_path / "a.wav", np.full((8_000, channels), value), rate)
    recording = read_recording(tmp_path / "a.wav")
    assert (
        recording.silent == f"silent from end to end, every sample is {every}: delete it, or record it again"
    )
    assert recording.oddities == ("silent from end to end",)


def test_half_a_recording_of_zeros_and_an_offset_are_told(tmp_path: Path):
    wave = 0.1 * NOISE
    wave[:4_100] = 0
    soundfile.write(tmp_path / "a.wav", wave, 16_000)
    assert read_recording(tmp_path / "a.wav").oddities == ("zeros for more than half of it",)
    soundfile.write(tmp_path / "a.wav", 0.25 + 0.1 * NOISE, 16_000)
    assert read_recording(tmp_path / "a.wav").oddities == ("a DC offset that is greater than the sound",)
    soundfile.write(tmp_path / "a.wav", 0.05 + 0.1 * NOISE, 16_000)
    assert read_recording(tmp_path / "a.wav").oddities == ()


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_one_channel_is_that_channel_to_the_bit(tmp_path: Path, suffix: str, rate: int):
    both = np.random.default_rng(0).integers(-9_000, 9_000, (8_000, 2)).astype(np.int16)
    soundfile.write(tmp_path / f"both{suffix}", both, rate)
    for channel in (1, 2):
        soundfile.write(tmp_path / "one.wav", both[:, channel - 1], rate)
        found = read_recording(tmp_path / f"both{suffix}", channel=channel)
        np.testing.assert_array_equal(found.samples, read_recording(tmp_path / "one.wav").samples)
        assert found.changes[0] == f"reduced to channel {channel} of 2"
    assert (
        read_recording(tmp_path / "one.wav", channel=1).changes
        == read_recording(tmp_path / "one.wav").changes
    )


def test_a_channel_that_a_file_lacks_is_told(tmp_path: Path):
    for channels, has in ((1, "1 channel"), (2, "2 channels")):
        soundfile.write(tmp_path / "a.wav", np.stack([NOISE / 9] * channels, axis=1), 16_000)
        with pytest.raises(
            UsageError, match=f"a.wav: has {has}, no channel 3; choose another --channel, or mix"
        ):
            read_recording(tmp_path / "a.wav", channel=3)


def test_what_is_wrong_in_another_channel_does_not_matter(tmp_path: Path):
    wave = np.stack([0.1 * NOISE, np.full(8_000, np.nan)], axis=1)
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
    assert len(read_recording(tmp_path / "a.wav", channel=1).samples) == 8_000
    with pytest.raises(UsageError, match="not finite"):
        read_recording(tmp_path / "a.wav")


DEAD = "channel{} {} of {} silent, which makes the mix quieter; --channel {} reads one alone"
CANCEL = "its 2 channels cancel each other in the mix; --channel 1 reads one alone"


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
@pytest.mark.parametrize(
    ("factors", "told"),
    [
        ([1, 0], DEAD.format("", "2", 2, 1)),
        ([1e-4, 1], DEAD.format("", "1", 2, 2)),
        ([0, 1, 0, 0, 0, 1], DEAD.format("s", "1, 3, 4 …", 6, 2)),
        ([1, -0.9], CANCEL),
        ([1, 0.5], None),
        ([1, -0.1], None),
        ([1, 1, 1], None),
    ],
)
def test_silent_and_opposite_channels_are_told_unless_one_is_chosen(tmp_path, rate, subtype, factors, told):
    wave = 0.1 * np.outer(NOISE, factors)
    soundfile.write(tmp_path / "a.wav", wave, rate, subtype=subtype)
    recording = read_recording(tmp_path / "a.wav")
    assert recording.silent is None
    assert recording.oddities == ((told,) if told else ())
    live = 1 + int(np.argmax(np.abs(factors)))
    assert read_recording(tmp_path / "a.wav", channel=live).oddities == ()


def test_independent_channels_do_not_cancel(tmp_path: Path):
    wave = 0.1 * np.random.default_rng(0).normal(size=(8_000, 16))
    soundfile.write(tmp_path / "a.wav", wave, 16_000)
    assert read_recording(tmp_path / "a.wav").oddities == ()


def test_a_mix_that_cancels_to_nothing_says_which_option_helps(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.outer(NOISE, [1, -1]), 16_000, subtype="FLOAT")
    recording = read_recording(tmp_path / "a.wav")
    assert recording.silent == f"silent from end to end, {CANCEL}"
    assert recording.oddities == (CANCEL, "silent from end to end")


def test_nothing_is_said_while_reading(tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(44_100)] * 2, axis=1), 44_100)
    with caplog.at_level(logging.DEBUG):
        read_recording(tmp_path / "a.wav")
    assert not caplog.records
    assert not recwarn.list


def broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.{'flac' if kind == 'cut flac' else 'wav'}"
    good = tone(16_000)
    if kind == "missing":
        return path
    if kind == "folder":
        path.mkdir()
    elif kind == "not finite":
        soundfile.write(path, np.where(good > 0.49, np.nan, good), 16_000, subtype="FLOAT")
    elif kind == "no samples":
        soundfile.write(path, good[:0], 16_000)
    elif kind == "text":
        path.write_text("this is no sound")
    elif kind == "empty":
        path.touch()
    else:
        soundfile.write(path, good, 16_000)
        path.write_bytes(path.read_bytes()[: 30 if kind == "cut header" else 4001])
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "can't be opened"),
        ("folder", r"can't be opened \(Is a directory\)"),
        ("not finite", "not finite"),
        ("no samples", "no samples"),
        ("text", "can't be read as sound"),
        ("empty", "empty file"),
        ("cut wav", "truncated, 3957 of 16000 bytes"),
        ("cut flac", "can't be read as sound|truncated"),
        ("cut header", "can't be read as sound|no samples"),
    ],
)
def test_what_is_no_sound_is_told_in_one_sentence(tmp_path: Path, kind: str, reason: str):
    path = broken(tmp_path, kind)
    with pytest.raises(UsageError, match=reason) as caught:
        read_recording(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [1, 999, 800_000, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused(tmp_path: Path, rate: int):
    """One second of it would be hours, or nothing."""
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16_000), 16_000)
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UsageError, match=rf"a.wav: says {rate} Hz; 1000 to 768000 Hz can be read"):
        read_recording(path)


@pytest.mark.parametrize("place", [22, 24])
def test_a_header_of_no_channel_or_no_rate_is_told(tmp_path: Path, place: int):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16_000), 16_000)
    data = bytearray(path.read_bytes())
    data[place : place + 2] = bytes(2)
    path.write_bytes(data)
    with pytest.raises(
        UsageError, match=r"can't be read as sound \((Channel count is zero|its header lacks a rate)"
    ):
        read_recording(path)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 3), (44_100, 2), (8_000, 1), (96_000, 1)])
def test_blocks_are_the_whole_file_resampled_at_once_to_the_bit(tmp_path: Path, monkeypatch, rate, channels):
    monkeypatch.setattr("humtune.sounds.sound_file._BLOCK", 10_007)
    noise = np.random.default_rng(0).uniform(-1, 1, (3 * rate, channels))
    soundfile.write(tmp_path / "a.flac", noise, rate, subtype="PCM_16")
    with open_sound(tmp_path / "a.flac") as sound:
        blocks = list(sound.blocks())
    assert len(blocks) > 3
    wave, _ = soundfile.read(tmp_path / "a.flac", dtype="float64", always_2d=True)
    wave = wave.mean(axis=1) if rate == 16_000 else soxr.resample(wave.mean(axis=1), rate, 16_000)
    np.testing.assert_array_equal(np.concatenate(blocks), to_samples(wave))


@pytest.mark.parametrize("samples", [0, 2**36 - 1])
def test_a_flac_that_knows_its_length_only_roughly(tmp_path: Path, samples: int):
    """0: not known, as streams are written. The other is far too much: no memory is set aside for it."""
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(16_000), 16_000)
    data = bytearray(path.read_bytes())
    told = int.from_bytes(data[18:26], "big") >> 36 << 36 | samples
    data[18:26] = told.to_bytes(8, "big")
    path.write_bytes(data)
    if samples:
        with pytest.raises(UsageError, match=f"truncated, 8000 of {samples} samples are there"):
            read_recording(path)
    else:
        assert len(read_recording(path).samples) == 8_000


def test_a_streamed_file_of_unknown_length_is_whole(tmp_path: Path):
    path = tmp_path / "streamed.wav"
    soundfile.write(path, tone(16_000), 16_000)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(read_recording(path).samples) == 8_000


def test_what_is_not_finite_is_told_at_any_rate(tmp_path: Path):
    wave = tone(44_100)
    wave[5_000] = np.inf
    soundfile.write(tmp_path / "a.wav", wave, 44_100, subtype="FLOAT")
    with pytest.raises(UsageError, match="not finite"):
        read_recording(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("ending", "subtype", "codec"), [("mp3", "MPEG_LAYER_III", "mp3"), ("ogg", "VORBIS", "vorbis")]
)
def test_a_codec_that_takes_something_away_is_noted_once(
    tmp_path: Path, ending: str, subtype: str, codec: str
) -> None:
    """By the codec, whatever the file is called; flac gives all of it back."""
    wave = 0.1 * np.sin(np.arange(16_000))
    soundfile.write(tmp_path / f"a.{ending}", wave, 16_000, subtype=subtype)
    soundfile.write(tmp_path / "a.flac", wave, 16_000)
    (tmp_path / f"a.{ending}").rename(tmp_path / "a.wav")
    note = f"compressed ({codec}): what that took away can't be heard any more"
    assert read_recording(tmp_path / "a.wav").oddities == (note,)
    assert read_recording(tmp_path / "a.flac").oddities == ()
