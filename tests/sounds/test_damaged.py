"""Files with damaged headers: read or told in one sentence, whatever is in them."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from humtune.errors import UsageError
from humtune.sounds.sound_file import open_sound

HEADER = 128  # bytes in which most changes fall
KINDS = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("FLAC", "PCM_16")]
BYTES = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
CHANGES = st.lists(st.tuples(st.integers(0, HEADER - 1) | st.integers(0, 4_000), BYTES), max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@cache
def whole(folder: Path, container: str, subtype: str) -> bytes:
    wave = 0.1 * np.random.default_rng(0).normal(size=2_000)
    soundfile.write(folder / "whole", wave, 16_000, format=container, subtype=subtype)
    return (folder / "whole").read_bytes()


def read(path: Path) -> int | str:
    """A file's samples, or what is told of it; anything else is an error."""
    try:
        with open_sound(path) as sound:
            return sum(map(len, sound.blocks()))
    except UsageError as error:
        return str(error)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, size=st.none() | st.integers(1, 4_000), extra=st.binary(max_size=40))
def test_damaged_files_are_read_or_told(folder, kind, changes, size, extra):
    data = bytearray(whole(folder, *kind))
    for position, value in changes:
        data[position % len(data)] = value
    path = folder / "damaged.wav"
    path.write_bytes(bytes(data[:size]) + extra)
    found = read(path)
    if isinstance(found, str):
        assert found.startswith(f"{path}: ")
        assert "\n" not in found
    else:
        assert 0 < found < 10**7


def test_undamaged_files_are_read(folder):
    for kind in KINDS:
        path = folder / "fine.wav"
        path.write_bytes(whole(folder, *kind))
        assert read(path) == 2_000
