import time

import numpy as np

from humtune.export.cost import RUNS, measure_cost


class Sleeper:
    """A scorer whose first clip takes long, as a first one does."""

    def __init__(self) -> None:
        self.info = type("Info", (), {"sample_rate": 16_000})()
        self.lengths: list[int] = []

    def score(self, waveform: np.ndarray) -> float:
        self.lengths.append(len(waveform))
        time.sleep(0.005 if len(self.lengths) > 1 else 0.2)
        return 0.0


def test_a_ten_second_clip_is_timed_without_the_first():
    sleeper = Sleeper()
    cost = measure_cost(sleeper, b"12345")
    assert cost.size == 5
    assert 0.005 <= cost.seconds < 0.2
    assert sleeper.lengths == [160_000] * (RUNS + 1)
