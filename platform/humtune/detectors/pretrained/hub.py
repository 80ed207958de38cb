"""Audio models of `transformers`, in a folder or by their name on the hub: an extra of the package."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from humtune.detectors.pretrained.description import Description, WaveformInput, in_words
from humtune.detectors.pretrained.sources import Source
from humtune.errors import UsageError, first_line

SECONDS = 10.0  # of a block, where a model takes any
WEIGHTS = "*.safetensors"  # other formats may run code when they are read
KALDI_FLOOR = 1.1920929e-07


def find_model(name: str, *, trust_remote_code: bool, revision: str | None = None) -> Source:
    """A model by its folder's whole path or its name on the hub, of its newest commit where none is given.

    A UsageError where it isn't there, or is none that humtune can feed.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UsageError(
            f"weights: {name} is no YAML, so a model of transformers, which is not installed; "
            "pip install transformers, or give the path of an encoder's YAML"
        )
    is_here = Path(name).is_absolute()
    if is_here and not Path(name).is_dir():
        raise UsageError(f"weights: {name} is not there; give a model's folder, or its name on the hub")
    folder = Path(name) if is_here else _fetched(name, code=trust_remote_code, revision=revision)
    config, extractor = (_settings(name, folder / f) for f in ("config.json", "preprocessor_config.json"))
    weights = sorted(folder.glob(WEIGHTS))
    if not weights:
        raise UsageError(
            f"weights: {name}: holds no {WEIGHTS}, the one format that is read; choose another model"
        )
    kind = str(extractor.get("feature_extractor_type"))
    if kind not in DESCRIBED:
        raise UsageError(
            f"weights: {name}: has a {kind}, and those that humtune knows are {', '.join(DESCRIBED)}; "
            "export it to ONNX with a YAML instead"
        )
    try:
        description = Description.model_validate(
            {
                "model": "transformers.pt2",
                "rate": extractor["sampling_rate"],
                "input": DESCRIBED[kind](config, extractor),
                "embedding": config.get("hidden_size") or config["d_model"],
                "licence": "its model card says which licence",
                "source": name,
            }
        )
    except (KeyError, TypeError, ValidationError) as error:
        why = in_words(error) if isinstance(error, ValidationError) else first_line(error)
        said = f"{why} is not set" if isinstance(error, KeyError) else why
        raise UsageError(f"weights: {name}: its {kind} is none that humtune can follow ({said})") from error
    settings = [folder / "config.json", folder / "preprocessor_config.json"]
    commit = None if is_here else folder.name  # as the hub's client lays its copies out
    code = sorted(folder.glob("*.py")) if trust_remote_code else []
    return HubModel(name, description, (*settings, *weights, *code), commit, trust_remote_code)


@dataclass(frozen=True)
class HubModel(Source):
    """A model of transformers; its layers are its hidden states, the first of them before any block."""

    trust_remote_code: bool = False

    @property
    def takes_any_length(self) -> bool:
        """Those of samples do."""
        return isinstance(self.description.input, WaveformInput)

    def load(self) -> nn.Module:
        """The model, on its folder's files alone."""
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()  # a trial's log is no terminal
        try:
            model = AutoModel.from_pretrained(
                self.files[0].parent,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=self.trust_remote_code,
                attn_implementation="eager",
            )
        except Exception as error:  # each kind of damage raises its own
            raise UsageError(
                f"weights: {self.name}: transformers can't load it ({first_line(error)})"
            ) from error
        encoder = model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model
        return HiddenStates(encoder).eval().requires_grad_(False)


class HiddenStates(nn.Module):
    """A model's hidden states of blocks."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, blocks: Tensor) -> Tensor:
        """Embeddings [B, L, frames, k]."""
        return torch.stack(
            self.model(blocks, output_hidden_states=True, return_dict=True).hidden_states, dim=1
        )


Made = dict[str, Any]


def _wav2vec(config: Made, extractor: Made) -> Made:
    """wav2vec 2.0, HuBERT, WavLM, data2vec, UniSpeech: samples, which some want at a deviation of 1."""
    level = "standard" if extractor.get("do_normalize") else "as it is"
    return {"kind": "waveform", "seconds": SECONDS, "level": level}


def _ast(config: Made, extractor: Made) -> Made:
    """The Audio Spectrogram Transformer: Kaldi's filters in a Hann window."""
    scaled = extractor.get("do_normalize", True)
    return {
        "kind": "log_mel",
        "kaldi": True,
        "frames": extractor["max_length"],
        "n_mels": extractor["num_mel_bins"],
        "n_fft": 512,
        "window": 400,
        "hop": 160,
        "f_min": 20,
        "floor": KALDI_FLOOR,
        "mean": extractor["mean"] if scaled else 0.0,
        "std": 2 * extractor["std"] if scaled else 1.0,
        "time_first": True,
    }


def _whisper(config: Made, extractor: Made) -> Made:
    """Whisper's encoder, which takes 30 s and no less."""
    return {
        "kind": "log_mel",
        "centred": True,
        "frames": 2 * config["max_source_positions"],
        "n_mels": extractor["feature_size"],
        "n_fft": extractor["n_fft"],
        "hop": extractor["hop_length"],
        "f_max": 8000.0,
        "mel": "slaney",
        "norm": "slaney",
        "log": "log10",
        "top": 8.0,
        "mean": -4.0,
        "std": 4.0,
    }


DESCRIBED: dict[str, Callable[[Made, Made], Made]] = {
    "Wav2Vec2FeatureExtractor": _wav2vec,
    "ASTFeatureExtractor": _ast,
    "WhisperFeatureExtractor": _whisper,
}


def _settings(name: str, path: Path) -> Made:
    """The settings in one of a model's files, without those that are null."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"weights: {name}: {path.name} is not there or no JSON; an audio model of transformers has it"
        ) from error
    if not isinstance(found, dict):
        raise UsageError(
            f"weights: {name}: {path.name} holds no settings; an audio model of transformers has some there"
        )
    return {key: value for key, value in found.items() if value is not None}


MENDS = {  # what the hub's client raises -> what is wrong, and what to do
    "GatedRepoError": "it is for those who agree to its terms; do that on its page, then hf auth login",
    "RepositoryNotFoundError": "there is none of that name, or you may not see it; mend it, or hf auth login",
    "RevisionNotFoundError": "it has no such revision; take a commit of its page, or leave revision out",
    "HFValidationError": "that is no name of a model there; write OWNER/MODEL",
    "LocalEntryNotFoundError": "it is out of reach, and there is no copy on this computer; run hf download "
    "where there is a network, and give the folder",
}


@lru_cache(maxsize=4)
def _fetched(name: str, *, code: bool, revision: str | None) -> Path:
    """The folder of a model of the hub: its settings and safe weights, and its code where that is trusted."""
    from huggingface_hub import snapshot_download

    try:
        wanted = ["*.json", WEIGHTS, *(["*.py"] if code else [])]
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:  # of the hub, of the network, of the disk
        kinds = [kind.__name__ for kind in type(error).__mro__]
        why = next((MENDS[kind] for kind in kinds if kind in MENDS), first_line(error))
        here = f"; the folder here is ./{name}" if Path(name).is_dir() else ""
        of = f", revision {revision}" if revision else ""
        raise UsageError(f"weights: {name}{of}: the hub doesn't give it: {why}{here}") from error
