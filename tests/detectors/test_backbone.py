"""MobileFaceNet: its sizes are the paper's, and any size of spectrogram fits."""

import pytest
import torch
from torch import nn

from humtune.detectors.classifier.backbones import Bottleneck, MobileFaceNet, channels
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.frontends import Spectrogram

SECTIONS = tuple(f"section_0{i}" for i in range(6))
MAPS = 33_024  # the two variational maps: 2 k (k + 1)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("activation", "bins", "frames", "count"),
    [
        ("relu", 128, 256, 848_646),
        ("prelu", 128, 128, 821_382),
        ("prelu", 128, 256, 854_150),
        ("prelu", 512, 128, 919_686),  # bearing
        ("prelu", 201, 400, 955_014),  # gearbox
        ("prelu", 256, 512, 1_050_758),  # ToyCar
        ("prelu", 128, 1024, 1_050_758),  # ToyTrain, slider
        ("prelu", 512, 256, 1_050_758),  # fan, valve
    ],
)
def test_an_encoder_has_the_papers_parameters(activation: str, bins: int, frames: int, count: int) -> None:
    linear = bins == 201
    recipe = Classifier(
        spectrogram=Spectrogram(n_fft=400, chunk_frames=frames, n_mels=None if linear else bins),
        backbone=MobileFaceNet(activation=activation),
    )
    encoder = recipe.build(SECTIONS)
    assert parameters(encoder) == count + MAPS
    assert parameters(encoder.head.to_mean) + parameters(encoder.head.to_log_variance) == MAPS


def test_the_two_maps_are_the_papers_share_of_its_network() -> None:
    assert f"{MAPS / 848_646:.2%}" == "3.89%"


@pytest.mark.parametrize(("bins", "frames"), [(64, 64), (65, 33), (201, 100), (17, 16), (16, 130)])
@pytest.mark.parametrize("activation", ["relu", "prelu", "leaky_relu"])
def test_any_size_of_spectrogram_becomes_features(bins: int, frames: int, activation: str) -> None:
    network = MobileFaceNet(width=0.25, activation=activation, embedding=24).build([(1, bins, frames)])
    features = network(torch.randn(3, 1, bins, frames))
    assert features.shape == (3, 24)
    assert torch.isfinite(features).all()
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)


def test_width_scales_every_layer_but_the_embedding() -> None:
    def widths(width: float) -> list[int]:
        network = MobileFaceNet(width=width).build([(1, 64, 64)])
        return [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]

    whole, half = widths(1.0), widths(0.5)
    assert set(whole) == {64, 128, 256, 512}
    assert half[:-1] == [c // 2 for c in whole[:-1]]
    assert whole[-1] == half[-1] == 128


def test_channels_are_multiples_of_8_and_never_none() -> None:
    assert [channels(64, w) for w in (1.0, 0.25, 0.3, 0.01)] == [64, 16, 16, 8]


def test_a_bottleneck_adds_its_input_only_where_the_shape_stays() -> None:
    x = torch.randn(2, 16, 8, 8)
    same = Bottleneck(16, 16, expansion=2, stride=1, act="relu")
    nn.init.zeros_(same.body[-1][1].weight)  # the body gives 0
    assert torch.equal(same(x), x)
    for outputs, stride in ((24, 1), (16, 2)):
        other = Bottleneck(16, outputs, expansion=2, stride=stride, act="relu")
        nn.init.zeros_(other.body[-1][1].weight)
        assert other(x).abs().max() == 0


def test_prelu_learns_a_slope_a_channel() -> None:
    network = MobileFaceNet(activation="prelu").build([(1, 64, 64)])
    slopes = [m.num_parameters for m in network.modules() if isinstance(m, nn.PReLU)]
    assert slopes[:2] == [64, 64]
    assert len(slopes) == 2 + 2 * 6 + 1
