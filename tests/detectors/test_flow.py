"""Flows: densities that integrate to one, Jacobians against autograd, and the Gaussian that they begin as."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from humtune.detectors.flow import Flow, FlowNetwork
from humtune.errors import UsageError
from humtune.testing.recordings import small_bank

KINDS = pytest.mark.parametrize("transform", ["coupling", "autoregressive"])
SMALL = {"hidden": 16, "layers": 2, "transforms": 3}


def training_chunks(rows: int, frames: int = 12) -> torch.Tensor:
    """Chunks whose rows and frames go together."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(40, 1, rows, frames + 1, generator=generator)
    mixed = torch.einsum("bcrt,sr->bcst", x, torch.randn(rows, rows, generator=generator))
    return 0.7 * mixed[..., 1:] + 0.4 * mixed[..., :-1] + 0.2


def make(rows: int, *, stir: bool = True, **settings: object) -> FlowNetwork:
    """A network that knows its training chunks' covariance; its steps are anything, or nothing yet."""
    torch.manual_seed(0)
    network = Flow.model_validate(SMALL | settings).network(rows)
    network.prepare([training_chunks(rows)])
    if stir:
        for value in network.parameters():
            value.data += 0.3 * torch.randn_like(value)
    return network.double().eval()


@torch.no_grad()
def log_density(network: FlowNetwork, runs: torch.Tensor) -> torch.Tensor:
    """Of each segment of runs [n, D] given the rest, [n, S]."""
    z, scale = network.latent(runs)
    return scale - (z.square().sum(dim=2) + z.shape[2] * math.log(2 * math.pi)) / 2


@KINDS
@pytest.mark.parametrize("whiten", [True, False])
def test_the_density_of_two_values_integrates_to_one(transform: str, whiten: bool) -> None:
    network = make(2, frames=1, transform=transform, whiten=whiten)
    line = torch.linspace(-25, 25, 1_001, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        score, _ = network.judge(grid)
    assert float(torch.exp(-2 * score).sum()) * 0.05**2 == pytest.approx(1, abs=1e-3)


@KINDS
def test_the_density_of_a_segment_integrates_to_one_whatever_the_others_are(transform: str) -> None:
    network = make(3, frames=1, transform=transform, segment=1)
    line = torch.linspace(-40, 40, 8_001, dtype=torch.float64)
    for segment in range(3):
        for others in torch.randn(3, 3, dtype=torch.float64):
            runs = others.repeat(len(line), 1)
            runs[:, segment] = line
            assert float(log_density(network, runs)[:, segment].exp().sum()) * 0.01 == pytest.approx(
                1, abs=1e-3
            )


@KINDS
@pytest.mark.parametrize("segment", [0, 1, 2])
def test_the_log_determinant_is_that_of_autograds_jacobian(transform: str, segment: int) -> None:
    network = make(4, frames=2, transform=transform, segment=segment)
    runs = torch.randn(3, 8, dtype=torch.float64)
    _, scale = network.latent(runs)
    bins = segment or 4
    for run, own in zip(runs, scale, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: network.latent(x[None])[0][0], run)
        for i in range(4 // bins):
            members = [4 * frame + row for frame in range(2) for row in range(i * bins, (i + 1) * bins)]
            of_segment = jacobian[i][:, members]
            assert float(own[i]) == pytest.approx(float(torch.linalg.slogdet(of_segment).logabsdet), abs=1e-6)
    assert network.judge(runs)[1].shape == (3, 8)


@KINDS
def test_it_begins_as_the_gaussian_of_the_training_frames_with_noise(transform: str) -> None:
    network = make(3, stir=False, frames=2, transform=transform, noise=0.2)
    runs = network.runs(training_chunks(3).double())
    covariance = np.cov(runs.numpy().T, bias=True) + 0.04 * np.eye(6)
    gaussian = stats.multivariate_normal(runs.numpy().mean(axis=0), covariance)
    score, z = network.judge(runs)
    np.testing.assert_allclose(
        -6 * score.detach().numpy(), gaussian.logpdf(runs.numpy()), rtol=1e-4, atol=1e-4
    )
    assert float(z.mean().abs()) < 1e-5


def test_a_segment_begins_as_the_gaussian_given_all_other_bins() -> None:
    network = make(4, stir=False, frames=1, segment=2)
    runs = network.runs(training_chunks(4).double())
    x = runs.numpy()
    mean, covariance = x.mean(axis=0), np.cov(x.T, bias=True) + 0.09 * np.eye(4)
    whole = stats.multivariate_normal(mean, covariance).logpdf(x)
    found = log_density(network, runs).numpy()
    for segment, others in enumerate(([2, 3], [0, 1])):
        rest = stats.multivariate_normal(mean[others], covariance[np.ix_(others, others)]).logpdf(
            x[:, others]
        )
        np.testing.assert_allclose(found[:, segment], whole - rest, rtol=1e-4, atol=1e-4)
    score, _ = network.judge(runs)
    np.testing.assert_allclose(score.detach().numpy(), -found.mean(axis=1) / 2, rtol=1e-6)


@KINDS
def test_a_trained_flow_knows_a_bent_cloud_better_than_any_gaussian(transform: str) -> None:
    torch.manual_seed(2)

    def bent(count: int) -> torch.Tensor:
        x = torch.randn(count)
        return torch.stack([x, x.square() / 2 + 0.2 * torch.randn(count)], dim=1)

    network = Flow.model_validate(SMALL | {"frames": 1, "transform": transform, "noise": 0.01}).network(2)
    network.prepare([bent(5_000)[:, None, :, None]])
    held_out = bent(2_000)
    gaussian = float(network.judge(held_out)[0].mean())
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(150):
        optimiser.zero_grad()
        network.judge(bent(256))[0].mean().backward()
        optimiser.step()
    entropy = (math.log(2 * math.pi * math.e) + math.log(0.2)) / 2  # of the cloud, for each value
    found = float(network.judge(held_out)[0].mean())
    assert entropy - 0.05 < found < gaussian - 0.3


def test_rows_that_never_change_have_a_finite_density() -> None:
    recipe = Flow.model_validate(SMALL | {"frames": 1})
    network = recipe.network(3)
    chunks = training_chunks(3)
    chunks[:, :, 1] = 0
    network.prepare([chunks])
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    for _ in range(50):
        optimiser.zero_grad()
        network.loss(chunks, rng).backward()
        optimiser.step()
    score, _ = network.judge(network.runs(chunks))
    # the noise has entropy of its own, which no density of it can undercut
    assert float(score.mean()) > (math.log(2 * math.pi * math.e) / 2 + math.log(0.3)) - 0.6


def test_a_segment_that_does_not_divide_the_bins_is_refused() -> None:
    bank = small_bank(seconds=1.5)
    recipe = Flow(spectrogram={"n_fft": 256, "n_mels": 96, "chunk_frames": 64}, segment=20)
    with pytest.raises(UsageError, match=r"segment = 20 doesn't divide the spectrogram's 96 bins; choose 16"):
        recipe.check(bank.table, bank.lengths)
    recipe.model_copy(update={"segment": 16}).check(bank.table, bank.lengths)
