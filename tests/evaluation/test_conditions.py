import numpy as np

from humtune.evaluation.cells import Cell, Cells
from humtune.evaluation.conditions import condition_halves
from humtune.sounds.table import SOURCE, TARGET


def two_cells():
    clips = np.arange(32).reshape(2, 2, 8)
    cells = tuple(Cell(0, d, *clips[i]) for i, d in enumerate((SOURCE, TARGET)))
    return Cells("fan", np.array([f"{i}.wav" for i in range(32)]), cells)


def test_no_condition_is_on_both_sides_and_no_clip_is_lost():
    cells = two_cells()
    attributes = np.array([f"spd={i % 4}" for i in range(32)])
    for seed in range(10):
        first, second = condition_halves(cells, attributes, np.random.default_rng(seed))
        for whole, a, b in zip(cells.cells, first.cells, second.cells, strict=True):
            ways = [set(attributes[np.concatenate([c.normal, c.anomaly])]) for c in (a, b)]
            assert not ways[0] & ways[1]
            assert len(ways[0]) == len(ways[1]) == 2
            for kind in ("normal", "anomaly"):
                both = np.concatenate([getattr(a, kind), getattr(b, kind)])
                np.testing.assert_array_equal(np.sort(both), getattr(whole, kind))


def test_a_single_condition_is_halved_at_random():
    cells = two_cells()
    first, second = condition_halves(cells, [""] * 32, np.random.default_rng(0))
    for a, b in zip(first.cells, second.cells, strict=True):
        assert [len(x) for x in (a.normal, a.anomaly, b.normal, b.anomaly)] == [4, 4, 4, 4]


def test_a_condition_of_one_label_alone_is_halved_at_random():
    cells = two_cells()
    attributes = np.full(32, "broken")
    attributes[np.concatenate([c.normal for c in cells.cells])] = "fine"
    first, second = condition_halves(cells, attributes, np.random.default_rng(0))
    for cell in (*first.cells, *second.cells):
        assert len(cell.normal) == len(cell.anomaly) == 4
