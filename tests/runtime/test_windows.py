import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humtune.runtime.windows import LONG, cut


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
    if len(whole) <= LONG * size:
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
