import numpy as np

from humtune.export import cost as module
from humtune.export.cost import RUNS, measure_cost


class Slow:
    """A scorer and its clock: the first clip takes long, as first ones do, and another one by chance."""

    TOOK = (9.0, 2.0, 3.0, 70.0, 1.0, 4.0)

    def __init__(self) -> None:
        self.now = 0.0
        self.info = type("Info", (), {"sample_rate": 16_000})()
        self.lengths: list[int] = []

    def score(self, waveform: np.ndarray) -> float:
        self.lengths.append(len(waveform))
        self.now += self.TOOK[len(self.lengths) - 1]
        return 0.0


def test_a_ten_second_clip_is_timed_without_the_first(monkeypatch):
    slow = Slow()
    monkeypatch.setattr(module, "perf_counter", lambda: slow.now)
    cost = measure_cost(slow, b"12345")
    assert (cost.size, cost.seconds) == (5, 3.0)
    assert slow.lengths == [160_000] * (RUNS + 1)
