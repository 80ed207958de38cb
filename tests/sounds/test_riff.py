"""Wav files that hold more than their header promises: sound is read, all else is left alone."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from humtune.sounds.riff import longer_sizes
from humtune.sounds.sound_file import read_recording

SAMPLES = np.random.default_rng(0).integers(-9_000, 9_000, 16_000).astype(np.int16)
LONGER = "its header promises less sound than there is, which was read to its end"
CHUNK = b"LIST" + struct.pack("<I", 4) + b"INFO"


def wav(path: Path, samples: np.ndarray = SAMPLES, **how) -> bytearray:
    """A wav file's bytes, the sound from 44 on where it is a plain one."""
    soundfile.write(path, samples, 16_000, **({"format": "WAV", "subtype": "PCM_16"} | how))
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("promised", [0, 2, 9_001, 16_000, 32_000 - 4_096])
@pytest.mark.parametrize("riff", [0, 36, 32_036])
def test_a_header_that_is_behind_its_file_is_read_to_the_end(tmp_path: Path, promised: int, riff: int):
    path = tmp_path / "a.wav"
    data = wav(path)
    data[4:8], data[40:44] = struct.pack("<I", riff), struct.pack("<I", promised)
    path.write_bytes(data)
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.samples, SAMPLES)
    assert recording.oddities == (LONGER,)


@pytest.mark.parametrize(
    ("how", "size", "kind"),
    [
        ({"endian": "BIG"}, slice(40, 44), ">I"),
        ({"format": "WAVEX", "subtype": "PCM_24"}, None, "<I"),
        ({"format": "RF64"}, slice(28, 36), "<Q"),
        ({"subtype": "FLOAT"}, None, "<I"),
        ({"subtype": "ULAW"}, None, "<I"),
    ],
)
def test_of_every_kind_of_wav(tmp_path: Path, how, size, kind):
    path = tmp_path / "a.wav"
    data = wav(path, SAMPLES / 32_768, **how)
    expected = read_recording(path).samples
    begin = data.index(b"data") + 4
    size = size or slice(begin, begin + 4)
    (whole,) = struct.unpack(kind, data[size])
    assert whole == len(data) - (data.index(b"data") + 8)
    for promised in (0, whole // 24 * 12):
        data[size] = struct.pack(kind, promised)
        path.write_bytes(data)
        recording = read_recording(path)
        np.testing.assert_array_equal(recording.samples, expected)
        assert recording.oddities == (LONGER,)


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        CHUNK,
        CHUNK + b"bext" + struct.pack("<I", 602) + bytes(602),
        b"cue " + struct.pack("<I", 60_000) + bytes(100),  # cut off
        b"abcd" + struct.pack("<I", 9_000) + SAMPLES.tobytes()[:9_000],  # nobody knows it
        b"TAG" + b"\x90" * 9_000,
        b"ID3\x03\x00" + b"\x90" * 9_000,
        bytes(40_000),
        b"\xff" * 4_000,
    ],
    ids=["nothing", "LIST", "two", "cut", "unknown", "id3v1", "id3v2", "zeros", "little"],
)
@pytest.mark.parametrize("odd", [0, 1])
def test_what_is_no_sound_behind_the_sound_is_left_alone(tmp_path: Path, behind: bytes, odd: int):
    """Of an odd number of bytes too: 8 bit, padded as it should be, or not."""
    path = tmp_path / "a.wav"
    samples = SAMPLES[: len(SAMPLES) - odd]
    whole = wav(path, samples, subtype="PCM_U8" if odd else "PCM_16")
    expected = read_recording(path).samples
    contents = [whole + behind] + ([whole[:-1] + behind] if odd and len(whole) % 2 == 0 else [])
    for content in contents:
        path.write_bytes(content)
        assert longer_sizes(path) == {}
        recording = read_recording(path)
        np.testing.assert_array_equal(recording.samples, expected)
        assert recording.oddities == ()


def test_a_wav_without_sound_holds_none_whatever_chunks_are_behind(tmp_path: Path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(path, SAMPLES[:0]) + CHUNK)
    assert longer_sizes(path) == {}


@pytest.mark.parametrize("kind", ["FLAC", "W64", "AIFF", "AU", "OGG"])
def test_what_is_no_wav_is_left_alone(tmp_path: Path, kind: str):
    path = tmp_path / "a.wav"
    subtype = "VORBIS" if kind == "OGG" else "PCM_16"
    path.write_bytes(wav(path, format=kind, subtype=subtype) + b"\x91" * 9_000)
    assert longer_sizes(path) == {}


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVE" + bytes(5_000)])
def test_half_a_header_is_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert longer_sizes(path) == {}
