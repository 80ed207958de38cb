"""Short-time spectra in numpy: to and fro, in bands, and as an image. Scoring's page needs nothing more."""

import math
import struct
from itertools import pairwise
from zlib import compress, crc32

import numpy as np
from numpy.typing import NDArray

FRAME, HOP = 1024, 256  # samples
BANDS = 12  # of equal width on the mel scale
ROWS = 128  # of an image, of equal width on the mel scale
_FLOOR = 1e-12  # of power: silence
_COLOURS = ((8, 8, 32), (38, 50, 110), (20, 120, 130), (90, 180, 90), (250, 230, 90))  # quiet to loud

Complex = NDArray[np.complex128]
Array = NDArray[np.float64]


def spectra(wave: NDArray[np.floating]) -> Complex:
    """Spectra [T, F] of a waveform [n], of frames half a frame beyond both of its ends."""
    padded = np.pad(np.asarray(wave, np.float64), (FRAME, FRAME + (-len(wave)) % HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    return np.asarray(np.fft.rfft(frames * _window(), axis=1))


def waveform(found: Complex, samples: int) -> NDArray[np.float32]:
    """The waveform [samples] that such spectra are of, or the nearest where they are of none."""
    frames = np.fft.irfft(found, n=FRAME, axis=1) * _window()
    total = np.zeros((len(frames) - 1) * HOP + FRAME)
    weight = np.zeros_like(total)
    for i, frame in enumerate(frames):
        total[i * HOP : i * HOP + FRAME] += frame
        weight[i * HOP : i * HOP + FRAME] += _window() ** 2
    return (total / np.maximum(weight, 1e-3))[FRAME : FRAME + samples].astype(np.float32)


def band_edges(rate: int, bands: int = BANDS) -> Array:
    """The edges [bands + 1] of bands in Hz, from 0 to half the rate."""
    return np.asarray(700 * (10 ** (np.linspace(0, mel(rate / 2), bands + 1) / 2595) - 1))


def mel(hertz: float) -> float:
    """A frequency on the mel scale."""
    return 2595 * math.log10(1 + hertz / 700)


def band_bins(rate: int, bands: int = BANDS) -> list[slice]:
    """The bins of each band."""
    bins = np.rint(band_edges(rate, bands) * FRAME / rate).astype(int)
    bins[-1] = FRAME // 2 + 1
    return [slice(low, high) for low, high in pairwise(bins)]


def level(found: Complex) -> Array:
    """The mean power of spectra [T, F] in each bin, in dB [F]."""
    return np.asarray(10 * np.log10((np.abs(found) ** 2).mean(axis=0) + _FLOOR))


def image(found: Complex, rate: int, loudest: float, reach: float = 70.0) -> bytes:
    """A PNG of spectra [T, F], low frequencies below, on the mel scale: from `loudest` dB down by `reach`."""
    power = 10 * np.log10(np.abs(found) ** 2 + _FLOOR)
    edges = band_edges(rate, ROWS)
    middles = (edges[:-1] + edges[1:]) / 2 * FRAME / rate
    low = np.minimum(middles.astype(int), power.shape[1] - 2)
    share = middles - low
    rows = power[:, low] * (1 - share) + power[:, low + 1] * share
    values = np.clip((rows.T[::-1] - loudest + reach) / reach, 0, 1)
    return _png(np.rint(255 * values).astype(np.uint8))


def _window() -> Array:
    return np.sin(np.pi * (np.arange(FRAME) + 0.5) / FRAME) ** 2


def _png(values: NDArray[np.uint8]) -> bytes:
    """Values [rows, columns] in 256 colours."""
    rows, columns = values.shape
    stops = np.linspace(0, 255, len(_COLOURS))
    palette = np.stack([np.interp(np.arange(256), stops, channel) for channel in zip(*_COLOURS, strict=True)])
    lines = np.hstack([np.zeros((rows, 1), np.uint8), values]).tobytes()  # each without a filter
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0),
        b"PLTE": np.rint(palette.T).astype(np.uint8).tobytes(),
        b"IDAT": compress(lines, 6),
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc32(name + data))
        for name, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
