"""Anomaly scores against loops over all references, and the contract of every score type."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from torch.distributions import Independent, Normal
from torch.nn import functional as F

from humtune.config import Output
from humtune.detectors.recipe import Scoring
from humtune.plugins import BUILT_IN, SCORE
from humtune.scores import base
from humtune.scores.base import DistanceScore, FittedScore, JointScore, Score
from humtune.scores.clip import ClipScore
from humtune.scores.encoded import Encoded

K, C = 8, 4
LOGITS = torch.nn.Linear(K, C)
ALL = {name: Scoring().of(name) for name in BUILT_IN[SCORE]}
SCORES = [name for name, score in ALL.items() if isinstance(score, Score)]
BY_CLASS = ("neg_logit", "neg_log_prob")
COMPARING = [name for name in SCORES if name not in (*BY_CLASS, "own")]  # with the references' embeddings


def rows(
    count: int, *, seed: int, mu: float = 2.0, sigma2: float = 0.5, k: int = K, clips: int = 7
) -> Encoded:
    """Rows near one of two orthogonal means of length mu, as a trained head gives them."""
    generator = torch.Generator().manual_seed(seed)
    means = mu * torch.eye(2, k)[torch.arange(count) % 2]
    return Encoded(
        mean=means + math.sqrt(sigma2) * torch.randn(count, k, generator=generator),
        log_variance=math.log(sigma2) + 0.2 * torch.randn(count, k, generator=generator),
        clip=torch.arange(count) % clips,
        label=torch.arange(count) % 2,
        score=torch.randn(count, generator=generator),
        classify=LOGITS,
    )


def make(name: str, reference: Encoded, scoring: Scoring | None = None) -> FittedScore:
    return (scoring or Scoring()).of(name).fit(reference)


NEAREST = [name for name in SCORES if isinstance(make(name, rows(9, seed=0)), DistanceScore)]


def at(z: torch.Tensor) -> Encoded:
    """Embeddings of which nothing else is known."""
    return Encoded(mean=z, classify=LOGITS)


def unit(z: torch.Tensor) -> torch.Tensor:
    return z.double() / z.double().norm()


def mean_of_nearest(z: torch.Tensor, others: Iterable[torch.Tensor], k: int) -> float:
    distances = sorted(float((unit(z) - unit(r)).norm()) for r in others)[:k]
    return sum(distances) / len(distances)


def pair_distance(name: str, z: torch.Tensor, reference: Encoded, i: int, k: int) -> float:
    """The distance of one embedding from one reference chunk, in float64."""
    mean = reference.mean[i].double()
    match name:
        case "cosine":
            return 1 - float(F.cosine_similarity(z.double(), mean, dim=0))
        case "nll":
            assert reference.log_variance is not None
            density = Independent(Normal(mean, (reference.log_variance[i].double() / 2).exp()), 1)
            return -float(density.log_prob(z.double()))
        case _:
            others = [
                m for m, c in zip(reference.mean, reference.clip, strict=True) if c != reference.clip[i]
            ]
            return float((unit(z) - unit(mean)).norm()) / mean_of_nearest(mean, others, k)


def class_distances(z: torch.Tensor, reference: Encoded, *, shared: bool) -> list[float]:
    """Squared Mahalanobis distances from each class, by explicit inverses."""
    assert reference.label is not None
    values, labels = reference.mean.double().numpy(), reference.label.numpy()
    parts = {c: values[labels == c] for c in sorted(set(labels))}
    about = {c: part - part.mean(axis=0) for c, part in parts.items()}
    spread = 1e-6 * np.mean(np.concatenate(list(about.values())) ** 2)
    found = []
    for c, part in parts.items():
        residuals = np.concatenate(list(about.values())) if shared else about[c]
        covariance = LedoitWolf(assume_centered=True).fit(residuals).covariance_ + spread * np.eye(K)
        off = z.double().numpy() - part.mean(axis=0)
        found.append(float(off @ np.linalg.inv(covariance) @ off))
    return found


def outlier_factor(z: torch.Tensor, reference: Encoded, k: int) -> float:
    """The local outlier factor, neighbour by neighbour."""
    unit = [F.normalize(some.double(), dim=1).numpy() for some in (reference.mean, z[None])]
    between, off = cdist(unit[0], unit[0]), cdist(*unit)[:, 0]
    others = [np.flatnonzero(reference.clip != clip) for clip in reference.clip]
    near = [some[np.argsort(row[some])[:k]] for row, some in zip(between, others, strict=True)]
    farthest = [row[some[-1]] for row, some in zip(between, near, strict=True)]
    reach = [
        np.mean([max(row[j], farthest[j]) for j in some]) for row, some in zip(between, near, strict=True)
    ]
    nearest = np.argsort(off)[:k]
    mine = np.mean([max(off[j], farthest[j]) for j in nearest])
    return float(mine * np.mean([1 / reach[j] for j in nearest]))


def mixture_of(reference: Encoded, **settings: Any) -> tuple[GaussianMixture, float]:
    """Two Gaussians by scikit-learn, and by what embeddings are divided first."""
    values = reference.mean.double().numpy()
    spread = math.sqrt(values.var(axis=0).mean())
    return GaussianMixture(2, reg_covar=1e-3, random_state=0, **settings).fit(values / spread), spread


def naive_score(name: str, row: Encoded, reference: Encoded, k: int) -> float:
    z = row.mean[0]
    match name:
        case "knn":
            return mean_of_nearest(z, reference.mean, k)
        case "mahalanobis" | "mahalanobis_class":
            return min(class_distances(z, reference, shared=name == "mahalanobis"))
        case "lof":
            return outlier_factor(z, reference, k)
        case "gmm":
            model, spread = mixture_of(reference)
            return -float(model.score_samples(z.double().numpy()[None] / spread)[0])
        case "neg_logit":
            assert reference.label is not None
            logits = [
                (LOGITS.weight[c] @ z.float() + LOGITS.bias[c]).item() for c in set(reference.label.tolist())
            ]
            return -max(logits)
        case "neg_log_prob":
            assert reference.label is not None
            p = LOGITS(z.float()).double().softmax(dim=0).tolist()
            own = [p[c] for c in set(reference.label.tolist())]
            return -math.log(max(own) if len(own) == C else sum(own) / len(own))
        case "own":
            return float(row.score[0])
        case _:
            return min(pair_distance(name, z, reference, i, k) for i in range(len(reference.mean)))


def naive(name: str, test: Encoded, reference: Encoded, *, own: bool = False, k: int = 5) -> torch.Tensor:
    found = []
    for j in range(len(test)):
        row = test.take(slice(j, j + 1))
        counted = reference.take(reference.clip != row.clip) if own else reference
        found.append(naive_score(name, row, counted, k))
    return torch.tensor(found, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterable[None]:
    with torch.no_grad():
        yield


def test_every_score_type_that_is_not_joint_is_tested_here() -> None:
    assert {name for name, score in ALL.items() if isinstance(score, JointScore)} == {"fusion"}
    assert {*COMPARING, *BY_CLASS, "own"} == {*SCORES}
    assert {"cosine", "nll", "knn", "knn_normalised", "lof"} == {*NEAREST}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_scores_equal_a_loop_over_all_references(name: str, own: bool, k: int) -> None:
    reference, test = rows(40, seed=0), rows(15, seed=1)
    found = make(name, reference, Scoring(neighbours=k))(test, mask_own=own)
    tolerance = 1e-6 if name in BY_CLASS else 1e-9  # the head's own arithmetic is float32
    torch.testing.assert_close(found, naive(name, test, reference, own=own, k=k), rtol=1e-9, atol=tolerance)


@pytest.mark.parametrize("name", [name for name in NEAREST if name != "lof"])  # a ratio: the rest changes too
def test_a_clips_own_chunks_do_not_count_when_masked(name: str) -> None:
    reference = rows(40, seed=0)
    score = make(name, reference)
    plain, masked = score(reference), score(reference, mask_own=True)
    assert (masked >= plain).all()
    assert (masked > plain).sum() > 20
    if name == "cosine":
        torch.testing.assert_close(plain, torch.zeros(40).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_contract_a_masked_clip_might_as_well_not_be_there(name: str) -> None:
    reference, test = rows(40, seed=0), rows(15, seed=1)
    found = make(name, reference)(test, mask_own=True)
    for j in range(15):
        without = make(name, reference.take(reference.clip != test.clip[j]))
        one = without(test.take(slice(j, j + 1)))
        torch.testing.assert_close(found[j], one[0], rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("name", COMPARING)
def test_where_no_other_clip_is_left_a_masked_score_is_infinite(name: str) -> None:
    reference = rows(10, seed=0, clips=1)
    assert make(name, reference)(reference, mask_own=True).isposinf().all()


@pytest.mark.parametrize("name", NEAREST)
@pytest.mark.parametrize("block", [1, 40 * 4, 40 * 15])
def test_blocks_change_nothing(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, test = rows(40, seed=0), rows(15, seed=1)
    whole = make(name, reference)(test)
    built = make(name, reference)
    sizes: list[int] = []
    measure = built.distances()
    monkeypatch.setattr(built, "distances", lambda: lambda z: sizes.append(len(z)) or measure(z))
    monkeypatch.setattr(base, "BLOCK", block)
    blocked = built(test)
    assert max(sizes) == max(1, block // 40)
    assert sum(sizes) == 15
    torch.testing.assert_close(blocked, whole, rtol=1e-13, atol=1e-13)


def test_nll_is_exact_where_float32_loses_a_part_of_the_spread() -> None:
    """At mu = 30 and sigma2 = 0.02 the terms are 10^5 times as large as what is left of them."""
    shape = {"mu": 30.0, "sigma2": 0.02, "k": 128}
    reference, test = rows(30, seed=0, **shape), rows(12, seed=1, **shape)
    found = make("nll", reference)(test)
    wanted = naive("nll", test, reference)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-7)

    precision = (-reference.log_variance).exp()  # the same sum in float32
    squares = test.mean.square() @ precision.T - 2 * test.mean @ (reference.mean * precision).T
    offset = (reference.mean.square() * precision + reference.log_variance).sum(dim=1)
    single = ((squares + offset).amin(dim=1) + 128 * math.log(2 * math.pi)) / 2
    assert (single - wanted).abs().max() > 1e-3


NEEDED = {
    Output.EMBEDDING: {"mean"},
    Output.VARIANCE: {"log_variance"},
    Output.LOGITS: {"mean", "classify", "label"},  # a classifier has embeddings too
    Output.SCORE: {"score"},
}


def test_what_score_types_need() -> None:
    variance = {"nll": {Output.EMBEDDING, Output.VARIANCE}}
    others = {"own": {Output.SCORE}, "fusion": {Output.SCORES}} | {name: {Output.LOGITS} for name in BY_CLASS}
    for name, score in ALL.items():
        assert score.needs == (variance | others).get(name, {Output.EMBEDDING}), name
    assert [name for name in SCORES if ALL[name].by_section] == [*BY_CLASS]


@pytest.mark.parametrize("name", SCORES)
def test_contract_a_score_looks_at_nothing_but_what_it_says_it_needs(name: str) -> None:
    """Embeddings, variances, scores and classifier, where they are not needed, may as well not be there."""
    reference, test = rows(40, seed=0), rows(15, seed=1)
    needed = set().union(*(NEEDED[output] for output in ALL[name].needs))
    others = {"mean", "log_variance", "score", "classify"} - needed
    bare, bare_test = (replace(some, **dict.fromkeys(others)) for some in (reference, test))
    for own in (False, True):
        assert torch.equal(
            make(name, bare)(bare_test, mask_own=own), make(name, reference)(test, mask_own=own)
        )


@pytest.mark.parametrize("name", ["cosine", "knn", "knn_normalised", "lof"])
def test_angles_ignore_length(name: str) -> None:
    z, score = rows(4, seed=1).mean, make(name, rows(40, seed=0))
    torch.testing.assert_close(score(at(z)), score(at(7 * z)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", COMPARING)
def test_contract_farther_is_more_anomalous(name: str) -> None:
    reference = rows(40, seed=0, sigma2=0.05)
    direction = torch.zeros(K)
    direction[5] = 2.0  # no class points there
    steps = torch.linspace(0, 2, 6)[:, None]
    scores = make(name, reference)(at(reference.mean[:2].mean(dim=0) + (1 + steps) * direction))
    assert (scores.diff() > 0).all()


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contract_a_float64_score_a_row_the_same_every_time(name: str, dtype: torch.dtype) -> None:
    reference, test = rows(40, seed=0), rows(15, seed=1)
    test = replace(test, mean=test.mean.to(dtype), score=test.score.to(dtype))
    before = {column: values.clone() for column, values in test.columns.items()}
    score = make(name, reference)
    first, second = score(test), score(test)
    assert first.shape == (15,)
    assert first.dtype == torch.float64
    assert torch.isfinite(first).all()
    assert torch.equal(first, second)
    assert all(torch.equal(values, before[column]) for column, values in test.columns.items())


@pytest.mark.parametrize("name", ["cosine", "nll", "knn"])
def test_more_reference_never_raises_a_score(name: str) -> None:
    reference, test = rows(40, seed=0), rows(15, seed=1)
    half = make(name, reference.take(slice(20)))
    assert (make(name, reference)(test) <= half(test) + 1e-12).all()


@pytest.mark.parametrize("name", SCORES)
def test_contract_copies_of_one_clip_do_not_break_a_score(name: str) -> None:
    """A machine of recordings that were copied: no spread, no density, and still a finite score."""
    one = rows(1, seed=0).take(torch.zeros(20, dtype=torch.long))
    reference = replace(one, clip=torch.arange(20) // 5, label=torch.arange(20) % 2)
    assert torch.isfinite(make(name, reference)(rows(15, seed=1))).all()


def test_fewer_references_than_neighbours_are_all_neighbours() -> None:
    reference, test = rows(6, seed=0), rows(5, seed=1)
    found = make("knn", reference, Scoring(neighbours=50))(test)
    torch.testing.assert_close(found, naive("knn", test, reference, k=6), rtol=0, atol=1e-12)


def test_density_makes_a_sparse_domain_comparable() -> None:
    """Few scattered references beside many close ones: between its like, a clip of the few is no stranger."""
    generator = torch.Generator().manual_seed(0)
    many = torch.tensor([3.0, 0, 0]) + 0.05 * torch.randn(200, 3, generator=generator)
    few = torch.tensor([0, 3.0, 0]) + 0.6 * torch.randn(20, 3, generator=generator)
    reference = Encoded(torch.cat([many, few]), None, torch.arange(220))
    normal = torch.tensor([0, 3.0, 0]) + 0.6 * torch.randn(20, 3, generator=generator)
    odd = torch.tensor([3.0, 0.5, 0]) + 0.05 * torch.randn(20, 3, generator=generator)
    margins = {}
    for name in ("knn", "knn_normalised"):
        score = make(name, reference, Scoring(neighbours=2))
        margins[name] = float(score(at(odd)).median() / score(at(normal)).median())
    assert margins["knn_normalised"] > 3 > margins["knn"]


@pytest.mark.parametrize("k", [1, 5, 20])
def test_lof_of_single_rows_is_scikit_learns(k: int) -> None:
    reference, test = replace(rows(60, seed=0), clip=torch.arange(60)), rows(25, seed=1)
    unit = [F.normalize(some.mean.double(), dim=1).numpy() for some in (reference, test)]
    wanted = -LocalOutlierFactor(n_neighbors=k, novelty=True).fit(unit[0]).score_samples(unit[1])
    found = make("lof", reference, Scoring(neighbours=k))(test)
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_lof_of_one_clip_is_the_mean_distance() -> None:
    reference, test = rows(4, seed=0, clips=1), rows(5, seed=1)
    torch.testing.assert_close(make("lof", reference)(test), make("knn", reference)(test))


def test_lof_is_about_one_among_the_references_however_thinly_they_lie() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.05, 0.6])[torch.arange(300) % 2, None]
    around = 3 * torch.eye(2, 3)[torch.arange(300) % 2] + spread * torch.randn(300, 3, generator=generator)
    score = make("lof", Encoded(around[:200], None, torch.arange(200)))
    assert (score(at(around[200:])) - 1).abs().median() < 0.15
    assert float(score(at(torch.tensor([[3.0, 0.5, 0]])))) > 3


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("likelihood", ["mixture", "component"])
def test_gmm_is_the_likelihood_of_scikit_learns_gaussians(covariance: str, likelihood: str) -> None:
    reference, test = rows(60, seed=0), rows(25, seed=1)
    settings = {"covariance": covariance, "likelihood": likelihood}
    found = make("gmm", reference, Scoring.model_validate({"gmm": settings}))(test)
    model, spread = mixture_of(reference, covariance_type=covariance)
    matrices = {
        "full": model.covariances_,
        "tied": [model.covariances_] * 2,
        "diag": [np.diag(v) for v in np.atleast_2d(model.covariances_)] if covariance == "diag" else None,
        "spherical": [v * np.eye(K) for v in model.covariances_] if covariance == "spherical" else None,
    }[covariance]
    z = test.mean.double().numpy() / spread
    each = [
        multivariate_normal(m, c).logpdf(z) for m, c in zip(model.means_, np.array(matrices), strict=True)
    ]
    wanted = np.max(each, axis=0)
    if likelihood == "mixture":
        wanted = np.log(np.exp(each).T @ model.weights_)
    np.testing.assert_allclose(found, -wanted, rtol=1e-9)


def test_gmm_finds_no_more_gaussians_than_there_are_different_references() -> None:
    same = rows(3, seed=0).take(torch.arange(12) % 3)
    settings = {"components": 8, "likelihood": "component"}
    score = make("gmm", same, Scoring.model_validate({"gmm": settings}))
    assert score(same).std() < 1e-6  # a Gaussian each, all as narrow as the floor
    assert len(score.centres) == 3


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_gmm_ranks_alike_whatever_the_embeddings_unit(scale: float) -> None:
    reference, test = rows(60, seed=0), rows(25, seed=1)
    scaled = make("gmm", replace(reference, mean=scale * reference.mean))(at(scale * test.mean))
    torch.testing.assert_close(scaled, make("gmm", reference)(test), rtol=1e-4, atol=1e-4)


def test_a_narrow_class_is_left_sooner_than_a_wide_one() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(400) % 2
    spread = torch.tensor([0.1, 1.0])[label, None]
    mean = 5 * torch.eye(2, 3)[label] + spread * torch.randn(400, 3, generator=generator)
    reference = Encoded(mean, None, torch.arange(400), label=label)
    off = torch.tensor([[5.0, 0, 0.5], [0, 5.0, 0.5]])
    narrow, wide = make("mahalanobis_class", reference)(at(off)).tolist()
    assert narrow > 10 * wide
    assert make("mahalanobis", reference)(at(off)).diff().abs() < 0.5


# --- whole clips: pool and aggregation


def clip_rows(clips: int, *, seed: int) -> Encoded:
    """Five chunks a clip, of three sections; two classes a section but for the third, which has one."""
    plain = rows(5 * clips, seed=seed)
    clip = torch.arange(clips).repeat_interleave(5)
    section = clip % 3
    label = torch.where(section == 2, 3, section)
    return replace(plain, clip=clip, section=section, label=label)


def clip_score(name: str, reference: Encoded, scoring: Scoring) -> ClipScore:
    """As a detector makes it; where embeddings are averaged, of references that are averaged already."""
    if scoring.aggregation == "embedding":
        reference = reference.averaged()
    return ClipScore(scoring.of(name), reference, pool=scoring.pool, aggregation=scoring.aggregation)


def over(how: str, chunks: torch.Tensor) -> float:
    return {"max": max, "median": statistics.median}.get(how, statistics.mean)(chunks.tolist())


CASES = list(product(SCORES, ("machine", "section"), ("mean", "median", "max", "embedding")))


@pytest.mark.parametrize(("name", "pool", "aggregation"), CASES)
@pytest.mark.parametrize("own", [False, True])
def test_contract_a_clips_score_is_that_of_its_pool(
    name: str, pool: str, aggregation: str, own: bool
) -> None:
    """Clip by clip, against the references of its section alone, without its own chunks where masked."""
    reference, test = clip_rows(18, seed=0), clip_rows(9, seed=1)
    settings = Scoring(pool=pool, aggregation=aggregation, neighbours=3)
    rows_of = test.averaged() if aggregation == "embedding" else test
    found = clip_score(name, reference, settings)(rows_of, mask_own=own)
    assert found.shape == (9,)
    by_section = pool == "section" or name in BY_CLASS
    for i in range(9):
        counted = reference.take(reference.section == test.section[5 * i]) if by_section else reference
        if own:
            counted = counted.take(counted.clip != i)
        chunks = test.take(slice(5 * i, 5 * i + 5))
        if aggregation == "embedding":
            counted, chunks = one_a_clip(counted), one_a_clip(chunks)
        wanted = over(aggregation, make(name, counted, settings)(chunks))
        assert float(found[i]) == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def one_a_clip(chunks: Encoded) -> Encoded:
    clips = [chunks.take(chunks.clip == c) for c in chunks.clip.unique()]
    return Encoded(
        mean=torch.stack([r.mean.mean(dim=0) for r in clips]),
        log_variance=torch.stack([r.log_variance.exp().mean(dim=0).log() for r in clips]),
        clip=torch.stack([r.clip[0] for r in clips]),
        label=torch.stack([r.label[0] for r in clips]),
        score=torch.stack([r.score.mean() for r in clips]),
        classify=LOGITS,
    )


@pytest.mark.parametrize("name", SCORES)
def test_an_unknown_section_is_scored_against_the_whole_machine(name: str) -> None:
    reference, test = clip_rows(18, seed=0), clip_rows(9, seed=1)
    score = clip_score(name, reference, Scoring(pool="section"))
    machine = clip_score(name, replace(reference, section=None), Scoring())(test)
    assert torch.equal(score(replace(test, section=None)), machine)
    elsewhere = torch.full_like(test.section, 7)
    assert torch.equal(score(replace(test, section=elsewhere)), machine)
    if name in COMPARING:
        assert (score(test) - machine).abs().max() > 1e-3


def test_neg_logit_is_that_of_the_own_class_and_else_the_largest() -> None:
    reference, test = clip_rows(18, seed=0), clip_rows(9, seed=1)
    score = clip_score("neg_logit", reference, Scoring())
    logits = LOGITS(test.mean).view(9, 5, C)
    own = torch.tensor([0, 1, 3] * 3)
    wanted = -logits[torch.arange(9), :, own].mean(dim=1).double()
    torch.testing.assert_close(score(test), wanted, rtol=0, atol=1e-6)
    seen = -logits[:, :, [0, 1, 3]].amax(dim=2).mean(dim=1).double()  # no clip was of class 2
    torch.testing.assert_close(score(replace(test, section=None)), seen, rtol=0, atol=1e-6)


@pytest.mark.parametrize("own", [[0], [1, 3], [0, 1, 2, 3]])
def test_neg_log_prob_is_of_the_mean_of_some_classes_and_of_the_largest_of_all(own: list[int]) -> None:
    test = rows(9, seed=1)
    reference = replace(rows(8, seed=0), label=torch.tensor(own * 8)[:8])
    p = LOGITS(test.mean).double().softmax(dim=1)
    wanted = p.amax(dim=1) if len(own) == C else p[:, own].mean(dim=1)
    torch.testing.assert_close(make("neg_log_prob", reference)(test), -wanted.log(), rtol=0, atol=1e-6)


def test_a_section_of_one_clip_has_scores() -> None:
    reference = clip_rows(3, seed=0)  # a clip each
    test = clip_rows(9, seed=1)
    for name, how in product(SCORES, ("mean", "embedding")):
        score = clip_score(name, reference, Scoring(pool="section", aggregation=how))
        assert torch.isfinite(score(test.averaged() if how == "embedding" else test)).all()


@pytest.mark.parametrize("chunks", [1, 3])
def test_a_clip_may_have_any_number_of_rows(chunks: int) -> None:
    reference, test = clip_rows(18, seed=0), rows(4 * chunks, seed=1)
    found = clip_score("knn", reference, Scoring())(replace(test, chunks=chunks))
    torch.testing.assert_close(found, make("knn", reference)(test).view(4, chunks).mean(dim=1))
