"""From samples to spectrograms: what is cut out of the samples is a slice of the whole clip's spectrogram."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from humtune.config import SAMPLE_RATE
from humtune.detectors.encoder import equispaced_starts, random_starts
from humtune.detectors.frontends import (
    Spectrogram,
    empty_mels,
)

SHAPES = [(128, 16), (400, 40), (1024, 128)]  # n_fft, mel filters
HOPS = (None, 64, 97)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3000, samples).astype(np.int16)


def torchaudio_spectrogram(clip: np.ndarray, spectrogram: Spectrogram) -> torch.Tensor:
    """The whole clip's centred spectrogram [bins, T], as torchaudio makes it."""
    transform = torchaudio.transforms.Spectrogram(spectrogram.n_fft, hop_length=spectrogram.hop)
    power = transform(torch.from_numpy(clip / 32_768).float())
    if spectrogram.n_mels:
        limits = {"f_min": spectrogram.f_min, "f_max": spectrogram.f_max}
        power = torchaudio.transforms.MelScale(
            spectrogram.n_mels, SAMPLE_RATE, n_stft=spectrogram.n_fft // 2 + 1, **limits
        )(power)
    return 10 * power.clamp(min=1e-10).log10() if spectrogram.db else power


def close(found: torch.Tensor, wanted: torch.Tensor, spectrogram: Spectrogram) -> None:
    """Equal within float32's rounding of the loudest frame."""
    if spectrogram.db:
        torch.testing.assert_close(found, wanted, rtol=0, atol=2e-3)
    else:
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6 * float(wanted.max()))


@pytest.mark.parametrize("db", [True, False])
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize(("n_fft", "mels"), SHAPES)
def test_a_whole_clip_gives_torchaudios_centred_spectrogram(
    n_fft: int, mels: int, linear: bool, db: bool
) -> None:
    spectrogram = Spectrogram(n_fft=n_fft, chunk_frames=16, n_mels=None if linear else mels, db=db)
    clip = noise(16_001)
    found = spectrogram.build().whole(torch.from_numpy(clip)[None])
    assert found.shape == (spectrogram.bins, spectrogram.frames(len(clip)))
    close(found, torchaudio_spectrogram(clip, spectrogram), spectrogram)


@pytest.mark.parametrize(
    ("hop", "f_min", "f_max"), [(160, 0.0, 8000.0), (97, 50.0, 7800.0), (400, 0.0, 4000.0)]
)
def test_hop_and_limits_are_torchaudios(hop: int, f_min: float, f_max: float) -> None:
    spectrogram = Spectrogram(n_fft=400, hop=hop, chunk_frames=16, n_mels=40, f_min=f_min, f_max=f_max)
    clip = noise(16_001)
    found = spectrogram.build().whole(torch.from_numpy(clip)[None])
    assert found.shape == (40, 1 + 16_001 // hop)
    close(found, torchaudio_spectrogram(clip, spectrogram), spectrogram)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hop": 300}, "hop must be n_fft = 256 or less, got 300"),
        (
            {"hop": 8, "chunk_frames": 16},
            "chunk_frames must be 18 or more with n_fft = 256 and hop = 8, got 16",
        ),
        ({"f_min": 900, "f_max": 800}, "f_min must be below f_max = 800, got 900"),
        ({"n_mels": None, "f_max": 4000}, "f_min and f_max bound mel filters, and n_mels = null has none"),
    ],
)
def test_what_no_spectrogram_can_be_made_of_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Spectrogram(n_fft=256, **wrong)


def test_the_shortest_clip_of_the_shortest_chunk_has_a_spectrogram() -> None:
    spectrogram = Spectrogram(n_fft=256, hop=8, chunk_frames=18, n_mels=None)
    clip = noise(17 * 8)
    assert spectrogram.frames(len(clip)) == 18
    found = spectrogram.build().spectrogram(torch.from_numpy(spectrogram.cut(clip, 0))[None])[0]
    close(found, torchaudio_spectrogram(clip, spectrogram), spectrogram)


@settings(deadline=None, max_examples=80)
@given(
    shape=st.sampled_from(SHAPES),
    hop=st.sampled_from(HOPS),
    linear=st.booleans(),
    db=st.booleans(),
    chunk_frames=st.integers(16, 40),
    more_samples=st.integers(0, 9_000),
    place=st.floats(0, 1),
)
@example(shape=(400, 40), hop=None, linear=True, db=True, chunk_frames=16, more_samples=0, place=0.0)
@example(shape=(1024, 128), hop=97, linear=False, db=True, chunk_frames=17, more_samples=5_001, place=0.0)
@example(shape=(128, 16), hop=64, linear=False, db=False, chunk_frames=17, more_samples=5_001, place=1.0)
@example(shape=(400, 40), hop=64, linear=True, db=False, chunk_frames=33, more_samples=4_999, place=0.5)
def test_a_cut_chunk_is_a_slice_of_the_whole_clips_spectrogram(
    shape: tuple[int, int],
    hop: int | None,
    linear: bool,
    db: bool,
    chunk_frames: int,
    more_samples: int,
    place: float,
) -> None:
    n_fft, mels = shape
    spectrogram = Spectrogram(
        n_fft=n_fft, hop=hop, chunk_frames=chunk_frames, n_mels=None if linear else mels, db=db
    )
    clip = noise(
        (chunk_frames - 1) * spectrogram.hop_samples + more_samples
    )  # the shortest has just one chunk
    whole = torchaudio_spectrogram(clip, spectrogram)
    assert whole.shape[1] == spectrogram.frames(len(clip))
    start = round(place * (whole.shape[1] - chunk_frames))
    chunk = spectrogram.cut(clip, start)
    assert chunk.shape == (spectrogram.chunk_samples,)
    assert chunk.dtype == np.int16
    found = spectrogram.build().spectrogram(torch.from_numpy(chunk)[None])[0]
    close(found, whole[:, start : start + chunk_frames], spectrogram)


def test_in_a_test_quiet_bins_beside_a_loud_tone_are_exact() -> None:
    """float32's rounding of the tone would drown them: they lie 130 dB below it."""
    spectrogram = Spectrogram(n_fft=1024, chunk_frames=16, n_mels=None)
    time = np.arange(spectrogram.chunk_samples)
    clip = (20_000 * np.sin(2 * np.pi * time / 16)).astype(np.int16)
    frames = np.lib.stride_tricks.sliding_window_view(clip / 32_768, 1024)[::512]
    window = torch.hann_window(1024).double().numpy()
    power = np.abs(np.fft.rfft(frames * window).T) ** 2
    wanted = 10 * np.log10(np.maximum(power, 1e-10))
    frontend = spectrogram.build().eval()
    found = frontend.spectrogram(torch.from_numpy(clip)[None])[0]
    assert found.dtype == torch.float32
    assert wanted.max() - wanted.min() > 130
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-4)


def test_int16_and_float_samples_give_the_same_spectrogram() -> None:
    frontend = Spectrogram(n_fft=256, chunk_frames=32, n_mels=32).build()
    samples = torch.from_numpy(noise(2 * 8_320).reshape(2, -1))
    [whole], [scaled] = frontend(samples), frontend(samples.float() / 32_768)
    assert torch.equal(whole, scaled)
    one = samples[:1]
    assert torch.equal(frontend.whole(one), frontend.whole(one.float() / 32_768))


@pytest.mark.parametrize("db", [True, False])
def test_a_clips_spectrogram_does_not_depend_on_its_batch(db: bool) -> None:
    frontend = Spectrogram(n_fft=256, chunk_frames=32, n_mels=32, db=db).build()
    quiet, loud = torch.from_numpy(noise(8_320) // 1000), torch.from_numpy(noise(8_320, seed=1) * 3)
    frontend.fit([torch.stack([quiet, loud])])
    [both], [alone] = frontend(torch.stack([loud, quiet])), frontend(quiet[None])
    torch.testing.assert_close(both[1:], alone)


@pytest.mark.parametrize(
    ("n_fft", "mels", "f_min", "f_max"),
    [(256, 256, 0.0, 8000.0), (128, 128, 0.0, 8000.0), (512, 512, 0.0, 8000.0), (512, 256, 910.0, 2990.0)],
)
def test_empty_mel_filters_are_counted_in_silence(n_fft: int, mels: int, f_min: float, f_max: float) -> None:
    limits = {"f_min": f_min, "f_max": f_max}
    spectrogram = Spectrogram(n_fft=n_fft, chunk_frames=16, n_mels=mels, **limits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        count = empty_mels(spectrogram)
        spectrogram.build()
    with pytest.warns(UserWarning, match="mel filterbank"):
        scale = torchaudio.transforms.MelScale(mels, SAMPLE_RATE, n_stft=n_fft // 2 + 1, **limits)
    assert count == int((scale.fb.sum(dim=0) == 0).sum())
    assert 0 < count < mels / 2


def test_toycars_256_filters_over_129_bins_leave_about_75_empty() -> None:
    assert abs(empty_mels(Spectrogram()) - 75) <= 3


def test_wide_filters_and_linear_bins_are_never_empty() -> None:
    assert empty_mels(Spectrogram(n_fft=1024, n_mels=64)) == 0
    assert empty_mels(Spectrogram(n_fft=128, n_mels=None)) == 0


@pytest.mark.parametrize("db", [True, False])
def test_fit_brings_rows_to_mean_0_and_deviation_1_and_silent_rows_to_0(db: bool) -> None:
    spectrogram = Spectrogram(n_fft=128, chunk_frames=32, n_mels=128, db=db)
    frontend = spectrogram.build()
    batches = [torch.from_numpy(noise(n * 4_000, seed=n).reshape(n, -1)) for n in (3, 5, 1)]
    frontend.fit(batches)
    rows = torch.cat([frontend(b)[0][:, 0] for b in batches]).double().transpose(0, 1).flatten(1)
    silent = frontend.mel.sum(dim=0) == 0
    assert 0 < int(silent.sum()) == empty_mels(spectrogram)
    assert rows[silent].abs().max() == 0
    torch.testing.assert_close(rows.mean(dim=1), torch.zeros(128).double(), rtol=0, atol=1e-4)
    deviation = rows[~silent].std(dim=1, correction=0)
    torch.testing.assert_close(deviation, torch.ones_like(deviation), rtol=0, atol=1e-4)


def test_fit_does_not_depend_on_how_the_clips_are_batched() -> None:
    clips = torch.from_numpy(noise(6 * 4_000).reshape(6, -1))
    one, many = (Spectrogram(n_fft=128, n_mels=None).build() for _ in range(2))
    one.fit([clips])
    many.fit(clips.split(1))
    torch.testing.assert_close(one.mean, many.mean)
    torch.testing.assert_close(one.std, many.std)


def test_random_starts_reach_both_ends_of_every_clip_and_no_farther() -> None:
    rng = np.random.default_rng(0)
    frames = np.array([16, 17, 20], dtype=np.int64)
    drawn = np.stack([random_starts(frames, 16, rng) for _ in range(400)])
    for clip, last in enumerate(frames - 16):
        values, counts = np.unique(drawn[:, clip], return_counts=True)
        assert values.tolist() == list(range(last + 1))
        assert counts.min() > 0.6 * 400 / (last + 1)  # uniform


@given(frames=st.integers(16, 3000), chunk_frames=st.integers(16, 1024), chunks=st.integers(2, 9))
def test_equispaced_starts_go_from_the_first_to_the_last_frame(
    frames: int, chunk_frames: int, chunks: int
) -> None:
    chunk_frames = min(chunk_frames, frames)
    starts = equispaced_starts(frames, chunk_frames, chunks)
    assert len(starts) == chunks
    assert starts[0] == 0
    assert starts[-1] == frames - chunk_frames
    assert np.ptp(np.diff(starts)) <= 1


def test_a_single_chunk_starts_at_the_first_frame() -> None:
    assert equispaced_starts(100, 16, 1) == [0]
