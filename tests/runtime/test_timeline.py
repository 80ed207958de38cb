"""Windows of long recordings, and their scores over time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humtune.runtime.timeline import Timeline, clock, cut, stretches


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=20),
    size=st.integers(2, 16),
)
def test_windows_cover_every_sample_whatever_the_blocks(lengths, size):
    whole = np.arange(sum(lengths), dtype=np.int16)
    blocks = np.split(whole, np.cumsum(lengths)[:-1])
    windows = list(cut(blocks, size))
    for start, samples in windows:
        np.testing.assert_array_equal(samples, whole[start : start + len(samples)])
    if len(whole) <= size:
        assert [(start, len(samples)) for start, samples in windows] == [(0, len(whole))]
    else:
        starts = [start for start, _ in windows]
        assert {len(samples) for _, samples in windows} == {size}
        assert starts[0] == 0
        assert starts[-1] == len(whole) - size
        steps = np.diff(starts)
        assert (steps[:-1] == size // 2).all()
        assert 0 < steps[-1] <= size // 2 + size % 2


def test_memory_does_not_grow_with_the_recording():
    taken = 0

    def blocks():
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros(1_000, np.int16)

    windows = cut(blocks(), 10_000)
    for _ in range(50):
        next(windows)
    assert taken * 1_000 == pytest.approx(50 * 5_000, abs=20_000)


def timeline(*scores: float) -> Timeline:
    values = np.array(scores)
    return Timeline(np.arange(len(values)) * 5.0, values, 10.0, values > 1)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0, 0), []),
        ((2, 2), [(0, 15)]),
        ((0, 2, 0, 2, 3), [(5, 15), (15, 30)]),
        ((2,), [(0, 10)]),
    ],
)
def test_stretches_reach_from_the_first_window_above_to_the_end_of_the_last(scores, expected):
    assert list(stretches(timeline(*scores))) == expected


def test_time_is_told_as_on_a_clock():
    assert [clock(s) for s in (0, 59.6, 245, 3_845)] == ["0:00", "1:00", "4:05", "1:04:05"]
