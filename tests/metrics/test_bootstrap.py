from dataclasses import replace

import numpy as np
import pytest

from humtune.errors import HumtuneError
from humtune.metrics.bootstrap import _Section, paired, pool_resampled, resample
from humtune.metrics.cells import Cells
from humtune.metrics.omega import evaluate, omega, pauc, pool
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN, ClipTable


def table(clips=20, *, sections=(0, 1), domains=(SOURCE, TARGET), odd=0, machine="fan"):
    """So many clips in each cell, and `odd` more normals in the first."""
    rows = [(s, d, y) for s in sections for d in domains for y in (NORMAL, ANOMALY) for _ in range(clips)]
    rows += [(sections[0], domains[0], NORMAL)] * odd
    columns = {"part": "dev", "split": "test", "attributes": "", "role": "select"}
    return ClipTable.from_columns(
        machine=machine,
        name=[f"clip_{i:03d}.wav" for i in range(len(rows))],
        section=[s for s, _, _ in rows],
        domain=[d for _, d, _ in rows],
        label=[y for _, _, y in rows],
        **{name: [value] * len(rows) for name, value in columns.items()},
    )


def detectors(t, skill, count=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, len(t))) + skill * (t.label == ANOMALY)


def test_a_score_that_is_no_number_is_named():
    t = table()
    scores = detectors(t, 1)
    scores[0, 3] = np.nan
    with pytest.raises(HumtuneError, match=r"the score of clip_003.wav is nan"):
        resample(scores, Cells.of(t))


@pytest.mark.parametrize(
    "other",
    [
        lambda s: resample(s, Cells.of(table()), samples=50, seed=1),
        lambda s: resample(s, Cells.of(table()), samples=51),
        lambda s: resample(s, Cells.of(table(machine="valve")), samples=50),
        lambda s: resample(np.append(s, 0), Cells.of(table(odd=1)), samples=50),
    ],
)
def test_only_equal_draws_are_paired(other):
    scores = detectors(table(), 1)[0]
    one = resample(scores, Cells.of(table()), samples=50)
    with pytest.raises(HumtuneError, match="only be paired on the same draws"):
        one.over(other(scores))


@pytest.mark.parametrize("ties", ["none", "some", "all"])
@pytest.mark.parametrize(
    "shape",
    [
        {"clips": 20},
        {"clips": 7, "odd": 4},
        {"clips": 2, "sections": (3,)},
        {"clips": 31, "domains": (UNKNOWN,)},
        {"clips": 1, "odd": 1},
    ],
)
def test_every_resample_is_the_omega_of_the_clips_it_draws(shape, ties):
    t = table(**shape)
    cells = Cells.of(t)
    scores = detectors(t, 1.0)[0]
    scores = {"none": scores, "some": np.round(scores * 2), "all": np.zeros(len(t))}[ties]
    rng = np.random.default_rng(4)
    for _, section in cells.sections():
        drawn = _Section.drawn(section, cells.recordings, 60, rng)
        found = drawn.values(scores)
        for b in range(61):
            positive, negative = (
                np.repeat(clips, count[:, b].astype(int))
                for clips, count in (
                    (drawn.positive, drawn.positive_count),
                    (drawn.negative, drawn.negative_count),
                )
            )
            again = [
                replace(
                    cell,
                    normal=negative[np.isin(negative, cell.normal)],
                    anomaly=positive[np.isin(positive, cell.anomaly)],
                )
                for cell in section
            ]
            assert [len(c.normal) for c in again] == [len(c.normal) for c in section]
            assert [len(c.anomaly) for c in again] == [len(c.anomaly) for c in section]
            (metrics,) = evaluate(scores, replace(cells, cells=tuple(again))).sections
            np.testing.assert_allclose(found[:, b], metrics.values("official"), rtol=1e-12)


def test_resamples_without_the_highest_normals_count_further_down():
    t = table(10, sections=(0,), domains=(UNKNOWN,))
    scores = detectors(t, 0.5)[0]
    cells = Cells.of(t)
    ((_, section),) = cells.sections()
    drawn = _Section.drawn(section, cells.recordings, 2000, np.random.default_rng(0))
    highest = np.argsort(-scores[drawn.negative])[:4]
    assert np.any(drawn.negative_count[highest].sum(axis=0) == 0)
    positive, negative = (
        scores[np.stack([np.repeat(clips, c.astype(int)) for c in count.T])]
        for clips, count in ((drawn.positive, drawn.positive_count), (drawn.negative, drawn.negative_count))
    )
    np.testing.assert_allclose(drawn.values(scores)[1], pauc(positive, negative), rtol=1e-12)


def test_recordings_are_drawn_whole():
    t = table(24, sections=(0,), domains=(UNKNOWN,))
    sizes = np.array([1, 2, 3, 4, 6, 8])
    lengths = [*np.repeat(np.arange(6), sizes), *np.repeat(np.arange(6, 12), 4)]
    t = replace(t, attributes=np.array([f"recording=r{i:02d}" for i in lengths]))
    cells = Cells.of(t)
    ((_, section),) = cells.sections()
    drawn = _Section.drawn(section, cells.recordings, 40, np.random.default_rng(2))
    for clips, count in ((drawn.positive, drawn.positive_count), (drawn.negative, drawn.negative_count)):
        np.testing.assert_allclose(count.sum(axis=0), 24, rtol=1e-6)
        for recording in np.unique(cells.recordings[clips]):
            one = count[cells.recordings[clips] == recording]
            assert (one == one[0]).all()
    scores = detectors(t, 1)[0]
    found = drawn.values(scores)
    assert np.any(drawn.negative_count != np.round(drawn.negative_count))
    for b in range(41):  # the clips counted as weights, one pair after the other
        a, n = drawn.positive_count[:, b].astype(float), drawn.negative_count[:, b].astype(float)
        above = scores[drawn.positive][:, None] > scores[drawn.negative][None]
        assert found[0, b] == pytest.approx(a @ above @ n / 24**2, rel=1e-5)


def test_clips_that_are_alike_in_a_recording_tell_no_more_than_one_does():
    whole, cut = (table(clips, sections=(0,), domains=(UNKNOWN,)) for clips in (6, 24))
    named = replace(cut, attributes=np.array([f"recording=r{i // 4:02d}" for i in range(len(cut))]))
    once = detectors(whole, 1)[0]
    by_recording, by_clip = (
        resample(np.repeat(once, 4), Cells.of(t), samples=400).samples.std() for t in (named, cut)
    )
    assert by_recording == pytest.approx(resample(once, Cells.of(whole), samples=400).samples.std(), rel=0.25)
    assert by_clip < 0.7 * by_recording


def test_a_cell_of_one_recording_is_drawn_clip_by_clip():
    t = table()
    one = replace(t, attributes=np.full(len(t), "recording=monday"))
    scores = detectors(t, 1)[0]
    found, expected = (resample(scores, Cells.of(clips), samples=20).samples for clips in (one, t))
    np.testing.assert_array_equal(found, expected)


def test_the_estimate_is_omega_of_the_clips_themselves():
    t = table(odd=3)
    scores = detectors(t, 0.8, count=5).reshape(5, 1, -1)
    result = resample(scores, Cells.of(t), samples=10)
    assert result.samples.shape == (5, 1, 10)
    np.testing.assert_allclose(result.estimate, omega(scores, Cells.of(t)), rtol=1e-12)


def test_all_candidates_meet_the_same_draws_and_seeds_give_others():
    t = table()
    cells = Cells.of(t)
    scores = detectors(t, 1)[0]
    both = resample(np.stack([scores, scores * 3]), cells, samples=30)
    np.testing.assert_array_equal(both.samples[0], both.samples[1])
    np.testing.assert_array_equal(both.samples[0], resample(scores, cells, samples=30).samples)
    assert not np.array_equal(both.samples[0], resample(scores, cells, samples=30, seed=1).samples)


def test_machines_pool_as_their_figures_do():
    fan, valve = table(), table(sections=(0, 1, 2), machine="valve")
    scores = [detectors(t, 1, seed=i)[0] for i, t in enumerate((fan, valve))]
    cells = [Cells.of(t) for t in (fan, valve)]
    pooled = pool_resampled([resample(s, c, samples=20) for s, c in zip(scores, cells, strict=True)])
    expected = pool(evaluate(s, c) for s, c in zip(scores, cells, strict=True)).omega_official
    assert pooled.estimate == pytest.approx(float(expected), rel=1e-12)
    assert pooled.values == 15
    assert pooled.over(pooled).p == 1


def test_machines_draw_independently():
    fan, valve = (Cells.of(table(clips=40, machine=m)) for m in ("fan", "valve"))
    scores = detectors(table(clips=40), 1)[0]
    one, other = (resample(scores, c).samples for c in (fan, valve))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.12
    assert one.std() == pytest.approx(other.std(), rel=0.1)


def test_intervals_widen_with_the_level_and_narrow_with_clips():
    def width(clips, level):
        t = table(clips)
        found = resample(detectors(t, 1)[0], Cells.of(t)).interval(level=level)
        assert found.low < found.estimate < found.high
        return float(found.high - found.low)

    assert width(80, 0.99) > 1.4 * width(80, 0.9)
    assert width(80, 0.9) == pytest.approx(width(20, 0.9) / 2, rel=0.25)


def test_intervals_hold_the_truth_as_often_as_they_say():
    t = table(25)
    scores = detectors(t, 1.0, count=250)
    cells = Cells.of(t)
    truth = float(omega(detectors(table(4000), 1.0), Cells.of(table(4000)))[0])
    misses = [
        (float(i.low) > truth, float(i.high) < truth)
        for k in range(250)
        for i in [resample(scores[k], cells, samples=200, seed=k).interval()]
    ]
    above, below = np.mean(misses, axis=0)
    assert 0.05 < above + below < 0.16  # nominally 0.1; binomial standard error 0.019
    assert min(above, below) > 0.02


def test_a_detector_is_no_better_than_itself():
    t = table()
    scores = detectors(t, 1)[0]
    same = paired(scores, 2 * scores + 1, Cells.of(t))
    assert same.p == 1
    assert same.estimate == same.low == same.high == 0


def test_a_better_detector_is_told_from_a_worse_one_and_the_sign_follows_the_order():
    t = table(50)
    common = detectors(t, 1)[0]
    a = common + 0.8 * (t.label == ANOMALY)
    there, back = paired(a, common, Cells.of(t)), paired(common, a, Cells.of(t))
    assert 0 < there.low < there.estimate < there.high
    assert there.p < 0.01
    assert there.estimate == -back.estimate
    assert there.low == pytest.approx(-back.high)
    assert there.p == back.p


def test_pairing_sees_what_separate_intervals_do_not():
    t = table(50)
    common = detectors(t, 1)[0]
    a, b = (common + 0.2 * detectors(t, 0, seed=s)[0] for s in (1, 2))
    difference, alone = paired(a, b, Cells.of(t)), resample(a, Cells.of(t)).interval()
    assert difference.high - difference.low < 0.6 * (alone.high - alone.low)


def test_p_values_of_equal_detectors_are_spread_evenly():
    t = table(25)
    cells = Cells.of(t)
    scores = detectors(t, 1, count=240)
    p = np.array([paired(a, b, cells, samples=200).p for a, b in zip(scores[::2], scores[1::2], strict=True)])
    assert 0.02 < np.mean(p < 0.1) < 0.2
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)


def test_equal_candidates_stay_within_noise_however_many_they_are():
    t = table(25)
    for count in (2, 30, 150):
        kept = resample(detectors(t, 1, count=count), Cells.of(t), samples=300).within_noise()
        assert kept.mean() >= 0.9


def test_what_is_clearly_worse_is_not_within_noise_and_the_best_always_is():
    t = table(50)
    scores = np.concatenate([detectors(t, 2.0, count=2), detectors(t, 0.3, count=20, seed=1)])
    kept = resample(scores, Cells.of(t)).within_noise()
    assert kept.tolist() == [True] * 2 + [False] * 20
    assert resample(scores[5:6], Cells.of(t)).within_noise().tolist() == [True]
