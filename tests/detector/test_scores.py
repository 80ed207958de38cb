"""Anomaly scores against loops over all references, and the contract of every score type."""

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from torch.distributions import Independent, Normal
from torch.nn import functional as F

from humtune.config import FUSION, ScoreName, Scoring
from humtune.detector.head import Embeddings
from humtune.detector.scores import SCORES, ClipScore, score
from humtune.detector.scores.score import DistanceScore, Score
from humtune.errors import UsageError

K, C = 8, 4
LOGITS = torch.nn.Linear(K, C)
NEAREST = [name for name, kind in SCORES.items() if issubclass(kind, DistanceScore)]


def embeddings(
    chunks: int, *, seed: int, mu: float = 2.0, sigma2: float = 0.5, k: int = K, clips: int = 7
) -> Embeddings:
    """Chunks near one of two orthogonal means of length mu, as a trained head gives them."""
    generator = torch.Generator().manual_seed(seed)
    means = mu * torch.eye(2, k)[torch.arange(chunks) % 2]
    return Embeddings(
        mean=means + math.sqrt(sigma2) * torch.randn(chunks, k, generator=generator),
        log_variance=math.log(sigma2) + 0.2 * torch.randn(chunks, k, generator=generator),
        clip=torch.arange(chunks) % clips,
        label=torch.arange(chunks) % 2,
    )


def make(name: str, reference: Embeddings, scoring: Scoring | None = None) -> Score:
    return SCORES[name](reference, scoring, LOGITS)


def unit(z: torch.Tensor) -> torch.Tensor:
    return z.double() / z.double().norm()


def mean_of_nearest(z: torch.Tensor, others: Iterable[torch.Tensor], k: int) -> float:
    distances = sorted(float((unit(z) - unit(r)).norm()) for r in others)[:k]
    return sum(distances) / len(distances)


def pair_distance(name: str, z: torch.Tensor, reference: Embeddings, i: int, k: int) -> float:
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


def class_distances(z: torch.Tensor, reference: Embeddings, *, shared: bool) -> list[float]:
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


def naive_score(name: str, z: torch.Tensor, reference: Embeddings, k: int) -> float:
    match name:
        case "knn":
            return mean_of_nearest(z, reference.mean, k)
        case "mahalanobis" | "mahalanobis_class":
            return min(class_distances(z, reference, shared=name == "mahalanobis"))
        case "neg_logit":
            assert reference.label is not None
            rows = [
                (LOGITS.weight[c] @ z.float() + LOGITS.bias[c]).item() for c in set(reference.label.tolist())
            ]
            return -max(rows)
        case _:
            return min(pair_distance(name, z, reference, i, k) for i in range(len(reference.mean)))


def naive(
    name: str, z: torch.Tensor, reference: Embeddings, clip: torch.Tensor | None = None, k: int = 5
) -> torch.Tensor:
    rows = []
    for j in range(len(z)):
        counted = reference if clip is None else reference.take(reference.clip != clip[j])
        rows.append(naive_score(name, z[j], counted, k))
    return torch.tensor(rows, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterable[None]:
    with torch.no_grad():
        yield


def test_there_is_a_score_for_every_name_of_the_configuration() -> None:
    assert set(SCORES) | {FUSION} == set(get_args(ScoreName))


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_scores_equal_a_loop_over_all_references(name: str, own: bool, k: int) -> None:
    reference, test = embeddings(40, seed=0), embeddings(15, seed=1)
    clip = test.clip if own else None
    found = make(name, reference, Scoring(neighbours=k))(test.mean, clip)
    tolerance = 1e-6 if name == "neg_logit" else 1e-9  # the head's own arithmetic is float32
    torch.testing.assert_close(found, naive(name, test.mean, reference, clip, k), rtol=1e-9, atol=tolerance)


@pytest.mark.parametrize("name", NEAREST)
def test_a_clips_own_chunks_do_not_count_when_masked(name: str) -> None:
    reference = embeddings(40, seed=0)
    score = make(name, reference)
    plain, masked = score(reference.mean), score(reference.mean, reference.clip)
    assert (masked >= plain).all()
    assert (masked > plain).sum() > 20
    if name == "cosine":
        torch.testing.assert_close(plain, torch.zeros(40).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_contract_a_masked_clip_might_as_well_not_be_there(name: str) -> None:
    reference, test = embeddings(40, seed=0), embeddings(15, seed=1)
    found = make(name, reference)(test.mean, test.clip)
    for j in range(15):
        without = make(name, reference.take(reference.clip != test.clip[j]))
        torch.testing.assert_close(found[j], without(test.mean[j : j + 1])[0], rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(SCORES) - {"neg_logit"}))
def test_where_no_other_clip_is_left_a_masked_score_is_infinite(name: str) -> None:
    reference = embeddings(10, seed=0, clips=1)
    assert make(name, reference)(reference.mean, reference.clip).isposinf().all()


@pytest.mark.parametrize("name", NEAREST)
@pytest.mark.parametrize("block", [1, 40 * 4, 40 * 15])
def test_blocks_change_nothing(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, test = embeddings(40, seed=0), embeddings(15, seed=1)
    whole = make(name, reference)(test.mean)
    built = make(name, reference)
    sizes: list[int] = []
    measure = built.distances()
    monkeypatch.setattr(built, "distances", lambda: lambda z: sizes.append(len(z)) or measure(z))
    monkeypatch.setattr(score, "BLOCK", block)
    blocked = built(test.mean)
    assert max(sizes) == max(1, block // 40)
    assert sum(sizes) == 15
    torch.testing.assert_close(blocked, whole, rtol=1e-13, atol=1e-13)


def test_nll_is_exact_where_float32_loses_a_part_of_the_spread() -> None:
    """At mu = 30 and sigma2 = 0.02 the terms are 10^5 times as large as what is left of them."""
    shape = {"mu": 30.0, "sigma2": 0.02, "k": 128}
    reference, test = embeddings(30, seed=0, **shape), embeddings(12, seed=1, **shape)
    found = SCORES["nll"](reference)(test.mean)
    wanted = naive("nll", test.mean, reference)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-7)

    precision = (-reference.log_variance).exp()  # the same sum in float32
    squares = test.mean.square() @ precision.T - 2 * test.mean @ (reference.mean * precision).T
    offset = (reference.mean.square() * precision + reference.log_variance).sum(dim=1)
    single = ((squares + offset).amin(dim=1) + 128 * math.log(2 * math.pi)) / 2
    assert (single - wanted).abs().max() > 1e-3


def test_nll_needs_variances_and_neg_logit_a_classifier() -> None:
    plain = replace(embeddings(9, seed=0), log_variance=None)
    with pytest.raises(UsageError, match="nll score needs the variances"):
        SCORES["nll"](plain)
    with pytest.raises(UsageError, match="neg_logit score needs the classifier"):
        SCORES["neg_logit"](plain)


@pytest.mark.parametrize("name", sorted(set(SCORES) - {"nll"}))
def test_contract_the_others_need_no_variances(name: str) -> None:
    reference, z = embeddings(40, seed=0), embeddings(15, seed=1).mean
    plain = replace(reference, log_variance=None)
    assert torch.equal(make(name, plain)(z), make(name, reference)(z))


@pytest.mark.parametrize("name", ["cosine", "knn", "knn_normalised"])
def test_angles_ignore_length(name: str) -> None:
    z, score = embeddings(4, seed=1).mean, make(name, embeddings(40, seed=0))
    torch.testing.assert_close(score(z), score(7 * z), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(SCORES) - {"neg_logit"}))
def test_contract_farther_is_more_anomalous(name: str) -> None:
    reference = embeddings(40, seed=0, sigma2=0.05)
    direction = torch.zeros(K)
    direction[5] = 2.0  # no class points there
    steps = torch.linspace(0, 2, 6)[:, None]
    scores = make(name, reference)(reference.mean[:2].mean(dim=0) + (1 + steps) * direction)
    assert (scores.diff() > 0).all()


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contract_a_float64_score_a_chunk_the_same_every_time(name: str, dtype: torch.dtype) -> None:
    reference, test = embeddings(40, seed=0), embeddings(15, seed=1).mean.to(dtype)
    before = test.clone()
    score = make(name, reference)
    first, second = score(test), score(test)
    assert first.shape == (15,)
    assert first.dtype == torch.float64
    assert torch.isfinite(first).all()
    assert torch.equal(first, second)
    assert torch.equal(test, before)


@pytest.mark.parametrize("name", ["cosine", "nll", "knn"])
def test_more_reference_never_raises_a_score(name: str) -> None:
    reference, test = embeddings(40, seed=0), embeddings(15, seed=1).mean
    half = make(name, reference.take(slice(20)))
    assert (make(name, reference)(test) <= half(test) + 1e-12).all()


@pytest.mark.parametrize("name", SCORES)
def test_contract_copies_of_one_clip_do_not_break_a_score(name: str) -> None:
    """A machine of recordings that were copied: no spread, no density, and still a finite score."""
    one = embeddings(1, seed=0).take(torch.zeros(20, dtype=torch.long))
    reference = replace(one, clip=torch.arange(20) // 5, label=torch.arange(20) % 2)
    assert torch.isfinite(make(name, reference)(embeddings(15, seed=1).mean)).all()


def test_fewer_references_than_neighbours_are_all_neighbours() -> None:
    reference, test = embeddings(6, seed=0), embeddings(5, seed=1)
    found = make("knn", reference, Scoring(neighbours=50))(test.mean)
    torch.testing.assert_close(found, naive("knn", test.mean, reference, k=6), rtol=0, atol=1e-12)


def test_density_makes_a_sparse_domain_comparable() -> None:
    """Few scattered references beside many close ones: between its like, a clip of the few is no stranger."""
    generator = torch.Generator().manual_seed(0)
    many = torch.tensor([3.0, 0, 0]) + 0.05 * torch.randn(200, 3, generator=generator)
    few = torch.tensor([0, 3.0, 0]) + 0.6 * torch.randn(20, 3, generator=generator)
    reference = Embeddings(torch.cat([many, few]), None, torch.arange(220))
    normal = torch.tensor([0, 3.0, 0]) + 0.6 * torch.randn(20, 3, generator=generator)
    odd = torch.tensor([3.0, 0.5, 0]) + 0.05 * torch.randn(20, 3, generator=generator)
    margins = {}
    for name in ("knn", "knn_normalised"):
        score = make(name, reference, Scoring(neighbours=2))
        margins[name] = float(score(odd).median() / score(normal).median())
    assert margins["knn_normalised"] > 3 > margins["knn"]


def test_a_narrow_class_is_left_sooner_than_a_wide_one() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(400) % 2
    spread = torch.tensor([0.1, 1.0])[label, None]
    mean = 5 * torch.eye(2, 3)[label] + spread * torch.randn(400, 3, generator=generator)
    reference = Embeddings(mean, None, torch.arange(400), label=label)
    off = torch.tensor([[5.0, 0, 0.5], [0, 5.0, 0.5]])
    narrow, wide = make("mahalanobis_class", reference)(off).tolist()
    assert narrow > 10 * wide
    assert make("mahalanobis", reference)(off).diff().abs() < 0.5


# --- whole clips: pool and aggregation


def clip_embeddings(clips: int, *, seed: int) -> Embeddings:
    """Five chunks a clip, of three sections; two classes a section but for the third, which has one."""
    plain = embeddings(5 * clips, seed=seed)
    clip = torch.arange(clips).repeat_interleave(5)
    section = clip % 3
    label = torch.where(section == 2, 3, section)
    return replace(plain, clip=clip, section=section, label=label)


def over(how: str, chunks: torch.Tensor) -> float:
    return float(chunks.max() if how == "max" else chunks.mean())


CASES = list(product(SCORES, ("machine", "section"), ("mean", "max", "embedding")))


@pytest.mark.parametrize(("name", "pool", "aggregation"), CASES)
@pytest.mark.parametrize("own", [False, True])
def test_contract_a_clips_score_is_that_of_its_pool(
    name: str, pool: str, aggregation: str, own: bool
) -> None:
    """Clip by clip, against the references of its section alone, without its own chunks where masked."""
    reference, test = clip_embeddings(18, seed=0), clip_embeddings(9, seed=1)
    settings = Scoring(pool=pool, aggregation=aggregation, neighbours=3)
    clip = test.clip if own else None
    found = ClipScore(name, reference, settings, LOGITS)(test.mean, clip=clip, section=test.section)
    assert found.shape == (9,)
    by_section = pool == "section" or name == "neg_logit"
    for i in range(9):
        counted = reference.take(reference.section == test.section[5 * i]) if by_section else reference
        if own:
            counted = counted.take(counted.clip != i)
        chunks = test.mean[5 * i : 5 * i + 5]
        if aggregation == "embedding":
            counted, chunks = one_a_clip(counted), chunks.mean(dim=0, keepdim=True)
        wanted = over(aggregation, make(name, counted, settings)(chunks))
        assert float(found[i]) == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def one_a_clip(chunks: Embeddings) -> Embeddings:
    rows = [chunks.take(chunks.clip == c) for c in chunks.clip.unique()]
    return Embeddings(
        mean=torch.stack([r.mean.mean(dim=0) for r in rows]),
        log_variance=torch.stack([r.log_variance.exp().mean(dim=0).log() for r in rows]),
        clip=torch.stack([r.clip[0] for r in rows]),
        label=torch.stack([r.label[0] for r in rows]),
    )


@pytest.mark.parametrize("name", SCORES)
def test_an_unknown_section_is_scored_against_the_whole_machine(name: str) -> None:
    reference, test = clip_embeddings(18, seed=0), clip_embeddings(9, seed=1)
    score = ClipScore(name, reference, Scoring(pool="section"), LOGITS)
    machine = ClipScore(name, replace(reference, section=None), Scoring(), LOGITS)(test.mean)
    assert torch.equal(score(test.mean), machine)
    elsewhere = torch.full_like(test.section, 7)
    assert torch.equal(score(test.mean, section=elsewhere), machine)
    if name != "neg_logit":
        known = score(test.mean, section=test.section)
        assert (known - machine).abs().max() > 1e-3


def test_neg_logit_is_that_of_the_own_class_and_else_the_largest() -> None:
    reference, test = clip_embeddings(18, seed=0), clip_embeddings(9, seed=1)
    score = ClipScore("neg_logit", reference, Scoring(), LOGITS)
    logits = LOGITS(test.mean).view(9, 5, C)
    own = torch.tensor([0, 1, 3] * 3)
    wanted = -logits[torch.arange(9), :, own].mean(dim=1).double()
    torch.testing.assert_close(score(test.mean, section=test.section), wanted, rtol=0, atol=1e-6)
    seen = -logits[:, :, [0, 1, 3]].amax(dim=2).mean(dim=1).double()  # no clip was of class 2
    torch.testing.assert_close(score(test.mean), seen, rtol=0, atol=1e-6)


def test_a_section_of_one_clip_has_scores() -> None:
    reference = clip_embeddings(3, seed=0)  # a clip each
    test = clip_embeddings(9, seed=1)
    for name, how in product(SCORES, ("mean", "embedding")):
        score = ClipScore(name, reference, Scoring(pool="section", aggregation=how), LOGITS)
        assert torch.isfinite(score(test.mean, section=test.section)).all()
