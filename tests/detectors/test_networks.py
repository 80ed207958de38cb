"""Networks along time and on the samples, against loops; and what their front ends give them."""

import numpy as np
import pytest
import torch

from humtune.detectors.autoencoder import Autoencoder
from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.classifier.stgram import STgram
from humtune.detectors.classifier.tdnn import Statistics, WaveNet, XVector
from humtune.detectors.frontends import Spectrogram
from humtune.detectors.multiresolution import Multiresolution
from humtune.detectors.waveform import SpectrogramAndWaveform, Waveform
from humtune.errors import UsageError
from humtune.sounds.bank import ClipBank


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(50, 3000, samples).astype(np.int16)


def changed_at(network: torch.nn.Module, x: torch.Tensor, place: int) -> list[int]:
    """The steps of a network's output that another value of one step of its inputs changes.

    Of several inputs, as a ReLU may be silent for one.
    """
    other = x.clone()
    other[..., place] += 1
    with torch.no_grad():
        difference = (network(x) - network(other)).abs().amax(dim=(0, 1))
    return torch.nonzero(difference).flatten().tolist()


def test_statistics_are_mean_and_deviation_over_time_by_hand() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0, 6.0], [5.0, 5.0, 5.0, 5.0]]])
    found = Statistics()(x)
    torch.testing.assert_close(found, torch.tensor([[3.0, 5.0, 3.5**0.5, 1e-3]]))
    y = torch.randn(3, 7, 20, dtype=torch.float64)
    wanted = np.concatenate([y.numpy().mean(axis=2), y.numpy().std(axis=2)], axis=1)
    np.testing.assert_allclose(Statistics()(y).numpy(), wanted, atol=1e-6)


def test_a_channel_that_does_not_change_has_finite_gradients() -> None:
    x = torch.full((2, 3, 5), 0.5, requires_grad=True)
    Statistics()(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_an_x_vectors_frame_sees_seven_frames_to_either_side() -> None:
    network = XVector(channels=16, embedding=8).build([(1, 12, 40)]).eval()
    x = torch.randn(32, 1, 12, 40)
    frames = network[:-1]  # up to the pooling
    assert frames(x).shape == (32, 48, 40 - 14)
    assert changed_at(frames, x, 20) == list(range(20 - 14, 20 + 1))
    assert network(x).shape == (32, 8)


def test_an_x_vector_takes_the_shortest_chunk_and_every_weight_learns() -> None:
    network = XVector(channels=16, embedding=8).build([(1, 12, 16)])
    network(torch.randn(4, 1, 12, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)


@pytest.mark.parametrize(("layers", "stacks"), [(4, 1), (3, 2)])
def test_wavenet_is_causal_and_reaches_as_far_as_its_dilations(layers: int, stacks: int) -> None:
    network = WaveNet(channels=4, skip=64, layers=layers, stacks=stacks, embedding=8).build([]).double()
    reach = 2 + stacks * (2**layers - 1)
    for place in (0, 17, 59):
        along = torch.nn.Module()
        along.forward = network.along
        found = changed_at(along, torch.randn(32, 1, 60).double(), place)
        assert found == list(range(place, min(60, place + reach)))


def test_wavenet_is_a_loop_over_samples_and_layers() -> None:
    network = WaveNet(channels=3, skip=5, layers=2, stacks=2, embedding=4).build([]).double().eval()
    samples = torch.randn(1, 1, 12).double()

    def causal(conv: torch.nn.Conv1d, x: np.ndarray, dilation: int) -> np.ndarray:
        w, b = conv.weight.detach().numpy(), conv.bias.detach().numpy()
        before = [x[:, t - dilation] if t >= dilation else np.zeros(len(x)) for t in range(x.shape[1])]
        pairs = zip(before, x.T, strict=True)
        return np.stack([w[:, :, 0] @ early + w[:, :, 1] @ now + b for early, now in pairs], axis=1)

    def dense(conv: torch.nn.Conv1d, x: np.ndarray) -> np.ndarray:
        return conv.weight.detach().numpy()[:, :, 0] @ x + conv.bias.detach().numpy()[:, None]

    x, skipped = causal(network.first, samples[0].numpy(), 1), np.zeros((5, 12))
    for layer, dilation in zip(network.gated, (1, 2, 1, 2), strict=True):
        inner = causal(layer.dilated, x, dilation)
        both = dense(layer.mixed, np.tanh(inner[:3]) / (1 + np.exp(-inner[3:])))
        x, skipped = x + both[:3], skipped + both[3:]
    wanted = np.maximum(dense(network.last, np.maximum(skipped, 0)), 0)
    np.testing.assert_allclose(network.along(samples)[0].detach().numpy(), wanted, atol=1e-12)


def test_the_learnt_spectrogram_is_a_filter_bank_with_the_spectrograms_frames() -> None:
    settings = SpectrogramAndWaveform(n_fft=64, chunk_frames=20, n_mels=16)
    (_, bins, frames), (_, _, samples) = settings.build().shapes
    network = STgram(width=0.125, embedding=8).build(settings.build().shapes)
    x = torch.randn(2, 1, 1, samples)
    found = network.tgram.filters(x[:, 0])
    windows = x[:, 0, 0].unfold(1, 64, 32)
    wanted = torch.einsum("bfs,cs->bcf", windows, network.tgram.filters.weight[:, 0])
    torch.testing.assert_close(found, wanted)
    assert network.tgram(x).shape == (2, 1, bins, frames) == (2, 1, 16, 20)


def test_stgram_reads_both_its_inputs_and_every_weight_learns() -> None:
    network = STgram(width=0.125, embedding=8).build([(1, 16, 20), (1, 1, 21 * 32)])
    spectrogram, samples = torch.randn(4, 1, 16, 20), torch.randn(4, 1, 1, 21 * 32)
    spectrogram.requires_grad_()
    samples.requires_grad_()
    network(spectrogram, samples).square().sum().backward()
    assert spectrogram.grad.norm() > 0
    assert samples.grad.norm() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)


@pytest.mark.parametrize("start", [0, 7, 24])
def test_a_chunk_of_samples_is_a_slice_of_the_reflected_clip(start: int) -> None:
    settings = Waveform(chunk_frames=16, frame_samples=20)
    clip = noise(793)
    assert settings.frames(len(clip)) == 40
    chunk = settings.cut(clip, start)
    wanted = np.pad(clip, 10, mode="reflect")[20 * start : 20 * (start + 16)]
    np.testing.assert_array_equal(chunk, wanted)


@pytest.mark.parametrize(
    "settings",
    [
        Waveform(chunk_frames=16, frame_samples=20),
        SpectrogramAndWaveform(n_fft=40, chunk_frames=16, n_mels=8),
        Multiresolution(n_ffts=(32, 64), chunk_frames=16, frame_samples=20),
    ],
)
def test_chunks_of_a_whole_clip_are_those_cut_out_of_its_samples(
    settings: Waveform | SpectrogramAndWaveform,
) -> None:
    layer, clip = settings.build().eval(), noise(793)
    layer.fit([torch.from_numpy(noise(900, seed=1))[None]])
    whole = layer.whole(torch.from_numpy(clip / 32_768).float()[None])
    starts = [(40 - 16) * i // 4 for i in range(5)]
    cut = layer(torch.from_numpy(np.stack([settings.cut(clip, start) for start in starts])))
    assert [tuple(x.shape[1:]) for x in cut] == list(layer.shapes)
    for found, wanted in zip(layer.chunks(whole), cut, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_samples_are_brought_to_mean_0_and_deviation_1_however_they_come() -> None:
    batches = [torch.from_numpy(noise(n * 400, seed=n).reshape(n, -1)) for n in (3, 1)]
    layer = Waveform().build()
    layer.fit(batches)
    values = torch.cat([layer(b)[0].flatten() for b in batches]).double()
    assert abs(values.mean()) < 1e-5
    assert abs(values.std(correction=0) - 1) < 1e-5
    torch.testing.assert_close(layer(batches[0].float() / 32_768), layer(batches[0]))


def test_a_spectrogram_beside_samples_is_the_one_that_stands_alone() -> None:
    sizes = {"n_fft": 64, "chunk_frames": 16, "n_mels": 12}
    both, alone = SpectrogramAndWaveform(**sizes).build(), Spectrogram(**sizes).build()
    batches = [torch.from_numpy(noise(4 * 544, seed=n).reshape(4, -1)) for n in (1, 2)]
    both.fit(batches)
    alone.fit(batches)
    assert torch.equal(both(batches[0])[0], alone(batches[0])[0])


def test_beside_a_waveform_the_hop_is_half_a_window() -> None:
    assert SpectrogramAndWaveform(n_fft=64, hop=32, n_mels=12).hop_samples == 32
    with pytest.raises(ValueError, match="hop must be half of n_fft beside a waveform: 32, got 16"):
        SpectrogramAndWaveform(n_fft=64, hop=16, n_mels=12)


@pytest.mark.parametrize("n_mels", [None, 32])
def test_a_highpass_silences_the_bins_below_and_no_others(n_mels: int | None) -> None:
    sizes = {"n_fft": 256, "chunk_frames": 16, "n_mels": n_mels, "db": False}
    samples = torch.from_numpy(noise(2_176))[None]
    plain, passed = (Spectrogram(**sizes, highpass=hz).build() for hz in (0.0, 1000.0))
    frames = samples[0].double().unfold(0, 256, 128) / 32_768
    power = torch.fft.rfft(frames * torch.hann_window(256).double()).abs().square().T
    power[torch.arange(129) * 16_000 / 256 < 1000] = 0
    wanted = power.float() if n_mels is None else plain.mel.T @ power.float()
    torch.testing.assert_close(passed.spectrogram(samples)[0], wanted, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(plain.spectrogram(samples)[0], wanted, rtol=0.1)


def test_what_a_highpass_silences_is_no_infinity_in_decibels() -> None:
    frontend = Spectrogram(n_fft=256, chunk_frames=16, n_mels=32, highpass=4000).build()
    samples = torch.from_numpy(noise(2_176))[None]
    frontend.fit([samples])
    [found] = frontend(samples)
    assert torch.isfinite(found).all()
    assert found[0, 0, 0].abs().max() == 0
    assert found[0, 0, -1].abs().max() > 0


@pytest.mark.parametrize(
    ("spectrogram", "backbone", "said"),
    [
        (
            "spectrogram",
            "wavenet",
            "backbone.kind = wavenet takes a waveform, spectrogram.kind = spectrogram gives a spectrogram; "
            "set it to waveform",
        ),
        (
            "waveform",
            "mobilefacenet",
            "backbone.kind = mobilefacenet takes a spectrogram, spectrogram.kind = waveform gives a "
            "waveform; set it to spectrogram",
        ),
        (
            "waveform",
            "stgram",
            "backbone.kind = stgram takes a spectrogram and a waveform, spectrogram.kind = waveform gives a "
            "waveform; set it to spectrogram_and_waveform",
        ),
        (
            "waveform",
            "pretrained",
            "backbone.kind = pretrained takes a raw_waveform, spectrogram.kind = waveform gives a waveform; "
            "set it to raw_waveform",
        ),
    ],
)
def test_a_backbone_that_does_not_go_with_the_front_end_is_refused(
    bank: ClipBank, spectrogram: str, backbone: str, said: str
) -> None:
    recipe = Classifier(spectrogram={"kind": spectrogram, "chunk_frames": 16}, backbone={"kind": backbone})
    with pytest.raises(UsageError) as caught:
        recipe.check(bank.table, bank.lengths)
    assert str(caught.value) == said


def test_an_autoencoder_rebuilds_spectrograms_alone(bank: ClipBank) -> None:
    recipe = Autoencoder(spectrogram={"kind": "spectrogram_and_waveform", "chunk_frames": 16})
    with pytest.raises(UsageError) as caught:
        recipe.check(bank.table, bank.lengths)
    assert str(caught.value) == (
        "the family autoencoder rebuilds a spectrogram, spectrogram.kind = spectrogram_and_waveform gives a "
        "spectrogram and a waveform; set it to spectrogram"
    )
