"""Scorer: an exported model at work, with onnxruntime alone."""

from hashlib import sha256
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from humtune.errors import HumtuneError, UsageError, first_line
from humtune.runtime.info import MODEL, ModelInfo, read_info
from humtune.runtime.limits import Limits
from humtune.runtime.timeline import cut

INPUT, OUTPUT = "waveform", "score"  # names in the graph
_DESCRIBED = ("machine", "search", "trial", "score_type")  # in the graph as in model.json
_FATAL = 4  # onnxruntime's log level: what goes wrong comes as an exception too


class Scorer:
    """Says how anomalous a recording of one machine is. May be used by many threads at once."""

    def __init__(self, info: ModelInfo, model: bytes | Path, *, threads: int = 1) -> None:
        """Load a graph, from its bytes or its file; `threads` work on one recording, 0: all cores."""
        self.info, self.limits = info, Limits(info)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _FATAL
        try:
            # As bytes: it takes no path that isn't UTF-8.
            source = model if isinstance(model, bytes) else model.read_bytes()
            self.digest = sha256(source).hexdigest()[:16]  # tells one model from another of the same trial
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no common ancestor
            raise UsageError(f"{_name(model)}: onnxruntime can't load it ({first_line(error)})") from error
        graph = self._session.get_modelmeta().custom_metadata_map
        described = all(graph.get(key) == getattr(info, key) for key in _DESCRIBED)
        ends = [
            [end.name for end in ends] for ends in (self._session.get_inputs(), self._session.get_outputs())
        ]
        if not described or ends != [[INPUT], [OUTPUT]]:
            raise UsageError(f"{_name(model)}: not the model that its model.json describes; export it again")

    @classmethod
    def open(cls, folder: Path, *, threads: int = 1) -> Self:
        """Load a model folder that `humtune export` wrote; UsageError where it is none."""
        return cls(read_info(folder), folder / MODEL, threads=threads)

    def is_short(self, samples: int) -> bool:
        """Whether a recording of so many samples is shorter than the model's chunk, and will be repeated."""
        return samples < self.info.least_samples

    def score(self, waveform: NDArray[np.floating]) -> float:
        """The anomaly score of a recording [samples] in [-1, 1] at `info.sample_rate`; higher is stranger.

        All of it counts: the score of one longer than the model's window is its strangest window's.
        """
        windows = cut([_checked(waveform)], self.info.window_samples)
        return max(self.score_window(window) for _, window in windows)

    def score_window(self, waveform: NDArray[np.floating]) -> float:
        """What the graph gives of one window [samples], or of any sound as if it were one.

        Where it is shorter than one chunk it is repeated until it is long enough.
        """
        waveform = _checked(waveform)
        if self.is_short(len(waveform)):
            waveform = np.resize(waveform, self.info.least_samples)  # numpy's resize repeats
        try:
            (found,) = self._session.run([OUTPUT], {INPUT: waveform.astype(np.float32, copy=False)})
            score = float(np.asarray(found).item())
        except Exception as error:  # as above
            raise HumtuneError(f"onnxruntime can't score it ({first_line(error)})") from error
        if not np.isfinite(score):
            raise HumtuneError(f"the anomaly score became {score}")
        return score

    def decide(self, score: float, samples: int) -> bool:
        """Whether the score of a recording of so many samples says anomaly."""
        return self.limits.scale(samples).is_above(score)


def _checked(waveform: NDArray[np.floating]) -> NDArray[np.floating]:
    waveform = np.asarray(waveform)
    if waveform.ndim != 1 or not len(waveform) or not np.issubdtype(waveform.dtype, np.floating):
        raise UsageError(
            f"a waveform is one channel of floats in [-1, 1], got {waveform.dtype} {list(waveform.shape)}"
        )
    return waveform


def _name(model: bytes | Path) -> str:
    return "the model" if isinstance(model, bytes) else str(model)
