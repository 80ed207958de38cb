"""Spectra to and fro, in bands and as images."""

import io

import numpy as np
import pytest

from humtune.runtime.spectrum import BANDS, FRAME, band_bins, band_edges, image, level, spectra, waveform

RATE = 16_000


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


@pytest.mark.parametrize("samples", [1, 255, 1_000, 16_000, 20_001])
def test_what_is_taken_apart_is_put_together_again(samples):
    wave = np.random.default_rng(0).normal(size=samples)
    np.testing.assert_allclose(waveform(spectra(wave), samples), wave, atol=1e-5)


def test_bands_are_all_bins_once_and_wider_above():
    bins = [b for own in band_bins(RATE) for b in range(own.start, own.stop)]
    assert bins == list(range(FRAME // 2 + 1))
    edges = band_edges(RATE)
    assert (len(edges), edges[0], edges[-1]) == (BANDS + 1, 0, pytest.approx(8_000))
    assert (np.diff(np.diff(edges)) > 0).all()


def test_the_level_of_a_tone_is_highest_in_its_bin():
    assert abs(level(spectra(tone(3_000))).argmax() - 3_000 * FRAME / RATE) < 1


def test_an_image_is_a_png_with_the_loud_rows_bright():
    from matplotlib.image import imread

    found = spectra(tone(1_000))
    pixels = imread(io.BytesIO(image(found, RATE, loudest=level(found).max())), format="png")
    assert pixels.shape[1] == len(found)
    brightness = pixels[..., :3].sum(axis=2).mean(axis=1)
    edges = band_edges(RATE, len(pixels))[::-1]  # high frequencies above
    row = int(brightness.argmax())
    assert edges[row + 1] < 1_050
    assert edges[row] > 950
