"""Model: an exported model at work. It needs onnxruntime, and no torch, Ray, MLflow or pandas."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from humtune.api.outliers import Array, Outliers, Sound, one_by_one
from humtune.errors import UsageError
from humtune.runtime.explain import Explanation, explain
from humtune.runtime.healthy import Healthy, read_healthy
from humtune.runtime.info import MODEL, ModelInfo, read_info
from humtune.runtime.outcomes import Failed, Scored
from humtune.runtime.recordings import Listener
from humtune.runtime.scorer import Scorer
from humtune.runtime.sources import counted, find_recordings
from humtune.sounds.parallel import tracked
from humtune.sounds.sound_file import OpenSound, open_array, open_sound

if TYPE_CHECKING:
    from pandas import DataFrame

Samples = NDArray[np.floating] | NDArray[np.int16]  # [n] or [n, channels]


class Scores(list[Scored | Failed]):
    """What came of recordings, in their order: a score and a decision each, or why there is none."""

    @property
    def anomalies(self) -> list[Scored]:
        """Those above their limit, the strangest first."""
        found = [one for one in self if isinstance(one, Scored) and one.is_anomaly]
        return sorted(found, key=lambda one: -one.strangeness)

    @property
    def failed(self) -> list[Failed]:
        """Those that could not be scored."""
        return [one for one in self if isinstance(one, Failed)]

    def to_frame(self) -> "DataFrame":
        """A row each: file, score, limit, times_limit, anomaly, seconds, notes, error. Needs pandas."""
        from pandas import DataFrame

        columns = ["file", "score", "limit", "times_limit", "anomaly", "seconds", "notes", "error"]
        return DataFrame([one.to_dict() for one in self], columns=columns)

    def _repr_html_(self) -> str:
        rows = [
            (str(one.path), one.reason, "failed")
            if isinstance(one, Failed)
            else (str(one.path), one.level, "anomaly" if one.is_anomaly else "normal")
            for one in self
        ]
        return html_table(("file", "score", ""), rows)


class Model(Outliers):
    """The model of one machine that `humtune export` or `humtune learn` wrote into a folder.

    Takes sounds of any length and rate, as arrays or as files. May be used by many threads at once.
    """

    def __init__(self, folder: str | Path, info: ModelInfo, *, workers: int | None = None) -> None:
        """`load` is how to get one; `workers` threads score several files at a time, None: one a core."""
        self.folder, self.workers = Path(folder), workers
        self._take(info)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        false_alarms: float | None = None,
        window: float | None = None,
        workers: int | None = None,
    ) -> Self:
        """Load a model's folder; UsageError where it is none.

        `false_alarms` (0…1) asks for the limit of another rate than it was exported with, `window` for so
        many seconds to be scored at a time, which its limit then promises nothing about.
        """
        info = read_info(Path(folder)).with_threshold(false_alarms).with_window(window)
        return cls(folder, info, workers=workers)

    @property
    def machine(self) -> str:
        """Whose it is."""
        return self.info.machine

    @property
    def sample_rate(self) -> int:
        """The rate in Hz that it works at; sounds of other rates are resampled."""
        return self.info.sample_rate

    @property
    def limit(self) -> float:
        """The score above which a recording as long as those it was set by is an anomaly."""
        return self.info.threshold.value

    @overload
    def score(self, sound: Samples, rate: int) -> Scored: ...
    @overload
    def score(self, sound: str | Path | Iterable[str | Path]) -> Scores: ...
    def score(
        self, sound: Samples | str | Path | Iterable[str | Path], rate: int | None = None
    ) -> Scored | Scores:
        """Score samples at a rate in Hz, or files: one or several, folders of them, patterns.

        Samples are floats in [-1, 1] or int16, [n] or [n, channels]; they score as a file of them does, and a
        HumtuneError says why they can't be. Of files, one that can't be read is a `Failed` among the others.
        The score of a sound longer than the model's window is its strangest window's.
        """
        if hasattr(sound, "__array__"):  # a tensor too
            with self._open(sound, rate) as opened:
                return self._listener.score_sound(opened)
        words = [sound] if isinstance(sound, str | Path) else list(sound)
        if not all(isinstance(word, str | Path) for word in words):
            raise UsageError("score takes one array with its rate, or files; of several arrays score each")
        if rate is not None:
            raise UsageError(f"rate = {rate}: files say their own; leave it out")
        found, total = counted(find_recordings(map(str, words)))
        outcomes = self._listener.listen(found)
        return Scores(tracked(outcomes, total=total, title=f"scoring {self.machine}"))

    def explain(self, sound: Sound, rate: int | None = None) -> Explanation:
        """When and at which frequencies a sound is strange, by what the model says of it with parts healthy.

        Samples at a rate, as of `score`, or one file. Takes some 25 times as long as to score it.
        """
        if rate is not None and isinstance(sound, str | Path):
            raise UsageError(f"rate = {rate}: a file says its own; leave it out")
        with self._open(sound, rate) as opened:
            scored = self._listener.score_sound(opened)
        with self._open(sound, rate) as opened:
            samples = np.concatenate(list(opened.blocks()))
        return explain(samples, scored, self._scorer, self._healthy)

    def anomaly_scores(self, X: Iterable[Sound]) -> tuple[Array, Array]:
        """Anomaly scores [n] of files, or of samples at `sample_rate`, and the limit [n] of each."""
        found = []
        for sound in one_by_one(X):
            with self._open(sound, self.sample_rate) as opened:
                found.append(self._listener.score_sound(opened))
        return np.array([one.score for one in found]), np.array([one.scale.limit for one in found])

    def recalibrate(self, healthy: str | Path, *, false_alarms: float | None = None) -> tuple[Failed, ...]:
        """Set the limit by new healthy recordings in a folder, and keep it in the model's folder.

        `false_alarms` None: for the rate it had. The recordings that can't be read; HumtuneError where none
        can.
        """
        from humtune.runtime.recalibration import recalibrate

        info, failed = recalibrate(self.folder, Path(healthy), false_alarms=false_alarms)
        self._take(info)
        return failed

    def undo(self) -> None:
        """Take back the last `recalibrate`, or `humtune learn --continue`, in the model's folder."""
        from humtune.runtime.before import undo

        self._take(undo(self.folder))

    def __repr__(self) -> str:
        return f"Model({str(self.folder)!r}: {self.machine}, {self.info.trial} {self.info.score_type})"

    def _repr_html_(self) -> str:
        info, threshold = self.info, self.info.threshold
        rows: list[tuple[object, ...]] = [
            ("machine", info.machine),
            ("of", f"{info.search}: {info.trial}, {info.score_type}"),
            ("limit", f"{threshold.value:.4g}, for {threshold.false_alarms:.3g} false alarms"),
            ("scores", f"{info.window_samples / info.sample_rate:.3g} s at a time, {info.sample_rate} Hz"),
            *((name, f"{value:.3f}") for name, value in info.metrics.items()),
        ]
        return html_table(("", str(self.folder)), rows)

    @cached_property
    def _healthy(self) -> list[Healthy]:
        return read_healthy(self.folder, self.sample_rate)

    def _take(self, info: ModelInfo) -> None:
        self.info, self._scorer = info, Scorer(info, self.folder / MODEL)
        self.__dict__.pop("_healthy", None)

    @property
    def _listener(self) -> Listener:
        return Listener(self._scorer, workers=self.workers)  # each use ends by itself

    def _open(self, sound: Any, rate: int | None) -> AbstractContextManager[OpenSound]:
        if isinstance(sound, str | Path):
            return open_sound(Path(sound), self.sample_rate, channel=self.info.channel)
        if rate is None:
            raise UsageError("an array doesn't say its rate: give it, in Hz, as score(array, rate)")
        return open_array(sound, rate, self.sample_rate, channel=self.info.channel)


def html_table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table for a notebook."""

    def line(cells: Iterable[object], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
