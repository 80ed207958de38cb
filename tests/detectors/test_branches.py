"""Several resolutions in one network: what the front end makes, and what each branch sees of it."""

import numpy as np
import pytest
import torch

from humtune.detectors.classifier.branches import Branches, SpectrumLayers
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.classifier.se_resnet import Block, SEResNet
from humtune.detectors.multiresolution import Multiresolution
from humtune.errors import UsageError
from humtune.testing.recordings import small_bank

SMALL = Multiresolution(chunk_frames=16, frame_samples=64, n_ffts=(64, 256))
SHAPES = SMALL.build().shapes


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def noise(chunks: int, seed: int = 0) -> torch.Tensor:
    samples = np.random.default_rng(seed).normal(50, 3000, (chunks, SMALL.chunk_samples))
    return torch.from_numpy(samples.astype(np.int16))


def test_magnitudes_are_numpys_of_each_window_less_the_mean_over_time_and_of_the_whole_chunk() -> None:
    samples = noise(1)
    *spectrograms, spectrum = SMALL.build().eval().magnitudes(samples)
    x = samples[0].numpy() / 32_768
    for found, n_fft in zip(spectrograms, SMALL.n_ffts, strict=True):
        window = np.sin(np.pi * np.arange(n_fft) / n_fft) ** 2
        starts = range(0, len(x) - n_fft + 1, n_fft // 2)
        frames = np.stack([np.abs(np.fft.rfft(window * x[at : at + n_fft])) for at in starts], axis=1)
        inside = frames[[200 <= b * 16_000 / n_fft <= 8000 for b in range(n_fft // 2 + 1)]]
        np.testing.assert_allclose(found[0], inside - inside.mean(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(spectrum[0, 0], np.abs(np.fft.rfft(x)), atol=1e-5)


def test_each_resolution_has_the_mean_0_and_deviation_1_of_all_its_values() -> None:
    layer, batches = SMALL.build(), [noise(3, seed=1), noise(1, seed=2)]
    layer.fit(batches)
    made = [layer(batch) for batch in batches]
    assert [tuple(x.shape[1:]) for x in made[0]] == list(layer.shapes)
    for parts in zip(*made, strict=True):
        values = torch.cat([part.flatten() for part in parts]).double()
        assert abs(values.mean()) < 1e-5
        assert abs(values.std(correction=0) - 1) < 1e-4


def test_a_steady_tone_is_in_the_spectrum_alone() -> None:
    tone = 8000 * np.sin(2 * np.pi * 1000 * np.arange(SMALL.chunk_samples) / 16_000)
    *spectrograms, spectrum = SMALL.build().eval().magnitudes(torch.from_numpy(tone.astype(np.int16))[None])
    assert max(float(x.abs().max()) for x in spectrograms) < 0.001 * spectrum.max()
    assert spectrum[0, 0].argmax() == SMALL.chunk_samples // 16


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_ffts": [], "spectrum": False}, "n_ffts = [] and spectrum = false leave nothing"),
        ({"n_ffts": [65]}, "n_ffts must be even and 16 or more, got 65"),
        ({"n_ffts": [1024]}, "at most half of a chunk, chunk_frames · frame_samples / 2 = 512, got 1024"),
        (
            {"n_ffts": [64], "f_min": 300, "f_max": 400},
            "f_min = 300 and f_max = 400 leave no bin of n_fft = 64",
        ),
    ],
)
def test_what_can_not_be_made_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=r"n_ffts|f_min") as caught:
        Multiresolution.model_validate({"chunk_frames": 16, "frame_samples": 64} | settings)
    assert said in str(caught.value)


def test_a_block_weighs_the_channels_of_its_convolutions_beside_a_short_cut() -> None:
    block, x = Block(4, 8, stride=2).eval(), torch.randn(3, 4, 9, 7)
    y = block.body(x)
    first, _, second, _ = block.weigh
    squeezed = (y.mean(dim=(2, 3)) @ first.weight.T + first.bias).clamp_min(0)
    weights = 1 / (1 + (-(squeezed @ second.weight.T + second.bias)).exp())
    wanted = (y * weights[:, :, None, None] + block.beside(x[:, :, ::2, ::2])).clamp_min(0)
    torch.testing.assert_close(block(x), wanted)
    assert block(x).shape == (3, 8, 5, 4)


def test_a_block_of_long_maps_learns_alike_in_either_memory_format() -> None:
    """At this size a strided 1 x 1 convolution, channels last, took the whole process with it."""
    x = torch.randn(8, 4, 32, 374)
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        block = Block(4, 8, stride=2).to(memory_format=layout)
        block(x.contiguous(memory_format=layout)).square().mean().backward()
        gradients.append([p.grad for p in block.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("bins", [12, 64, 125])
@pytest.mark.parametrize("frames", [7, 40])
def test_an_se_resnet_takes_any_bins_and_frames_and_every_weight_learns(bins: int, frames: int) -> None:
    network = SEResNet(channels=4, embedding=8).build([(1, bins, frames)])
    features = network(torch.randn(4, 1, bins, frames))
    assert features.shape == (4, 8)
    (features @ torch.randn(8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)


@pytest.mark.parametrize("length", [9, 513, 8001])
def test_the_network_of_a_spectrum_takes_any_length(length: int) -> None:
    network = SpectrumLayers(8, length, 5)
    assert network(torch.randn(2, 1, 1, length)).shape == (2, 5)


def test_each_branch_makes_its_own_part_of_the_embedding() -> None:
    settings = Branches(channels=4, embedding=6)
    network = settings.build(SHAPES).eval()
    inputs = [torch.randn(2, *shape) for shape in SHAPES]
    before = network(*inputs)
    assert before.shape == (2, settings.length(SHAPES)) == (2, 18)
    for i in range(3):
        other = [x + 3 * torch.randn_like(x) if i == j else x for j, x in enumerate(inputs)]
        changed = (network(*other) != before).any(dim=0).nonzero().flatten().tolist()
        assert changed
        assert set(changed) <= set(range(6 * i, 6 * i + 6))


@pytest.mark.parametrize("windows", [[64], [64, 256]])
def test_a_head_knows_how_long_all_branches_together_are(windows: list[int]) -> None:
    recipe = Classifier.model_validate(
        {
            "spectrogram": SMALL.model_dump() | {"n_ffts": windows},
            "backbone": {"kind": "branches", "channels": 4, "embedding": 5},
        }
    )
    assert recipe.build(("one", "other")).head.class_means.shape == (2, 5 * len(windows) + 5)


def test_branches_want_several_resolutions() -> None:
    bank = small_bank()
    recipe = Classifier(spectrogram={"n_fft": 256, "chunk_frames": 16}, backbone={"kind": "branches"})
    with pytest.raises(UsageError) as caught:
        recipe.check(bank.table, bank.lengths)
    assert str(caught.value) == (
        "backbone.kind = branches takes a multiresolution, spectrogram.kind = spectrogram gives a "
        "spectrogram; set it to multiresolution"
    )
