"""Fusion against loops over clips and score types, and what it refuses."""

import math
import statistics

import numpy as np
import pytest

from humtune.errors import HumtuneError
from humtune.metrics.calibration import Fusion

HELD_OUT = np.array([1, 4, 5, 9])


@pytest.fixture
def scores() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"cosine": rng.random(30), "nll": 40 + 9 * rng.normal(size=30), "knn": -rng.random(30)}


def loops(scores: dict[str, np.ndarray], held_out: np.ndarray) -> list[float]:
    normal = {name: [float(vector[i]) for i in held_out] for name, vector in scores.items()}
    fused = []
    for clip in range(30):
        lowest = math.inf
        for name, vector in scores.items():
            spread = statistics.pstdev(normal[name])
            lowest = min(lowest, (float(vector[clip]) - statistics.fmean(normal[name])) / spread)
        fused.append(lowest)
    return fused


def test_fewer_than_two_score_types_are_refused(scores):
    for names, told in (((), "none"), (("nll",), "nll")):
        with pytest.raises(HumtuneError, match=f"joins two or more score types, got {told}"):
            Fusion.of({name: scores[name] for name in names}, HELD_OUT)


def test_fewer_than_two_held_out_clips_are_refused(scores):
    for held_out in (np.array([], dtype=np.intp), np.array([3])):
        with pytest.raises(HumtuneError, match=f"fusion of cosine: .* 2 .* or more, got {len(held_out)}"):
            Fusion.of(scores, held_out)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_held_out_score_that_is_not_finite_is_named(scores, bad):
    scores["nll"][5] = bad
    with pytest.raises(HumtuneError, match=f"fusion of nll: a held-out normal clip has the score {bad}"):
        Fusion.of(scores, HELD_OUT)
    Fusion.of(scores, HELD_OUT[:2])  # clip 5 is none of these


def test_a_clip_whose_score_is_nan_is_not_passed_on(scores):
    fusion = Fusion.of(scores, HELD_OUT)
    scores["knn"][20] = np.nan
    with pytest.raises(HumtuneError, match="a clip's knn score is nan"):
        fusion(scores)
    scores["knn"][20] = np.inf  # as of a clip without references: another type decides
    assert np.isfinite(fusion(scores)).all()


def test_it_is_the_smallest_z_score_of_every_clip(scores):
    fused = Fusion.of(scores, HELD_OUT)(scores)
    assert fused.shape == (30,)
    assert fused.dtype == np.float64
    np.testing.assert_allclose(fused, loops(scores, HELD_OUT), rtol=1e-12, atol=1e-12)
    every = Fusion.of({name: vector[HELD_OUT] for name, vector in scores.items()})
    assert np.array_equal(every(scores), fused)


def test_units_and_offsets_do_not_count(scores):
    fused = Fusion.of(scores, HELD_OUT)(scores)
    other = scores | {"cosine": 3e6 * scores["cosine"] - 7e5, "knn": 1e-6 * scores["knn"]}
    np.testing.assert_allclose(Fusion.of(other, HELD_OUT)(other), fused, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_the_better_calibrated_score_is_not_lost_beside_one_of_another_scale(scale):
    """The loud type cries at half of the normal clips; the calm one knows the anomalies, and is believed."""
    rng = np.random.default_rng(1)
    normal, anomaly, held_out = np.arange(0, 400), np.arange(400, 500), np.arange(500, 600)
    calm = 10 + rng.normal(size=600)
    calm[anomaly] += 6
    loud = scale * np.where(rng.random(600) < 0.5, 8, 0) + scale * rng.normal(size=600)
    loud[anomaly] = scale * (8 + rng.normal(size=100))
    scores = {"calm": calm, "loud": loud}
    fused = Fusion.of(scores, held_out)(scores)

    def auc(vector: np.ndarray) -> float:
        return float((vector[anomaly][:, None] > vector[normal][None]).mean())

    assert auc(fused) > 0.95
    assert auc(fused) > auc(loud) + 0.1
    drowned = min(auc(np.minimum(calm, loud)), auc(calm + loud))  # one or the other, by the scale
    assert auc(fused) > drowned + 0.1


def test_a_type_that_hardly_varies_counts_as_varying_a_little(scores):
    flat = scores | {"flat": np.full(30, 250.0), "zero": np.zeros(30)}
    fusion = Fusion.of(flat, HELD_OUT)
    assert fusion.spread["flat"] == pytest.approx(250e-6)
    assert fusion.spread["zero"] == pytest.approx(1e-12)
    assert np.array_equal(fusion(flat), np.minimum(Fusion.of(scores, HELD_OUT)(scores), 0))
    flat["flat"][7] += 1e-3  # beyond rounding: four spreads
    flat["zero"][7] = 1e-3
    assert fusion(flat)[7] == min(fusion(scores | {"flat": flat["flat"], "zero": flat["zero"]})[7], 4)
