"""Anomaly scores against a loop over all pairs, and the contract of every score type."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal
from torch.nn import functional as F

from humtune.detector import scores
from humtune.detector.head import Embeddings
from humtune.detector.scores import SCORES
from humtune.errors import UsageError

K = 8


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
    )


def pair_distance(name: str, z: torch.Tensor, reference: Embeddings, i: int) -> float:
    """The distance of one embedding from one reference chunk, in float64."""
    mean = reference.mean[i].double()
    if name == "cosine":
        return 1 - float(F.cosine_similarity(z.double(), mean, dim=0))
    assert reference.log_variance is not None
    density = Independent(Normal(mean, (reference.log_variance[i].double() / 2).exp()), 1)
    return -float(density.log_prob(z.double()))


def naive(
    name: str, z: torch.Tensor, reference: Embeddings, clip: torch.Tensor | None = None
) -> torch.Tensor:
    rows = []
    for j in range(len(z)):
        others = [i for i in range(len(reference.mean)) if clip is None or reference.clip[i] != clip[j]]
        rows.append(min(pair_distance(name, z[j], reference, i) for i in others))
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("own", [False, True])
def test_scores_equal_a_loop_over_all_pairs(name: str, own: bool) -> None:
    reference, test = embeddings(40, seed=0), embeddings(15, seed=1)
    clip = test.clip if own else None
    found = SCORES[name](reference)(test.mean, clip)
    torch.testing.assert_close(found, naive(name, test.mean, reference, clip), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_a_clips_own_chunks_do_not_count_when_masked(name: str) -> None:
    reference = embeddings(40, seed=0)
    score = SCORES[name](reference)
    plain, masked = score(reference.mean), score(reference.mean, reference.clip)
    assert (masked >= plain).all()
    assert (masked > plain).sum() > 20
    if name == "cosine":
        torch.testing.assert_close(plain, torch.zeros(40).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("block", [1, 40 * 4, 40 * 15])
def test_blocks_change_nothing(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, test = embeddings(40, seed=0), embeddings(15, seed=1)
    whole = SCORES[name](reference)(test.mean, test.clip)
    sizes: list[int] = []
    distances = SCORES[name].distances
    monkeypatch.setattr(SCORES[name], "distances", lambda self, z: sizes.append(len(z)) or distances(self, z))
    monkeypatch.setattr(scores, "BLOCK", block)
    blocked = SCORES[name](reference)(test.mean, test.clip)
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


def test_nll_needs_variances() -> None:
    plain = Embeddings(mean=torch.randn(3, K), log_variance=None, clip=torch.arange(3))
    with pytest.raises(UsageError, match="nll score needs the variances"):
        SCORES["nll"](plain)


def test_cosine_needs_no_variances_and_ignores_length() -> None:
    plain = Embeddings(mean=torch.randn(9, K), log_variance=None, clip=torch.arange(9))
    z = torch.randn(4, K)
    score = SCORES["cosine"](plain)
    torch.testing.assert_close(score(z), score(7 * z), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_contract_farther_is_more_anomalous(name: str) -> None:
    reference = embeddings(40, seed=0, sigma2=0.05)
    direction = torch.zeros(K)
    direction[5] = 2.0  # no class points there
    steps = torch.linspace(0, 2, 6)[:, None]
    score = SCORES[name](reference)(reference.mean[:1] + steps * direction)
    assert (score.diff() > 0).all()


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contract_a_float64_score_a_chunk_the_same_every_time(name: str, dtype: torch.dtype) -> None:
    reference, test = embeddings(40, seed=0), embeddings(15, seed=1).mean.to(dtype)
    before = test.clone()
    score = SCORES[name](reference)
    first, second = score(test), score(test)
    assert first.shape == (15,)
    assert first.dtype == torch.float64
    assert torch.isfinite(first).all()
    assert torch.equal(first, second)
    assert torch.equal(test, before)


@pytest.mark.parametrize("name", SCORES)
def test_contract_more_reference_never_raises_a_score(name: str) -> None:
    reference, test = embeddings(40, seed=0), embeddings(15, seed=1).mean
    assert reference.log_variance is not None
    half = Embeddings(reference.mean[:20], reference.log_variance[:20], reference.clip[:20])
    assert (SCORES[name](reference)(test) <= SCORES[name](half)(test) + 1e-12).all()
