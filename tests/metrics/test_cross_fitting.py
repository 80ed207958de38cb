from dataclasses import replace

import numpy as np
import pytest

from humtune.errors import UsageError
from humtune.metrics.cells import Cells
from humtune.metrics.cross_fitting import cross_fit, cross_fit_machines, halves
from humtune.metrics.omega import omega
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, ClipTable


def table(counts):
    """A clip table with so many clips per (section, domain, label)."""
    rows = [cell for cell, count in counts.items() for _ in range(count)]
    columns = {"part": "dev", "split": "test", "attributes": "", "role": "select"}
    return ClipTable.from_columns(
        machine="fan",
        name=[f"clip_{i:03d}.wav" for i in range(len(rows))],
        section=[s for s, _, _ in rows],
        domain=[d for _, d, _ in rows],
        label=[y for _, _, y in rows],
        **{name: [value] * len(rows) for name, value in columns.items()},
    )


def even(clips, sections=(0, 1)):
    return {(s, d, y): clips for s in sections for d in (SOURCE, TARGET) for y in (NORMAL, ANOMALY)}


def test_a_single_clip_cannot_be_split():
    counts = even(4) | {(1, TARGET, NORMAL): 1}
    cells = Cells.of(table(counts))
    with pytest.raises(
        UsageError, match="fan section 01 target has a single normal clip; cross-fitting needs"
    ):
        cross_fit(np.zeros((2, sum(counts.values()))), cells)


def test_halves_share_every_cell_and_no_clip():
    counts = even(5) | {(0, SOURCE, NORMAL): 4}
    cells = Cells.of(table(counts))
    first, second = halves(cells, np.random.default_rng(0))
    sizes = []
    for whole, a, b in zip(cells.cells, first.cells, second.cells, strict=True):
        for clips, x, y in ((whole.normal, a.normal, b.normal), (whole.anomaly, a.anomaly, b.anomaly)):
            np.testing.assert_array_equal(np.sort(np.concatenate([x, y])), clips)
            assert abs(len(x) - len(y)) <= 1
            sizes.append(len(x) - len(y))
    assert sizes.count(0) == 1
    assert abs(sum(sizes)) <= 1  # odd clips in turn: neither half is the larger one


@pytest.mark.parametrize("sizes", [[6, 6, 6, 6], [1, 2, 3, 9], [12, 1]])
def test_the_clips_of_a_recording_are_in_one_half(sizes):
    clips = sum(sizes)
    t = table(even(clips))
    of = np.tile(np.repeat(np.arange(len(sizes)), sizes), len(t) // clips)
    t = replace(t, attributes=np.array([f"recording=r{i}" for i in of]))
    cells, chosen = Cells.of(t), set()
    for seed in range(10):
        for a, b in zip(*(half.cells for half in halves(cells, np.random.default_rng(seed))), strict=True):
            for one, other in ((a.normal, b.normal), (a.anomaly, b.anomaly)):
                assert len(one) + len(other) == clips
                assert set(of[one]).isdisjoint(of[other])
                assert abs(len(set(of[one])) - len(set(of[other]))) <= 1
                chosen.add(frozenset(of[one]))
    assert len(chosen) > 1


def test_a_cell_of_one_recording_is_halved_clip_by_clip():
    t = table(even(6))
    cells = Cells.of(replace(t, attributes=np.full(len(t), "recording=monday")))
    for half in halves(cells, np.random.default_rng(0)):
        assert {len(clips) for cell in half.cells for clips in (cell.normal, cell.anomaly)} == {3}


def test_two_clips_a_cell_are_enough():
    t = table(even(2))
    result = cross_fit((t.label == ANOMALY).astype(float), Cells.of(t))
    assert result.mean == pytest.approx(1)
    assert result.spread == pytest.approx(0)


@pytest.mark.parametrize(("common", "excess"), [(0.0, 0.035), (0.8, 0.012)])
def test_of_equal_detectors_the_best_looks_better_and_the_cross_fitted_one_does_not(common, excess):
    def mean(t):
        return 0.7 * (t.label == ANOMALY) + 0.4 * (t.domain == TARGET)

    t, many = (table(even(clips, sections=(0, 1, 2))) for clips in (50, 5000))
    cells, rng = Cells.of(t), np.random.default_rng(5)
    truth = float(omega(rng.normal(size=len(many)) + mean(many), Cells.of(many)))
    fitted, naive = [], []
    for seed in range(16):
        shared, own = rng.normal(size=len(t)), rng.normal(size=(60, len(t)))
        scores = mean(t) + np.sqrt(common) * shared + np.sqrt(1 - common) * own
        fitted.append(cross_fit(scores, cells, splits=6, seed=seed).mean - truth)
        naive.append(float(omega(scores, cells).max()) - truth)
    error = np.std(fitted, ddof=1) / np.sqrt(len(fitted))
    assert error < 0.006
    assert abs(np.mean(fitted)) < 2 * error
    assert np.mean(naive) > excess


def test_a_candidate_that_is_better_is_found_and_read():
    t = table(even(20))
    scores = np.random.default_rng(1).normal(size=(30, len(t)))
    scores[17] += 2 * (t.label == ANOMALY)
    result = cross_fit(scores, Cells.of(t))
    assert result.chosen.sum() == 40
    assert result.chosen.argmax() == 17
    assert result.chosen[17] > 36
    assert result.mean == pytest.approx(float(omega(scores[17], Cells.of(t))), abs=0.03)
    assert 0 < result.spread < 0.05


def test_equal_candidates_and_equal_seeds_give_equal_answers():
    t = table(even(6))
    one = np.random.default_rng(2).normal(size=len(t))
    result = cross_fit(np.stack([one, one]), Cells.of(t), seed=3)
    assert result.chosen.tolist() == [40, 0]
    np.testing.assert_array_equal(result.splits, cross_fit(one, Cells.of(t), seed=3).splits)
    assert not np.array_equal(result.splits, cross_fit(one, Cells.of(t), seed=4).splits)


def test_machines_meet_in_the_harmonic_mean_of_each_split():
    t = table(even(6))
    rng = np.random.default_rng(2)
    machines = [cross_fit(rng.normal(size=(3, len(t))), Cells.of(t)) for _ in range(2)]
    both = cross_fit_machines(machines)
    a, b = (m.splits for m in machines)
    np.testing.assert_allclose(both.splits, 2 * a * b / (a + b))
    assert both.mean == pytest.approx(both.splits.mean())
