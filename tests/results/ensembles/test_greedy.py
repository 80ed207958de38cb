import numpy as np
import pytest
from scipy.stats import hmean

from humtune.errors import HumtuneError, UsageError
from humtune.metrics.cells import Cell, Cells
from humtune.metrics.omega import evaluate, omega
from humtune.results.ensembles.greedy import Objective, select
from humtune.sounds.table import SOURCE, TARGET


def make_cells(clips=6, sections=2):
    """Cells of so many clips per section, domain and label, in that order."""
    blocks = np.arange(sections * 4 * clips).reshape(sections, 2, 2, clips)
    cells = tuple(Cell(s, d, *blocks[s, d]) for s in range(sections) for d in (SOURCE, TARGET))
    names = np.array([f"clip_{i}.wav" for i in range(blocks.size)])
    return Cells("fan", names, np.full(names.shape, ""), cells)


def make_candidates(cells, count=7, *, seed=0, skill=0.8, decimals=1):
    """Noisy scores with ties, more or less skilled."""
    rng = np.random.default_rng(seed)
    anomalous = np.zeros(len(cells.names))
    anomalous[np.concatenate([c.anomaly for c in cells.cells])] = 1
    noise = rng.normal(size=(count, len(cells.names)))
    return np.round(noise + skill * rng.random((count, 1)) * anomalous, decimals)


@pytest.mark.parametrize("bound", ["members", "start", "steps", "patience", "pool"])
def test_a_bound_below_one_is_refused(bound):
    cells = make_cells()
    with pytest.raises(UsageError, match=f"{bound} of an ensemble: expected 1 or more, got 0"):
        select(make_candidates(cells), cells, **{bound: 0})


def test_no_candidates_and_broken_scores_are_refused():
    cells = make_cells()
    with pytest.raises(HumtuneError, match="fan: no candidates"):
        select(np.zeros((0, len(cells.names))), cells)
    scores = make_candidates(cells)
    scores[3, 4] = np.nan
    with pytest.raises(HumtuneError, match=r"clip_4.wav is nan"):
        select(scores, cells)
    with pytest.raises(HumtuneError, match="fan: 9 scores for 48 clips"):
        select(np.zeros((2, 9)), cells)


def naive(scores, cells, *, members, start, steps):
    """Greedy selection the long way: the best prefix of so many additions."""
    single = [float(omega(s, cells)) for s in scores]
    chosen = sorted(range(len(scores)), key=lambda i: -single[i])[: min(start, (members + 1) // 2)]
    while len(chosen) < steps:
        options = range(len(scores)) if len(set(chosen)) < members else set(chosen)
        chosen.append(
            max(options, key=lambda i: (omega(scores[[*chosen, i]].mean(axis=0), cells), single[i]))
        )
    omegas = [float(omega(scores[chosen[: n + 1]].mean(axis=0), cells)) for n in range(steps)]
    return chosen, omegas


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("members", "start"), [(7, 1), (5, 3), (3, 1), (1, 1)])
def test_the_way_is_that_of_a_plain_loop(seed, members, start):
    cells = make_cells()
    scores = make_candidates(cells, seed=seed, decimals=8)
    chosen, omegas = naive(scores, cells, members=members, start=start, steps=8)
    weights = select(scores, cells, members=members, start=start, steps=8, patience=8)
    assert [step.candidate for step in weights.path] == chosen
    np.testing.assert_allclose([step.omega for step in weights.path], omegas)
    best = chosen[: int(np.argmax(omegas)) + 1]
    np.testing.assert_allclose(weights.values, np.bincount(best, minlength=7) / len(best))


@pytest.mark.parametrize("seed", range(8))
def test_on_its_own_clips_it_is_never_worse_than_the_best_single(seed):
    cells = make_cells()
    scores = make_candidates(cells, count=20, seed=seed)
    weights = select(scores, cells, members=4)
    assert omega(weights(scores), cells) >= omega(scores, cells).max() - 1e-12
    assert 1 <= len(weights.members) <= 4
    assert weights.values.sum() == pytest.approx(1)
    assert set(weights.members) == set(np.flatnonzero(weights.values))


def test_a_candidate_comes_in_more_than_once_where_it_should_weigh_more():
    cells = make_cells(clips=150, sections=1)
    scores = make_candidates(cells, count=2, seed=3, skill=0, decimals=8)
    anomalous = np.concatenate([c.anomaly for c in cells.cells])
    scores[0, anomalous] += 1.2
    scores[1, anomalous] += 0.6
    weights = select(scores, cells, start=1, patience=10)
    assert weights.members.tolist() == [0, 1]
    assert weights.values[0] > 0.5 > weights.values[1] > 0


def test_no_gain_ends_it_after_patience_steps_and_the_shorter_of_equals_is_kept():
    cells = make_cells()
    perfect = np.zeros(len(cells.names))
    perfect[np.concatenate([c.anomaly for c in cells.cells])] = 1
    weights = select(np.stack([perfect, perfect]), cells, start=1, patience=3)
    assert weights.values.tolist() == [1, 0]
    assert len(weights.path) == 4
    assert weights.front() == {1: pytest.approx(1)}


def test_the_front_rises_with_the_members_and_begins_with_one():
    cells = make_cells(clips=20)
    weights = select(make_candidates(cells, count=30, decimals=8), cells)
    sizes, omegas = zip(*weights.front().items(), strict=True)
    assert sizes[0] == 1
    assert list(sizes) == sorted(sizes)
    assert list(omegas) == sorted(omegas)
    assert omegas[-1] == max(step.omega for step in weights.path)


def test_candidates_outside_the_pool_are_not_looked_at():
    cells = make_cells()
    scores = make_candidates(cells, count=12)
    best = np.argsort(-omega(scores, cells), kind="stable")[:3]
    assert set(select(scores, cells, pool=3).members) <= set(best)


def test_the_objective_is_the_official_omega_ties_and_all():
    cells = make_cells()
    scores = make_candidates(cells, count=50)
    np.testing.assert_allclose(Objective(cells)(scores), omega(scores, cells), rtol=1e-13)


def test_the_objective_weights_sections():
    cells = make_cells()
    scores = make_candidates(cells, count=3)
    first, second = (s.values("official") for s in evaluate(scores, cells).sections)
    np.testing.assert_allclose(Objective(cells, {1: 0.0})(scores), hmean(np.stack(first)))
    weighted = hmean(np.stack(first + second), weights=np.repeat([[1.0], [0.2]], 3, axis=0).repeat(3, 1))
    np.testing.assert_allclose(Objective(cells, {1: 0.2})(scores), weighted)
