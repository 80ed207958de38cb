"""A variational autoencoder, against integrals over z on a grid."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from humtune.detectors.vae import Vae, VaeNetwork

Z = np.linspace(-12, 12, 4_801)  # a grid that holds the prior and every posterior of these tests
STEP = Z[1] - Z[0]


@pytest.fixture(scope="module")
def network() -> VaeNetwork:
    """One that was trained for a while on two clouds of four values, with a z of one."""
    torch.manual_seed(0)
    network = Vae(frames=2, hidden=16, layers=1, bottleneck=1).network(2)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(200):
        runs = cloud(64)
        optimiser.zero_grad()
        (-network.bound(runs, torch.randn(64, 1)).mean()).backward()
        optimiser.step()
    return network.eval()


def cloud(count: int) -> torch.Tensor:
    sign = torch.randint(0, 2, (count, 1)) * 2.0 - 1
    return sign * torch.tensor([1.0, 1.0, -1.0, 0.5]) + 0.3 * torch.randn(count, 4)


@torch.no_grad()
def on_the_grid(network: VaeNetwork, run: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Log p(x | z) on the grid, by scipy; and log q(z | x)."""
    mean, log_variance = (
        v.double().numpy() for v in network.decode(torch.tensor(Z)[:, None].float()).chunk(2, dim=1)
    )
    deviation = np.sqrt(np.exp(log_variance) + 0.01)
    given = stats.norm.logpdf(run.numpy(), mean, deviation).sum(axis=1)
    centre, log_spread = (float(v) for v in network.encode(run[None])[0].detach())
    return given, stats.norm.logpdf(Z, centre, math.exp(log_spread / 2))


def test_the_bound_lies_below_the_importance_weighted_estimate_below_the_likelihood(
    network: VaeNetwork,
) -> None:
    torch.manual_seed(1)
    noise = torch.randn(20_000, 1)
    for run in cloud(8):
        given, posterior = on_the_grid(network, run)
        likelihood = logsumexp(given + stats.norm.logpdf(Z)) + math.log(STEP)
        with torch.no_grad():
            bound = float(network.bound(run.expand(len(noise), -1), noise).mean())
        inside = posterior > -50
        exact = np.exp(posterior) * (given + stats.norm.logpdf(Z) - posterior)
        assert bound == pytest.approx(exact[inside].sum() * STEP, abs=0.1)
        mean, log_variance = network.posterior(run[None])
        z = (mean + torch.exp(log_variance / 2) * noise).detach().double().numpy()[:, 0]
        log_weights = np.interp(z, Z, given + stats.norm.logpdf(Z) - posterior)
        fives = logsumexp(log_weights.reshape(-1, 5), axis=1) - math.log(5)
        weighted = float(fives.mean())
        assert bound < weighted < likelihood


def test_the_score_is_the_expected_log_likelihood_for_each_bin_of_fixed_samples(network: VaeNetwork) -> None:
    torch.manual_seed(2)
    runs = cloud(5)
    with torch.no_grad():
        found, embedding = network.judge(runs)
    for i, run in enumerate(runs):
        given, posterior = on_the_grid(network, run)
        mean, log_variance = (float(v) for v in network.encode(run[None])[0].detach())
        assert float(embedding[i, 0]) == pytest.approx(mean, abs=1e-6)
        z = mean + math.exp(log_variance / 2) * network.noise[:, 0].double().numpy()
        assert float(found[i]) == pytest.approx(-np.interp(z, Z, given).mean() / 4, abs=1e-3)
        assert (
            abs(float(found[i]) + (np.exp(posterior) * given).sum() * STEP / 4) < 0.5
        )  # eight samples of it
    assert torch.equal(network.judge(runs)[0], found)


def test_the_weight_of_the_divergence_is_what_it_says() -> None:
    runs, noise = torch.randn(6, 8), torch.zeros(6, 3)
    bounds = []
    for weight in (0.0, 1.0, 2.5):
        torch.manual_seed(3)
        network = Vae(frames=2, hidden=8, layers=1, bottleneck=3, kl_weight=weight).network(4).eval()
        bounds.append(network.bound(runs, noise))
    mean, log_variance = network.posterior(runs)
    q = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    divergence = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(bounds[0] - bounds[1], divergence)
    torch.testing.assert_close(bounds[0] - bounds[2], 2.5 * divergence)
