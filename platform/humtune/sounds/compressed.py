"""Compressed sound that libsndfile doesn't read (m4a, aac, wma, the sound of a film …), by way of PyAV.

PyAV carries FFmpeg's libraries in its wheel, the same for every system; the program `ffmpeg` would have to be
installed beside humtune, in a version that nobody knows. As 100 MB they are an extra.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from humtune.errors import UsageError
from humtune.sounds.clip import is_sound

SUFFIXES = (
    *(".3gp", ".aac", ".ac3", ".amr", ".ape", ".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp2", ".mp4"),
    *(".webm", ".wma", ".wv"),
)


def is_compressed(path: Path) -> bool:
    """Whether a file's suffix is one that needs PyAV."""
    return path.suffix.lower() in SUFFIXES


def may_be_sound(path: Path) -> bool:
    """Whether a name is one of sound, of a kind that is read or that is refused with the reason."""
    return is_sound(path) or (is_compressed(path) and not path.name.startswith("."))


class CompressedFile:
    """The first sound track of a file, read from front to back; looks as a `soundfile.SoundFile` does."""

    subtype, extra_info = "DECODED", ""

    def __init__(self, path: Path) -> None:
        if importlib.util.find_spec("av") is None:
            raise UsageError(
                f"{path}: {path.suffix.lower()} needs PyAV, which is not installed; pip install av, "
                "or convert it to flac"
            )
        import av  # here: wav and flac do without

        self._path = path
        with self._naming():
            self._file = av.open(str(path))
        try:
            if not self._file.streams.audio:
                raise UsageError(f"{path}: holds no sound")
            self._stream = self._file.streams.audio[0]
            self.samplerate, self.channels = int(self._stream.rate), int(self._stream.channels)
        except BaseException:
            self._file.close()
            raise
        self.frames = 1 << 62  # as libsndfile puts for unknown: containers round a length
        self._to_float = av.AudioResampler(format="flt")  # interleaved float32; rate and channels stay
        self._decoded = self._decode()
        self._rest = np.empty((0, self.channels), np.float64)

    @property
    def lossy(self) -> str:
        """The codec, where it takes something away; of some (alac, ape) all comes back."""
        codec = self._stream.codec_context.codec
        return str(codec.name) if codec.lossy and not codec.lossless else ""

    @property
    def seconds(self) -> float | None:
        """About how long it is; None where its container doesn't say."""
        duration = self._file.duration  # microseconds
        return duration / 1e6 if duration else None

    def read(self, frames: int, **_: Any) -> NDArray[np.float64]:
        """The next so many frames [n, channels], fewer at its end; UsageError where it is damaged."""
        parts, found = [self._rest], len(self._rest)
        while found < frames and (part := next(self._decoded, None)) is not None:
            parts.append(part)
            found += len(part)
        joined = np.concatenate(parts)
        self._rest = joined[frames:]
        return joined[:frames]

    def _decode(self) -> Iterator[NDArray[np.float64]]:
        with self._naming():
            for frame in self._file.decode(self._stream):
                yield from map(self._array, self._to_float.resample(frame))
            yield from map(self._array, self._to_float.resample(None))

    def _array(self, frame: Any) -> NDArray[np.float64]:
        samples: NDArray[np.float64] = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
        if samples.shape[1] != self.channels:
            raise UsageError(f"{self._path}: its channels change in the middle; convert it to flac")
        return samples.astype(np.float64)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """What goes wrong with the file, in one sentence."""
        from av.error import FFmpegError

        try:
            yield
        except FFmpegError as error:
            raise UsageError(f"{self._path}: can't be read as sound ({error.strerror})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
