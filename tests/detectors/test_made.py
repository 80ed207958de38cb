"""Masked autoencoders: what each output may see, and the likelihood as a loop over conditionals."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from humtune.detectors.made import Made, MadeNetwork
from humtune.detectors.masked import MaskedNetwork


def stirred(network: torch.nn.Module) -> torch.nn.Module:
    """With every weight random: the last ones begin as 0, which hides what they are joined to."""
    generator = torch.Generator().manual_seed(7)
    for value in network.parameters():
        value.data = 0.5 * torch.randn(value.shape, generator=generator)
    return network.eval()


def make(**settings: int) -> MadeNetwork:
    torch.manual_seed(0)
    return stirred(Made(hidden=32, **settings).network(6))


def groups(network: MadeNetwork, group: int, frames: int) -> list[list[list[int]]]:
    """For each order the values of its groups, in turn: the groups by hand, the orders from the masks."""
    by_hand = [
        [6 * f + b for b in range(first, first + group)]
        for f in range(frames)
        for first in range(0, 6, group)
    ]
    found = []
    for order in range(network.orders):
        with torch.no_grad():
            size = 6 * frames
            reach = torch.zeros(size, size, dtype=torch.bool)
            for i in range(size):
                x = torch.randn(size)
                y = x.clone()
                y[i] += 3
                means = [network.gaussians(v[None], order)[0][0] for v in (x, y)]
                reach[i] = means[0] != means[1]
        before = [int(reach[:, members[0]].sum()) for members in by_hand]
        found.append([by_hand[i] for i in np.argsort(before)])
    return found


@pytest.mark.parametrize(("group", "frames"), [(2, 1), (3, 2), (6, 3), (1, 1)])
def test_a_group_depends_on_the_groups_before_it_alone_in_every_order(group: int, frames: int) -> None:
    network = make(group=group, frames=frames, orders=3)
    orders = groups(network, group, frames)
    assert orders[0] == sorted(orders[0])
    assert any(order != orders[0] for order in orders[1:])
    for number, order in enumerate(orders):
        x = torch.randn(1, 6 * frames, requires_grad=True)
        for output in network.gaussians(x, number):
            for place, members in enumerate(order):
                earlier = {i for group_ in order[:place] for i in group_}
                for i in members:
                    (slope,) = torch.autograd.grad(output[0, i], x, retain_graph=True, allow_unused=True)
                    assert set(torch.nonzero(slope[0]).flatten().tolist()) == earlier


def test_the_whole_frame_is_a_group_by_default() -> None:
    network = make(frames=2, orders=1)
    assert groups(network, 6, 2) == [[list(range(6)), list(range(6, 12))]]


@pytest.mark.parametrize("orders", [1, 3])
def test_the_score_is_a_loop_over_the_conditionals_of_every_order(orders: int) -> None:
    network = make(group=3, frames=2, orders=orders)
    runs = torch.randn(4, 12)
    score, off = network.judge(runs)
    for run, found, deviations in zip(runs, score, off, strict=True):
        total, wanted = [], np.zeros(12)
        for number, order in enumerate(groups(network, 3, 2)):
            log_p, seen = 0.0, torch.randn(12)  # what is not known yet is anything
            for members in order:
                mean, log_variance = (
                    v[0, members].detach().numpy() for v in network.gaussians(seen[None], number)
                )
                deviation = np.exp(log_variance / 2)
                log_p += stats.norm.logpdf(run[members].numpy(), mean, deviation).sum()
                wanted[members] += (run[members].numpy() - mean) / deviation / orders
                seen[members] = run[members]
            total.append(-log_p / 12)
        assert float(found) == pytest.approx(np.mean(total), rel=1e-5)
        np.testing.assert_allclose(deviations.detach().numpy(), wanted, rtol=1e-3, atol=1e-4)


def test_variances_stay_above_the_floor() -> None:
    network = make(frames=1, orders=1)
    last = network.masked.layers[-1]
    last.bias.data.fill_(-100)
    _, log_variance = network.gaussians(torch.randn(3, 6), 0)
    torch.testing.assert_close(log_variance.exp(), torch.full((3, 6), 0.01))


def test_a_context_reaches_every_output_the_first_too() -> None:
    network = stirred(MaskedNetwork(torch.arange(3)[None], 2, hidden=32, layers=2, context=2))
    x, context = torch.randn(1, 3), torch.randn(1, 2, requires_grad=True)
    for output in network(x, context):
        for value in output[0]:
            (slope,) = torch.autograd.grad(value, context, retain_graph=True)
            assert (slope != 0).all()


@pytest.mark.parametrize(("hidden", "context"), [(1, 0), (4, 0), (4, 2), (7, 2)])
def test_every_value_is_seen_though_there_are_fewer_units_than_places(hidden: int, context: int) -> None:
    network = stirred(MaskedNetwork(torch.arange(9)[None], 1, hidden=hidden, layers=2, context=context))
    x = torch.randn(64, 9, requires_grad=True)
    (found,) = network(x, torch.randn(64, context) if context else None)
    (slope,) = torch.autograd.grad(found[:, -1].sum(), x)
    seen = (slope != 0).any(dim=0)
    assert seen[:8].all()
    assert not seen[8]


def test_masks_take_no_weight_away_that_order_allows() -> None:
    """With one hidden layer that is wide enough, each value sees all before it: against a plain network."""
    network = stirred(MaskedNetwork(torch.tensor([[1, 0]]), 1, hidden=4, layers=1))
    first, last = network.layers
    x = torch.randn(5, 2)
    hidden = F.relu(x[:, 1:] @ first.weight[:, 1:].T + first.bias)
    (found,) = network(x)
    torch.testing.assert_close(found[:, 0], hidden @ last.weight[0] + last.bias[0])
    torch.testing.assert_close(found[:, 1], last.bias[1].expand(5))
