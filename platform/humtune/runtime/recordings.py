"""Score recordings of any length: those that can't be read are named, the rest is scored."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from humtune.errors import HumtuneError
from humtune.metrics.calibration import decide
from humtune.runtime.outcomes import Failed, Look, Scored
from humtune.runtime.scorer import Scorer
from humtune.runtime.timeline import Timeline, count_windows, cut
from humtune.sounds.parallel import cores, in_order, tracked
from humtune.sounds.sound_file import OpenSound, open_sound, to_waveform

_AT_ONCE = 16  # windows for each worker


class Listener:
    """Scores the recordings of one machine, several at a time, and the windows of a long one too."""

    def __init__(self, scorer: Scorer, *, workers: int | None = None) -> None:
        """`workers` threads; None: one a core."""
        self.scorer, self.workers = scorer, workers or cores()
        self.rate, self.size = scorer.info.sample_rate, scorer.info.window_samples
        self._long = Lock()  # one long recording at a time: its windows keep all cores busy
        self._ended = Event()

    def listen(self, found: Iterable[Path | Failed]) -> Iterator[Scored | Failed]:
        """What comes of recordings, in their order, each as soon as it and those before it are scored."""
        self._ended = Event()
        return in_order(self.score, found, workers=self.workers, ended=self._ended)

    def score(self, path: Path | Failed) -> Scored | Failed:
        """What comes of one recording."""
        if isinstance(path, Failed):
            return path
        look = Look.at(path)
        try:
            with open_sound(path, self.rate, channel=self.scorer.info.channel) as sound:
                return replace(self.score_sound(sound), look=look)
        except HumtuneError as error:
            passing = isinstance(error.__cause__, OSError)  # no permission, a share that is away
            return Failed(path, str(error).removeprefix(f"{path}: "), None if passing else look)
        except MemoryError:
            return Failed(path, "there is not enough memory for it")

    def score_sound(self, sound: OpenSound) -> Scored:
        """Score and decision of an open sound; HumtuneError where it can't be read to its end."""
        count, notes = 0, list[str]()

        def blocks() -> Iterator[NDArray[np.int16]]:
            nonlocal count
            for block in sound.blocks():
                count += len(block)
                yield block

        windows = cut(blocks(), self.size)
        start, samples = next(windows)
        timeline = None
        if len(samples) < count:
            with self._long:
                starts, scores = self._in_windows(sound, chain([(start, samples)], windows))
            score, window = float(scores.max()), self.size / self.rate
            above = decide(scores, self.scorer.limits.scale(count).limit)
            timeline = Timeline(starts, scores, window, above)
            notes.append(f"scored in windows of {window:g} s")
        else:
            score = self.scorer.score_window(to_waveform(samples))
            if self.scorer.is_short(len(samples)):
                least = self.scorer.info.least_samples / self.rate
                notes.append(f"repeated to the model's shortest, {least:.2f} s")
        return Scored(
            path=sound.path,
            score=score,
            scale=self.scorer.limits.scale(count),
            seconds=count / self.rate,
            notes=(*sound.changes, *sound.oddities(), *notes),
            timeline=timeline,
        )

    def _in_windows(
        self, sound: OpenSound, windows: Iterator[tuple[int, NDArray[np.int16]]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Starts [W] in seconds and scores [W] of a long recording's windows."""
        found: list[tuple[int, float]] = []
        with ThreadPoolExecutor(self.workers) as pool:
            scores = self._scores(pool, windows)
            for one in tracked(scores, total=self._count(sound), title=f"windows of {sound.path.name}"):
                found.append(one)
        starts, values = map(np.array, zip(*found, strict=True))
        return starts / self.rate, values

    def _scores(
        self, pool: ThreadPoolExecutor, windows: Iterator[tuple[int, NDArray[np.int16]]]
    ) -> Iterator[tuple[int, float]]:
        while some := list(islice(windows, _AT_ONCE * self.workers)):
            if self._ended.is_set():
                raise HumtuneError("left before its end")
            yield from pool.map(lambda own: (own[0], self.scorer.score_window(to_waveform(own[1]))), some)

    def _count(self, sound: OpenSound) -> int | None:
        if sound.frames is None:
            return None
        return count_windows(sound.frames * self.rate // sound.rate, self.size)
