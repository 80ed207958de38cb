"""Sound that libsndfile doesn't read."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from humtune.config import SAMPLE_RATE
from humtune.errors import UsageError
from humtune.sounds.importing import import_folder
from humtune.sounds.sound_file import open_sound, read_recording


def encode(path: Path, wave: np.ndarray, *, rate: int = 48_000, codec: str = "aac") -> None:
    """Write samples [n, 2] in [-1, 1] as a phone does."""
    av = pytest.importorskip("av", reason="pip install av")
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "stereo", 256_000
        packed = np.ascontiguousarray(wave.astype(np.float32).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        size = stream.codec_context.frame_size
        cut = av.AudioResampler(format=stream.format.name, layout="stereo", rate=rate, frame_size=size)
        for part in (*cut.resample(frame), *cut.resample(None)):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))


@pytest.fixture
def wave() -> np.ndarray:
    """Three seconds of a rumble, the right channel at half the level."""
    time = np.arange(3 * 48_000) / 48_000
    tones = sum(0.1 * np.sin(2 * np.pi * f * time + f) for f in (110, 305, 771, 1402))
    return np.stack([tones, tones / 2], axis=1)


@pytest.mark.parametrize("suffix", [".m4a", ".mp4", ".mka", ".mov"])
def test_its_samples_are_those_that_were_encoded(suffix: str, wave: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / f"é a{suffix}"
    encode(path, wave)
    for channel, level in ((None, 0.75), (1, 1.0), (2, 0.5)):
        found = read_recording(path, 48_000, channel=channel).samples / 32_768
        lag = max(
            range(3000), key=lambda k: float(found[k : k + 90_000] @ wave[: len(found[k : k + 90_000]), 0])
        )
        cut = found[lag : lag + 90_000]
        assert np.abs(cut - level * wave[: len(cut), 0])[9000:].max() < 0.02  # the codec needs a while
    with open_sound(path) as sound:
        assert sound.seconds == pytest.approx(3, abs=0.1)
        assert sum(len(block) for block in sound.blocks()) == pytest.approx(
            3 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE
        )
        assert sound.changes == ("mixed down from 2 channels", "resampled from 48000 Hz to 16000 Hz")


def test_damage_is_told_in_a_line(wave: np.ndarray, tmp_path: Path) -> None:
    encode(tmp_path / "a.m4a", wave)
    whole = (tmp_path / "a.m4a").read_bytes()
    for name, data in (("cut", whole[: len(whole) // 2]), ("text", b"no sound at all" * 9), ("empty", b"")):
        path = tmp_path / f"{name}.m4a"
        path.write_bytes(data)
        with pytest.raises(UsageError, match=rf"{name}\.m4a: (can't be read as sound|an empty file)"):
            read_recording(path)


def test_a_folder_of_them_is_imported(wave: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "pump").mkdir()
    for i in range(5):
        encode(tmp_path / "pump" / f"monday_{i}.m4a", wave * (1 - i / 10))
    record = import_folder(tmp_path / "pump", tmp_path / "data").record
    assert (record.recordings("train"), record.left_out) == (5, ())
    assert "5 recordings: compressed (aac): what that took away can't be heard any more" in record.notes


def test_without_pyav_a_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.m4a").write_bytes(b"anything")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "av" else find(name))
    with pytest.raises(UsageError, match=r"a\.m4a: \.m4a needs PyAV.* pip install av,"):
        read_recording(tmp_path / "a.m4a")
