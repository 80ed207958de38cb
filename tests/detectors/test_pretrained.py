"""Frozen encoders: what they get of a recording, what they give, what is kept, and what is refused."""

import json
import re
import sys
import time
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchaudio
import yaml
from banks import opened_bank
from encoders import EMBEDDING, LOG_MEL, SAMPLES, onnx_encoder, program_encoder
from pydantic import ValidationError

from humtune.detectors.pretrained import hub, sources
from humtune.detectors.pretrained.blocks import BlockLayer, LogMelLayer, Resample
from humtune.detectors.pretrained.description import Description, LogMel, WaveformInput
from humtune.detectors.pretrained.encoder import PretrainedEncoder
from humtune.detectors.pretrained.recipe import Pretrained
from humtune.detectors.recipe import Estimate, recipe_of
from humtune.errors import HumtuneError, UsageError
from humtune.export.graph import Judge, Member
from humtune.export.onnx import export_onnx
from humtune.search.space import check_space
from humtune.search.space.fit import check_fits, pinned, remarks
from humtune.sounds.bank import ClipBank
from humtune.sounds.sound_file import to_waveform
from humtune.testing.recordings import small_bank

SOME = np.array([7, 2, 30])


def recipe(weights: Path, **settings: Any) -> Pretrained:
    found = recipe_of({"family": "pretrained", "weights": str(weights), **settings})
    assert isinstance(found, Pretrained)
    return found


def layer(**settings: Any) -> BlockLayer:
    told = {"model": "a.onnx", "rate": 16000, "input": SAMPLES, "embedding": 1, "licence": "none"}
    return BlockLayer(Description.model_validate(told | settings))


def embedding(made: Pretrained, bank: ClipBank, clips: np.ndarray = SOME) -> torch.Tensor:
    return made.build(()).encode(bank, clips).embedding


@pytest.fixture
def bank(tmp_path: Path) -> ClipBank:
    return opened_bank(tmp_path)


def kept(bank: ClipBank) -> list[Path]:
    assert bank.place
    return sorted(bank.place.glob("embedded-*.npy"))


# --- blocks


@pytest.mark.parametrize(
    ("samples", "overlap", "starts"),
    [
        (4800, 0, [0]),
        (4801, 0, [0, 1]),
        (9600, 0, [0, 4800]),
        (12000, 0, [0, 3600, 7200]),
        (9600, 0.5, [0, 2400, 4800]),
    ],
)
def test_blocks_reach_from_a_recordings_first_sample_to_its_last(
    samples: int, overlap: float, starts: list[int]
) -> None:
    (blocks,) = layer(overlap=overlap).chunks(torch.arange(samples, dtype=torch.float32))
    assert blocks[:, 0].tolist() == starts
    assert blocks.shape == (len(starts), 4800)
    assert blocks[-1, -1] == samples - 1


def test_a_recording_shorter_than_a_block_is_repeated() -> None:
    (blocks,) = layer().chunks(torch.arange(2000, dtype=torch.float32))
    assert torch.equal(blocks[0], torch.arange(4800, dtype=torch.float32) % 2000)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_tone_resampled_is_that_tone(rate: int) -> None:
    shape = layer(rate=rate).description.steps
    seconds = torch.arange(16_000, dtype=torch.float64) / 16_000
    found = Resample(*shape)(torch.sin(2 * torch.pi * 1000 * seconds).float())
    wanted = torch.sin(2 * torch.pi * 1000 * torch.arange(rate, dtype=torch.float64) / rate)
    assert len(found) == rate
    inner = slice(rate // 8, -rate // 8)
    assert (found.double() - wanted)[inner].abs().max() < 2e-3


def test_levels_are_brought_to_what_an_encoder_knows() -> None:
    peak = layer(input=SAMPLES | {"level": "peak"}).whole(torch.tensor([[0.1, -0.2, 0.05]]))
    assert torch.allclose(peak, torch.tensor([0.5, -1.0, 0.25]))
    (blocks,) = layer(input=SAMPLES | {"level": "standard", "channel": True}).chunks(3 + torch.rand(9600))
    assert blocks.shape == (2, 1, 4800)
    assert blocks.mean(dim=2).abs().max() < 1e-4
    assert (blocks.std(dim=2) - 1).abs().max() < 1e-3


NOISE = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)) * 0.1


@pytest.mark.parametrize("shape", ["povey", "hann"])
def test_kaldis_spectrogram_is_kaldis(shape: str) -> None:
    from torchaudio.compliance.kaldi import fbank

    wanted = fbank(
        NOISE * 32_768,
        num_mel_bins=40,
        window_type={"hann": "hanning"}.get(shape, shape),
        sample_frequency=16_000,
    )
    made = LogMel(
        frames=len(wanted),
        n_mels=40,
        n_fft=512,
        window=400,
        hop=160,
        f_min=20,
        kaldi=True,
        shape=shape,
        gain=32_768,
    )
    found = LogMelLayer(made, 16_000)(NOISE[:, : made.samples(16_000)])[0]
    assert (found.T - wanted).abs().max() < 1e-3


@pytest.mark.parametrize(("mel", "norm"), [("htk", "none"), ("slaney", "slaney")])
def test_a_centred_spectrogram_is_torchaudios(mel: str, norm: str) -> None:
    given = torchaudio.transforms.MelSpectrogram(
        16_000, 400, hop_length=160, n_mels=40, mel_scale=mel, norm=None if norm == "none" else norm
    )
    made = LogMel(frames=30, n_mels=40, n_fft=400, hop=160, mel=mel, norm=norm, centred=True, log="db")
    block = NOISE[:, : made.samples(16_000)]
    wanted = 10 * given(block).clamp_min(1e-10).log10()
    assert (LogMelLayer(made, 16_000)(block) - wanted).abs().max() < 1e-3


# --- encoders


def test_embeddings_are_the_networks_own(tmp_path: Path) -> None:
    """Of a log-mel spectrogram of one block, by a network of a matrix and tanh, twice."""
    weights = onnx_encoder(tmp_path, input=LOG_MEL)
    graph = onnx.load(tmp_path / "encoder.onnx").graph
    one, two = (
        torch.from_numpy(onnx.numpy_helper.to_array(t).copy())
        for t in graph.initializer
        if "matrix" in t.name
    )
    bank = small_bank(seconds=0.2)
    source = recipe(weights).source
    layer = BlockLayer(source.description)
    wave = torch.from_numpy(bank.clip(2).astype(np.float32) / 32_768)[None]
    (blocks,) = layer.chunks(layer.whole(wave))
    first = (blocks.transpose(1, 2) @ one).tanh()
    frames = (first @ two).tanh().flatten(0, 1)
    found = embedding(recipe(weights, pooling="mean_deviation"), bank)[1]
    assert torch.allclose(found, torch.cat([frames.mean(dim=0), frames.std(dim=0, correction=0)]), atol=1e-5)
    assert torch.allclose(embedding(recipe(weights, pooling="max"), bank)[1], frames.amax(dim=0), atol=1e-5)
    gem = frames.clamp_min(1e-6).pow(3).mean(dim=0).pow(1 / 3)
    assert torch.allclose(embedding(recipe(weights, pooling="gem"), bank)[1], gem, atol=1e-5)
    both = embedding(recipe(weights, layers=[0, -1]), bank)[1]
    assert torch.allclose(both, torch.cat([first.flatten(0, 1).mean(dim=0), frames.mean(dim=0)]), atol=1e-5)
    assert torch.equal(
        embedding(recipe(weights, layers=0), bank), embedding(recipe(weights, layers=[0]), bank)
    )


def test_clips_are_embedded_once_for_all_poolings_and_layers(bank: ClipBank, tmp_path: Path) -> None:
    weights = onnx_encoder(tmp_path / "a")
    ways: list[dict[str, Any]] = [{"pooling": p} for p in ("mean", "mean_deviation", "gem", "max")]
    ways += [{"layers": [0]}, {"layers": [0, 1], "seed": 3}]
    wanted = [embedding(recipe(weights, **way), replace(bank, place=None)) for way in ways]
    assert kept(bank) == []
    assert torch.equal(embedding(recipe(weights), bank), wanted[0])
    silent = replace(bank, samples=np.zeros(len(bank.samples), np.int16))
    for way, known in zip(ways, wanted, strict=True):
        assert torch.equal(embedding(recipe(weights, **way), silent), known)
    assert len(kept(bank)) == 1
    for other in ({"overlap": 0.5}, {"rate": 8000}):
        embedding(recipe(onnx_encoder(tmp_path / str(other), **other)), bank)
    assert len(kept(bank)) == 3


def test_a_detector_takes_its_own_weights_alone(tmp_path: Path) -> None:
    weights = program_encoder(tmp_path, input=SAMPLES)
    detector = recipe(weights).start(small_bank()).run()
    data = detector.to_bytes()
    assert len(data) < 10_000
    type(detector).from_bytes(data)
    onnx_encoder(tmp_path, model="other.onnx")
    with pytest.raises(HumtuneError, match=r"not the weights that the trial was made with"):
        type(detector).from_bytes(data)


@pytest.mark.parametrize("beside", ["encoder.onnx.data", "weights[1].bin"])
def test_weights_may_lie_in_a_file_beside_the_graph(tmp_path: Path, beside: str) -> None:
    path = onnx_encoder(tmp_path)
    wanted, digest = embedding(recipe(path), small_bank()), recipe(path).source.digest
    model = onnx.load(tmp_path / "encoder.onnx")
    apart = {"save_as_external_data": True, "location": beside, "size_threshold": 0}
    onnx.save(model, tmp_path / "encoder.onnx", **apart)
    assert torch.equal(embedding(recipe(path), small_bank()), wanted)
    other = recipe(path).source.digest
    data = bytearray((tmp_path / beside).read_bytes())
    data[-1] ^= 1
    (tmp_path / beside).write_bytes(data)
    assert len({digest, other, recipe(path).source.digest}) == 3
    (tmp_path / beside).unlink()
    assert f"its weights lie in {tmp_path / beside}, which is not there" in refused(path)


def test_weights_beside_the_graph_count_for_what_a_model_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = onnx_encoder(tmp_path)
    model = onnx.load(tmp_path / "encoder.onnx")
    apart = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(model, tmp_path / "encoder.onnx", **apart)
    monkeypatch.setattr(sources, "LARGEST", (tmp_path / "weights.bin").stat().st_size)
    assert "and a model is one file of two at most" in (recipe(path).source.why_not_exported or "")


@pytest.mark.slow
@pytest.mark.parametrize("flat", [True, False])
def test_sparse_weights_are_those_of_a_model_too(tmp_path: Path, flat: bool) -> None:
    path, bank = onnx_encoder(tmp_path), small_bank()
    wanted = embedding(recipe(path), bank)
    model = onnx.load(tmp_path / "encoder.onnx")
    matrix = next(t for t in model.graph.initializer if t.name == "matrix 0")
    values = onnx.numpy_helper.to_array(matrix)
    index = np.arange(values.size) if flat else np.argwhere(np.ones_like(values))
    model.graph.initializer.remove(matrix)
    model.graph.sparse_initializer.append(
        onnx.helper.make_sparse_tensor(
            onnx.numpy_helper.from_array(values.ravel(), matrix.name),
            onnx.numpy_helper.from_array(index.astype(np.int64)),
            values.shape,
        )
    )
    onnx.save(model, tmp_path / "encoder.onnx")
    assert torch.equal(embedding(recipe(path), bank), wanted)
    detector = recipe(path).start(bank).run()
    session = onnxruntime.InferenceSession(export_onnx([Member(detector, "knn")], {}))
    clips = bank.table.having("select")[:3]
    given = [session.run(None, {"waveform": to_waveform(bank.clip(int(i)))})[0] for i in clips]
    assert np.abs(np.array(given) - detector.score(detector.encode(bank, clips))["knn"]).max() < 1e-5


def test_an_estimate_embeds_a_few_clips(
    bank: ClipBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What that tells of all of them is the first trial's alone, where they are kept."""
    made, seen, embed = recipe(onnx_encoder(tmp_path / "a")), [], PretrainedEncoder.embed

    def slow(self: PretrainedEncoder, bank: ClipBank, clips: np.ndarray) -> Any:
        seen.append(len(clips))
        time.sleep(0.03 * len(clips))
        return embed(self, bank, clips)

    def estimate(bank: ClipBank) -> Estimate:
        return made.estimate(bank, device="cpu", bf16=False, compiled=None, measured=1)

    monkeypatch.setattr(PretrainedEncoder, "embed", slow)
    all_clips = 0.03 * len(bank.table)
    found = estimate(bank)
    assert seen == [3]
    assert [*found.once] == [made.build(()).name]
    assert 0 < found.trial_seconds < all_clips < sum(found.once.values())
    loose = estimate(replace(bank, place=None))
    assert not loose.once
    assert loose.trial_seconds > all_clips
    embedding(made, bank)
    found = estimate(bank)
    assert seen == [3, 3, len(bank.table)]
    assert not found.once
    assert found.trial_seconds < all_clips


def test_the_descriptions_in_the_docs_are_some() -> None:
    text = (Path(__file__).parents[2] / "docs" / "pretrained.md").read_text(encoding="utf-8")
    told = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)]
    found = [Description.model_validate(tree) for tree in told if "fixed" not in tree]  # that is a space
    assert [each.model for each in found] == ["encoder.onnx", "beats.onnx", "eat.onnx", "dasheng.onnx"]
    assert found[1].block == 1023 * 160 + 400
    assert all(name in text for kind in (WaveformInput, LogMel) for name in kind.model_fields)


# --- what is refused


def refused(weights: Path | str, **settings: Any) -> str:
    """What a search says of an encoder before it starts."""
    fixed = {"family": "pretrained", "weights": str(weights), **settings}
    space = check_space({"fixed": fixed, "search": {"pooling": ["mean", "max"]}}, where="here")
    bank = small_bank()
    with pytest.raises(UsageError) as caught:
        check_fits(space, bank.table, bank.lengths)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"rate": 500}, "rate: Input should be greater than or equal to 1000"),
        ({"rate": 44_101}, "rate: Input should be a multiple of 25"),
        ({"input": {"kind": "cepstrum"}}, "input: kind should be waveform or log_mel"),
        ({"input": LOG_MEL | {"f_max": 9000}}, "f_max must be half of rate = 16000 or less, got 9000"),
        ({"input": LOG_MEL | {"f_max": 0}}, "input.f_max: Input should be greater than 0"),
        ({"input": LOG_MEL | {"f_min": 8000}}, "yaml: f_min must be below f_max = 8000, got 8000"),
        (
            {"input": LOG_MEL | {"f_min": 5000, "f_max": 4000, "kaldi": True}},
            "f_min must be below f_max = 4000, got 5000",
        ),
        ({"input": LOG_MEL | {"window": 1024}}, "window must be n_fft = 512 or less"),
        ({"input": LOG_MEL | {"mels": 3}}, "encoder.yaml: input.mels: Extra inputs are not permitted"),
        (
            {"embedding": 9},
            f"of a block [1, 4800] a layer is [1, 48, {EMBEDDING}], and should be [1, frames, 9]",
        ),
        (
            {"input": SAMPLES | {"seconds": 0.2999}},
            "doesn't take a block as its description says, [1, 4798]",
        ),
        ({"model": "weights.bin"}, "weights.bin should be a file of the kind .onnx or .pt2"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    tmp_path: Path, description: dict[str, Any], words: str
) -> None:
    path = onnx_encoder(tmp_path)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | description))
    said = refused(path)
    assert words in said
    assert str(path) in said


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = onnx_encoder(tmp_path / "a")
    assert "--set weights=PATH" in refused("")
    assert "nothing.yaml is not there" in refused(tmp_path / "nothing.yaml")
    assert "give the path of the YAML that describes it instead" in refused(tmp_path / "a" / "encoder.onnx")
    assert "layers = 2 is not there; it has 2: -2 to 1" in refused(path, layers=[0, 2])
    whole = (tmp_path / "a" / "encoder.onnx").read_bytes()
    (tmp_path / "a" / "encoder.onnx").write_bytes(whole[: len(whole) // 2])
    assert "encoder.onnx: can't be loaded as ONNX" in refused(path)
    (tmp_path / "a" / "encoder.onnx").unlink()
    with pytest.raises(UsageError, match=r"there is no .*encoder\.onnx"):
        recipe(path).source  # noqa: B018
    (tmp_path / "list.yaml").write_text("- a list")
    assert "should be settings of an encoder" in refused(tmp_path / "list.yaml")
    broken = program_encoder(tmp_path / "c")
    (tmp_path / "c" / "encoder.pt2").write_bytes(b"no program")
    assert "encoder.pt2: torch.export can't load it" in refused(broken)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    path = onnx_encoder(tmp_path)
    model = onnx.load(tmp_path / "encoder.onnx")
    matrix = next(t for t in model.graph.initializer if t.name == "matrix 0")
    matrix.CopyFrom(onnx.numpy_helper.from_array(np.full((100, EMBEDDING), np.nan, np.float32), matrix.name))
    onnx.save(model, tmp_path / "encoder.onnx")
    assert "of a block of noise it gives numbers that are not finite" in refused(path)
    with pytest.raises(HumtuneError, match=r"of small's 002\.wav it gives numbers that are not finite"):
        embedding(recipe(path), small_bank(), np.array([2]))


def test_an_encoder_that_no_model_can_hold_is_named_before_the_search(tmp_path: Path) -> None:
    path = onnx_encoder(tmp_path, opset=21)
    made = recipe(path)
    why = "can't be exported: its ONNX file has opset 21; export it with opset 20 or an earlier one"
    assert made.remarks() == ("encoder.yaml: weights under none: random numbers", f"encoder.yaml: {why}")
    detector = made.start(small_bank()).run()
    with pytest.raises(HumtuneError, match="can't be exported: its ONNX file has opset 21"):
        export_onnx([Member(detector, "knn")], {})


def test_encoders_are_shared_however_many_others_there_are(tmp_path: Path) -> None:
    """The same weights by another file's name are; the same weights with other blocks aren't."""
    paths = [onnx_encoder(tmp_path / str(rate), rate=rate) for rate in (8000, 12000, 16000)]
    paths.append(onnx_encoder(tmp_path / "again", rate=8000))
    bank = small_bank()
    detectors = [recipe(path, pooling=how).start(bank).run() for how in ("mean", "max") for path in paths]
    judge = Judge([Member(detector, "knn") for detector in detectors])
    assert judge.graph_of == [0, 1, 2, 0, 0, 1, 2, 0]
    assert [graph.frontend.description.rate for graph in judge.graphs] == [8000, 12000, 16000]


@pytest.mark.slow
def test_members_with_the_same_encoder_share_it_in_a_model(tmp_path: Path) -> None:
    weights, bank = onnx_encoder(tmp_path), small_bank()
    ways: list[dict[str, Any]] = [{"pooling": "mean"}, {"pooling": "max"}, {"layers": [0]}]
    detectors = [recipe(weights, **way).start(bank).run() for way in ways]
    members = [Member(detector, "knn", weight=0.5) for detector in detectors]
    model = onnx.load_from_string(export_onnx(members, {}))
    assert sum(node.op_type == "Scan" for node in model.graph.node) == 2
    session = onnxruntime.InferenceSession(model.SerializeToString())
    clips = bank.table.having("select")
    wanted = sum(0.5 * d.score(d.encode(bank, clips))["knn"] for d in detectors)
    given = [session.run(None, {"waveform": to_waveform(bank.clip(int(i)))})[0] for i in clips]
    assert np.abs(np.array(given) - wanted).max() < 1e-5


def test_a_search_says_whose_weights_it_uses(tmp_path: Path) -> None:
    paths = [str(onnx_encoder(tmp_path / name, licence=name)) for name in ("one", "two")]
    fixed = {"family": "pretrained"}
    space = check_space({"fixed": fixed, "search": {"weights": paths}}, where="here")
    said = remarks(space, ["fan"])
    assert [line.split(" (")[0] for line in said] == [
        f"encoder.yaml: weights under {n}" for n in ("one", "two")
    ]


def test_a_model_of_transformers_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: None)
    assert "pip install transformers" in refused("someone/some-encoder")


AST = {
    "feature_extractor_type": "ASTFeatureExtractor",
    "sampling_rate": 16000,
    "max_length": 64,
    "num_mel_bins": 16,
    "mean": -4.0,
    "std": 4.5,
}


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("preprocessor_config.json", [], "preprocessor_config.json holds no settings"),
        ("config.json", "text", "config.json holds no settings"),
        ("preprocessor_config.json", AST | {"std": None}, "none that humtune can follow ('std' is not set)"),
        ("preprocessor_config.json", AST | {"std": {}}, "none that humtune can follow (unsupported operand"),
        ("preprocessor_config.json", AST | {"mean": "low"}, "(input.mean: Input should be a valid number"),
        ("preprocessor_config.json", AST | {"sampling_rate": 3}, "(rate: Input should be a multiple of 25)"),
        ("config.json", {"hidden_size": None}, "none that humtune can follow ('d_model' is not set)"),
    ],
)
def test_settings_of_a_model_of_transformers_that_are_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, content: Any, words: str
) -> None:
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: True)
    (tmp_path / "model.safetensors").touch()
    for name, settings in {"preprocessor_config.json": AST, "config.json": {"hidden_size": 8}}.items():
        (tmp_path / name).write_text(json.dumps(content if name == file else settings))
    assert words in refused(tmp_path)


COMMIT, NEWEST = "a" * 40, "b" * 40


class LocalEntryNotFoundError(Exception):
    """As the hub's client calls it."""


@pytest.fixture
def on_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """someone/encoder, in two commits."""

    def snapshot_download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        folder = tmp_path / "snapshots" / (revision or NEWEST)
        if name != "someone/encoder" or not folder.is_dir():
            raise LocalEntryNotFoundError("Cannot find an appropriate cached snapshot folder")
        return str(folder)

    client = types.ModuleType("huggingface_hub")
    client.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: True)
    hub._fetched.cache_clear()
    for commit in (COMMIT, NEWEST):
        folder = tmp_path / "snapshots" / commit
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(commit.encode())
        (folder / "preprocessor_config.json").write_text(json.dumps(AST))
        (folder / "config.json").write_text(json.dumps({"hidden_size": 8}))


@pytest.mark.usefixtures("on_the_hub")
def test_a_search_keeps_to_a_models_commit_and_names_it() -> None:
    fixed = {"family": "pretrained", "weights": "someone/encoder"}
    space = check_space({"fixed": fixed, "search": {"pooling": ["mean", "max"]}}, where="here")
    assert remarks(space, ["fan"])[0].startswith(f"encoder: revision {NEWEST}, weights under")
    assert pinned(space).fixed == fixed | {"revision": NEWEST}
    older = check_space({"fixed": fixed | {"revision": COMMIT}, "search": space.search}, where="here")
    assert pinned(older).fixed["revision"] == COMMIT
    one, other = (s.recipe({"pooling": "mean"}) for s in (older, pinned(space)))
    assert isinstance(one, Pretrained)
    assert isinstance(other, Pretrained)
    assert one.source.digest != other.source.digest


@pytest.mark.usefixtures("on_the_hub")
def test_what_the_hub_does_not_give_is_named_with_a_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused("someone/encoder", revision="c" * 40)
    assert (
        f"weights: someone/encoder, revision {'c' * 40}: the hub doesn't give it: it is out of reach" in said
    )
    assert "run hf download" in said
    assert "./" not in said
    (tmp_path / "other").mkdir()
    assert refused("other").endswith("; the folder here is ./other")
    assert f"{tmp_path / 'none'} is not there" in refused("./none")
    with pytest.raises(ValidationError, match="has none, but a model on the hub; leave it out"):
        recipe(tmp_path / "encoder.yaml", revision=COMMIT)


def test_a_name_on_the_hub_is_none_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies where a record is read; a path is the same from everywhere."""
    (tmp_path / "someone" / "encoder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert Pretrained(weights="someone/encoder").weights == "someone/encoder"
    for name in ("./someone/encoder", "encoder.yaml"):
        assert Pretrained(weights=name).weights == str(tmp_path / name)


def test_a_resumed_search_finds_its_encoder_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = onnx_encoder(tmp_path)
    monkeypatch.chdir(tmp_path)
    fixed = {"family": "pretrained", "weights": path.name}
    space = pinned(check_space({"fixed": fixed, "search": {"pooling": ["mean", "max"]}}, where="here"))
    monkeypatch.chdir("/")
    found = space.recipe({"pooling": "max"})
    assert isinstance(found, Pretrained)
    assert found.weights == str(path)
    searched = check_space(
        {"fixed": {"family": "pretrained"}, "search": {"weights": [str(path)], "pooling": ["max"]}},
        where="here",
    )
    assert pinned(searched).fixed == searched.fixed


@pytest.mark.usefixtures("on_the_hub")
def test_a_preset_of_the_family_keeps_to_its_encoder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = onnx_encoder(tmp_path)
    monkeypatch.chdir(tmp_path)
    presets = {
        "here": {"family": "pretrained", "weights": path.name},
        "hub": {"family": "pretrained", "weights": "someone/encoder"},
        "mixture": {"family": "gaussian_mixture"},
    }
    searched = {"family": "pretrained"}
    below = {"searched": {"weights": [str(path)]}}
    family = {"presets": presets | {"searched": searched}, "search": below}
    space = pinned(check_space({"search": {"family": family}}, where="here"))
    monkeypatch.chdir("/")
    again = check_space(space.model_dump(mode="json"), where="plan")
    here, found = (again.recipe({"family": name}) for name in ("here", "hub"))
    assert isinstance(here, Pretrained)
    assert isinstance(found, Pretrained)
    assert (here.weights, found.weights, found.revision) == (str(path), "someone/encoder", NEWEST)
    assert again.search["family"].presets["mixture"] == presets["mixture"]
    assert again.search["family"].presets["searched"] == searched
