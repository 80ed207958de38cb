"""A finished graph is checked and timed.

The check is asked about graphs that are wrong; that right ones pass is seen in test_search.
"""

import numpy as np
import pytest

from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram
from humtune.errors import HumtuneError
from humtune.export import check as module
from humtune.export.check import LEDGER_TOLERANCE, RUNS, TOLERANCE, check_parity, clip_cost
from humtune.export.graph import Member

CLIPS = np.arange(12, 16)


class Graph:
    """A scorer that answers with the scores it was given."""

    def __init__(self, scores) -> None:
        self.scores = list(scores)
        self.info = type("Info", (), {"machine": "fan", "trial": "fan-00002", "score_type": "nll"})()

    def score_window(self, waveform) -> float:
        return self.scores.pop(0)


@pytest.fixture(scope="module")
def detector(make_detector):
    spectrogram = Spectrogram(n_fft=512, chunk_frames=32, n_mels=32)
    return make_detector(Classifier(spectrogram=spectrogram, backbone=MobileFaceNet(width=0.125)))


@pytest.fixture(scope="module")
def wanted(detector, noises):
    return detector.score(detector.encode(noises, CLIPS))["nll"]


def check(detector, noises, graph, recorded, spread):
    return check_parity(
        Graph(graph), [Member(detector, "nll")], noises, CLIPS, recorded=recorded, spread=spread
    )


@pytest.mark.parametrize("off", [2 * TOLERANCE, 1.0, np.nan])
def test_a_graph_that_says_something_else_is_refused_with_the_figures(detector, noises, wanted, off):
    spread = 10.0
    graph = wanted + np.array([0, 0, off * spread, 0])
    with pytest.raises(HumtuneError, match=r"fan, fan-00002: the ONNX model's nll scores are up to .* away"):
        check(detector, noises, graph, wanted, spread)


@pytest.mark.parametrize("off", [2 * LEDGER_TOLERANCE, np.nan])
def test_weights_that_did_not_make_the_recorded_scores_are_refused(detector, noises, wanted, off):
    with pytest.raises(HumtuneError, match="fan-00002: its weights give nll scores up to"):
        check(detector, noises, wanted, wanted + np.array([off, 0, 0, 0]), 1.0)


def test_the_largest_difference_is_told_in_spreads(detector, noises, wanted):
    found = check(detector, noises, wanted + np.array([0, -3e-4, 1e-4, 0]), wanted + 0.04, 1.0)
    assert found == pytest.approx(3e-4, rel=1e-3)


def test_scores_that_hardly_vary_are_compared_as_far_as_float32_goes(detector, noises, wanted):
    rounding = 1e-7 * np.abs(wanted).max()
    assert check(detector, noises, wanted + rounding, wanted, 1e-9) > 1
    assert check(detector, noises, wanted, wanted, 0.0) == 0
    with pytest.raises(HumtuneError, match="the ONNX model's"):
        check(detector, noises, wanted + 100 * rounding, wanted, 1e-9)


class Slow:
    """A session and its clock: the first clip takes long, as first ones do, and another one by chance."""

    TOOK = (9.0, 2.0, 3.0, 70.0, 1.0, 4.0)

    def __init__(self) -> None:
        self.now = 0.0
        self.lengths: list[int] = []

    def run(self, _: object, given: dict[str, np.ndarray]) -> None:
        (waveform,) = given.values()
        self.lengths.append(len(waveform))
        self.now += self.TOOK[len(self.lengths) % len(self.TOOK) - 1]


@pytest.fixture
def slow(monkeypatch):
    found = Slow()
    monkeypatch.setattr(module, "thread_time", lambda: found.now)
    monkeypatch.setattr(module.onnxruntime, "InferenceSession", lambda *_, **__: found)
    return found


def test_a_ten_second_clip_is_timed_without_the_first(slow):
    cost = clip_cost(b"12345", 160_000)
    assert (cost.size, cost.seconds) == (5, 3.0)
    assert slow.lengths == [160_000] * (RUNS + 1)


def test_a_clip_longer_than_the_window_is_timed_in_windows_and_a_shorter_one_filled(slow):
    clip_cost(b"12345", 80_000)
    assert slow.lengths == [80_000] * 3 * (RUNS + 1)  # half over each other
    slow.lengths.clear()
    clip_cost(b"12345", 200_000)
    assert slow.lengths == [200_000] * (RUNS + 1)
