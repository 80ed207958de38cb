import numpy as np
import pytest

from humtune.runtime.timeline import clock, picture, stretches
from humtune.runtime.windows import Timeline


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


def test_the_picture_shows_score_threshold_and_what_lies_above(monkeypatch):
    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: drawn.append(figure))
    picture(timeline(0, 2, 3, 0, 0, 2), "long.wav", 1.0)
    (axes,) = drawn[0].axes
    assert axes.get_title(loc="left") == "long.wav: 3 of 6 windows above the threshold"
    line, threshold = axes.lines
    np.testing.assert_array_equal(line.get_xydata()[:3], [(5, 0), (10, 2), (15, 3)])
    assert set(threshold.get_ydata()) == {1.0}
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
    assert spans == [(5, 20), (25, 35)]
    assert axes.get_xlim() == (0, 35)


def test_time_is_told_as_on_a_clock():
    assert [clock(s) for s in (0, 59.6, 245, 3_845)] == ["0:00", "1:00", "4:05", "1:04:05"]
