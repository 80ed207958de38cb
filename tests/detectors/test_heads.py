"""The variational head against the paper's equations, spelled out by other means."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn import functional as F

from humtune.detectors.classifier import heads
from humtune.detectors.classifier.heads import Variational, VariationalHead
from humtune.errors import UsageError

K, C = 16, 4


def make(
    *, mu: float = 5.0, sigma2: float = 0.1, beta_class: float = 1.0, classes: int = C, seed: int = 0
) -> Variational:
    torch.manual_seed(1)
    settings = VariationalHead(mu=mu, sigma2=sigma2, beta_class=beta_class)
    return settings.build(K, [f"class_{i}" for i in range(classes)], torch.Generator().manual_seed(seed))


def batch(size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(size, K, generator=generator)
    return features, F.one_hot(torch.arange(size) % C, C).float()


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("sigma2", [0.02, 0.5, 3.0])
def test_the_divergence_is_that_of_torch_distributions(sigma2: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_variance, class_mean = (
        torch.randn(9, K, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    wanted = kl_divergence(
        Independent(Normal(mean, (log_variance / 2).exp()), 1),
        Independent(Normal(class_mean, math.sqrt(sigma2)), 1),
    )
    torch.testing.assert_close(heads.kl_divergence(mean, log_variance, class_mean, sigma2), wanted)


def test_the_divergence_from_the_class_itself_is_0() -> None:
    mean = torch.randn(3, K)
    divergence = heads.kl_divergence(mean, torch.full((3, K), math.log(0.02)), mean, 0.02)
    torch.testing.assert_close(divergence, torch.zeros(3), rtol=0, atol=1e-4)


@pytest.mark.parametrize("beta_class", [0.0, 0.1, 10.0])
def test_the_loss_is_weighted_cross_entropy_plus_divergence_over_k(beta_class: float) -> None:
    head, (features, target) = make(beta_class=beta_class), batch()
    loss, logits = head.loss(features, target, noise())

    mean, log_variance = head.embed(features)
    sample = mean + torch.randn(mean.shape, generator=noise()) * (log_variance / 2).exp()
    torch.testing.assert_close(logits, head.to_class(sample))
    cross_entropy = -(target * head.to_class(sample).log_softmax(dim=1)).sum(dim=1).mean()
    divergence = heads.kl_divergence(mean, log_variance, target @ head.class_means, 0.1).mean()
    torch.testing.assert_close(loss, beta_class * cross_entropy + divergence / K)


@pytest.mark.parametrize(("mu", "sigma2"), [(5.0, 0.02), (5.0, 0.5), (30.0, 0.02)])
def test_the_divergence_has_the_gradient_of_equation_11(mu: float, sigma2: float) -> None:
    head, (features, target) = make(mu=mu, sigma2=sigma2, beta_class=0.0), batch()
    head.loss(features, target, noise())[0].backward()
    with torch.no_grad():
        mean, log_variance = head.embed(features)
        towards = (mean - target @ head.class_means) / sigma2
        widening = (log_variance.exp() / sigma2 - 1) / 2
    torch.testing.assert_close(head.to_mean.bias.grad, towards.mean(dim=0) / K)
    torch.testing.assert_close(head.to_log_variance.bias.grad, widening.mean(dim=0) / K)
    assert head.to_mean.weight.grad.abs().min() > 0
    assert head.to_log_variance.weight.grad.abs().min() > 0


def test_both_terms_reach_the_features() -> None:
    grads = []
    for beta_class in (0.0, 1.0):
        features, target = batch()
        features.requires_grad_()
        make(beta_class=beta_class).loss(features, target, noise())[0].backward()
        grads.append(features.grad)
    assert grads[0].norm() > 0
    assert (grads[1] - grads[0]).norm() > 1e-4


def test_without_cross_entropy_embeddings_still_move_to_their_class() -> None:
    head, (features, target) = make(mu=5.0, sigma2=0.1, beta_class=0.0), batch(C)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        head.loss(features, target, noise())[0].backward()
        optimiser.step()
    mean, log_variance = head.embed(features)
    assert (mean - target @ head.class_means).norm(dim=1).max() < 0.1
    torch.testing.assert_close(log_variance, torch.full_like(log_variance, math.log(0.1)), rtol=0, atol=0.1)


@pytest.mark.parametrize("mu", [5.0, 30.0])
@pytest.mark.parametrize("classes", [2, C, K])
def test_class_means_are_orthogonal_and_of_length_mu(mu: float, classes: int) -> None:
    means = make(mu=mu, classes=classes).class_means
    torch.testing.assert_close(means @ means.T, mu**2 * torch.eye(classes), rtol=0, atol=1e-4 * mu**2)


def test_class_means_come_from_their_seed() -> None:
    assert torch.equal(make(seed=7).class_means, make(seed=7).class_means)
    assert not torch.allclose(make(seed=7).class_means, make(seed=8).class_means, atol=0.5)


def test_class_means_are_kept_with_the_weights_and_not_trained() -> None:
    head = make()
    assert "class_means" in head.state_dict()
    assert not head.class_means.requires_grad


def test_mixed_labels_mix_the_class_means() -> None:
    head, features = make(beta_class=0.0), batch()[0]
    part = 0.3
    target = torch.zeros(8, C)
    target[:, 1], target[:, 3] = part, 1 - part
    mean, log_variance = head.embed(features)
    mixed = part * head.class_means[1] + (1 - part) * head.class_means[3]
    wanted = kl_divergence(
        Independent(Normal(mean, (log_variance / 2).exp()), 1),
        Independent(Normal(mixed.expand(8, K), math.sqrt(0.1)), 1),
    )
    torch.testing.assert_close(head.loss(features, target, noise())[0], wanted.mean() / K)


def test_more_classes_than_dimensions_are_refused() -> None:
    with pytest.raises(UsageError, match=rf"{K + 1} classes.*{K}"):
        make(classes=K + 1)


def test_the_sample_has_the_embeddings_mean_and_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    head = make()
    samples: list[torch.Tensor] = []
    monkeypatch.setattr(head, "classify", lambda z: samples.append(z) or head.to_class(z))
    features = torch.randn(1, K).expand(20_000, K)
    head.loss(features, F.one_hot(torch.zeros(20_000, dtype=torch.long), C).float(), noise())
    mean, log_variance = head.embed(features[:1])
    (sample,) = samples
    torch.testing.assert_close(sample.mean(dim=0), mean[0], rtol=0, atol=0.05)
    torch.testing.assert_close(sample.var(dim=0), log_variance[0].exp(), rtol=0.06, atol=0)


def test_in_a_test_the_embedding_is_the_mean() -> None:
    head, (features, _) = make(), batch()
    torch.testing.assert_close(head.embed(features)[0], head.to_mean(features))


def test_log_variances_are_clamped_and_the_loss_stays_finite() -> None:
    head, (features, target) = make(sigma2=0.02), batch()
    with torch.no_grad():
        head.to_log_variance.bias[: K // 2] = 1e4
        head.to_log_variance.bias[K // 2 :] = -1e4
    assert head.embed(features)[1].unique().tolist() == [-10.0, 10.0]
    loss, _ = head.loss(features, target, noise())
    assert torch.isfinite(loss)


@pytest.mark.parametrize("sigma2", [0.02, 0.5])
def test_the_clamp_leaves_room_for_the_papers_variances(sigma2: float) -> None:
    assert abs(math.log(sigma2)) < heads.LOG_VARIANCE_LIMIT / 2
