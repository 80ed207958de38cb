"""Audio models of transformers as encoders: small ones with random weights, in folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.pretrained import hub
from humtune.detectors.pretrained.blocks import BlockLayer
from humtune.detectors.pretrained.recipe import Pretrained
from humtune.detectors.recipe import recipe_of
from humtune.errors import UsageError
from humtune.testing.contract import check_recipe
from humtune.testing.recordings import small_bank

transformers = pytest.importorskip("transformers", reason="pip install transformers")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SAMPLES = {**SIZES, "conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "vocab_size": 50,
    "max_source_positions": 50,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
MODELS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "wavlm": ("WavLM", SAMPLES, "Wav2Vec2", {"do_normalize": True}),
    "data2vec": (
        "Data2VecAudio",
        SAMPLES | {"num_conv_pos_embeddings": 5},
        "Wav2Vec2",
        {"do_normalize": False},
    ),
    "ast": ("AST", SIZES | {"max_length": 64}, "AST", {"max_length": 64}),
    "whisper": ("Whisper", WHISPER, "Whisper", {"chunk_length": 1}),
}


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "SECONDS", 0.4)


def saved(folder: Path, name: str, **how: Any) -> tuple[Pretrained, Any]:
    """The recipe of a model in a folder, and its own feature extractor."""
    kind, config, extractor, settings = MODELS[name]
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**config))
    model.save_pretrained(folder, **how)
    made = getattr(transformers, f"{extractor}FeatureExtractor")(**settings)
    made.save_pretrained(folder)
    recipe = recipe_of({"family": "pretrained", "weights": str(folder), "layers": [1, -1], "scores": ["knn"]})
    assert isinstance(recipe, Pretrained)
    return recipe, made


@pytest.mark.parametrize("name", MODELS)
def test_a_model_keeps_the_contract_and_gets_what_its_own_extractor_gives(name: str, tmp_path: Path) -> None:
    recipe, extractor = saved(tmp_path, name)
    description = recipe.source.description
    noise = 0.1 * torch.randn(1, description.block, generator=torch.Generator().manual_seed(0))
    (block,) = BlockLayer(description)(noise)
    wanted = extractor(noise[0].numpy(), sampling_rate=description.rate, return_tensors="np")
    own = np.asarray(next(v for k, v in wanted.items() if k.startswith("input_")))
    frames = block.shape[-1] - 2 * (name == "whisper")  # its last two see zeros behind the end
    assert np.abs(block.numpy() - own)[..., :frames].max() < 1e-4
    check_recipe(recipe, small_bank(seconds=0.5))


def test_loading_draws_no_bars_into_a_trials_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe, _ = saved(tmp_path, "ast")
    transformers.utils.logging.enable_progress_bar()
    capfd.readouterr()
    recipe.source.load()
    assert "Loading weights" not in capfd.readouterr().err


def test_what_can_not_be_used_is_refused(tmp_path: Path) -> None:
    recipe, _ = saved(tmp_path / "ast", "ast")
    settings = tmp_path / "ast" / "preprocessor_config.json"
    content = settings.read_text()
    settings.write_text(content.replace("ASTFeatureExtractor", "SomeFeatureExtractor"))
    with pytest.raises(UsageError, match=r"has a SomeFeatureExtractor, and those that humtune knows are"):
        recipe.source  # noqa: B018
    settings.unlink()
    with pytest.raises(UsageError, match=r"preprocessor_config\.json is not there"):
        recipe.source  # noqa: B018
    settings.write_text(content)
    for file in (tmp_path / "ast").glob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    with pytest.raises(UsageError, match=r"holds no \*\.safetensors, the one format that is read"):
        recipe.source  # noqa: B018


# --- fine-tuned


def tuned(folder: Path, **backbone: Any) -> Classifier:
    found = recipe_of(
        {
            "spectrogram": {"kind": "raw_waveform", "chunk_frames": 16, "frame_samples": 256},
            "backbone": {"kind": "pretrained", "weights": str(folder), "embedding": 6} | backbone,
            "training": {"epochs": 2, "batch_size": 8, "warmup": 0},
            "scores": ["cosine", "nll"],
        }
    )
    assert isinstance(found, Classifier)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_what_lora_adds_learns_in_every_model_and_becomes_part_of_its_weights(
    name: str, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="pip install peft")
    saved(tmp_path, name)
    recipe, bank = tuned(tmp_path), small_bank(seconds=0.5)
    recipe.check(bank.table, bank.lengths)
    fit = recipe.start(bank)
    network = fit.encoder.backbone
    before = {key: value.clone() for key, value in network.network.state_dict().items()}
    fit.step()
    after = network.network.state_dict()
    moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert moved == {key for key in after if ".lora_" in key}
    assert len(moved) == 2 * 2 * 2  # A and B of two layers in each of two blocks
    assert {key for key in network.state_dict() if key.startswith("network.")} == {
        f"network.{key}" for key in moved
    }
    whole = recipe.backbone.exported(network)
    assert not [key for key in whole.state_dict() if ".lora_" in key]
    samples = 0.1 * torch.randn(2, 1, 1, recipe.spectrogram.chunk_samples)
    torch.testing.assert_close(whole(samples), network(samples))


def test_a_model_tuned_by_lora_keeps_the_contract(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="pip install peft")
    saved(tmp_path, "ast")
    check_recipe(tuned(tmp_path), small_bank(seconds=0.5))


def test_layers_where_lora_can_not_learn_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="pip install peft")
    saved(tmp_path, "wavlm")
    bank = small_bank(seconds=0.5)
    with pytest.raises(UsageError, match=r"reads the weights of .*\.v_proj past what LoRA adds; name other"):
        tuned(tmp_path, lora={"targets": ["v_proj"]}).check(bank.table, bank.lengths)
    with pytest.raises(UsageError, match=r"LoRA can't be added .*linear layers: .*intermediate_dense"):
        tuned(tmp_path, lora={"targets": ["no_such_layer"]}).check(bank.table, bank.lengths)
