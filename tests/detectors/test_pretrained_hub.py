"""Audio models of transformers as encoders: small ones with random weights, in folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

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
