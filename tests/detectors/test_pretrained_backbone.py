"""Encoders as backbones: what they get of a chunk, what learns of them, what is kept, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoders import EMBEDDING, Mean, onnx_encoder, program_encoder
from torch.nn import functional as F

from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.fit import Fit
from humtune.detectors.pretrained import lora
from humtune.detectors.recipe import recipe_of
from humtune.errors import HumtuneError, UsageError
from humtune.search.space import check_space
from humtune.search.space.fit import pinned, remarks
from humtune.testing.recordings import small_bank

FRONT_END = {"kind": "raw_waveform", "chunk_frames": 16, "frame_samples": 128}  # 0.128 s
BLOCK = 4800  # samples: 0.3 s at humtune's rate


def recipe(weights: Path, *, frames: int = 16, **backbone: Any) -> Classifier:
    own = {"kind": "pretrained", "weights": str(weights), "tune": "whole", "embedding": 6}
    found = recipe_of(
        {
            "spectrogram": FRONT_END | {"chunk_frames": frames},
            "backbone": own | backbone,
            "head": {"kind": "cross_entropy"},
            "training": {"epochs": 2, "batch_size": 8, "warmup": 0, "mixup": 0},
            "scores": ["cosine"],
        }
    )
    assert isinstance(found, Classifier)
    return found


def refused(made: Classifier) -> str:
    bank = small_bank()
    with pytest.raises(UsageError) as caught:
        made.check(bank.table, bank.lengths)
    return str(caught.value)


def test_an_encoder_gets_a_chunk_repeated_to_its_block_at_the_level_it_was_recorded(tmp_path: Path) -> None:
    fit = recipe(program_encoder(tmp_path)).start(small_bank())
    network = fit.encoder.backbone
    torch.manual_seed(0)  # as its file was made
    own = Mean()
    chunks = torch.randint(-9000, 9000, (3, 2048), dtype=torch.int16)
    repeated = np.stack([np.resize(chunk / 32768, BLOCK) for chunk in chunks.numpy()]).astype(np.float32)
    wanted = network.project(F.layer_norm(own(torch.from_numpy(repeated)), (EMBEDDING,)))
    torch.testing.assert_close(fit.encoder.features(chunks), wanted)


def weights_of(fit: Fit) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in fit.encoder.backbone.network.named_parameters()}


@pytest.mark.parametrize(("tune", "kept"), [("whole", 2), ("none", 0)])
def test_what_learns_is_what_is_kept(tune: str, kept: int, tmp_path: Path) -> None:
    fit = recipe(program_encoder(tmp_path), tune=tune).start(small_bank())
    before = weights_of(fit)
    fit.step()
    moved = [not torch.equal(before[name], value) for name, value in weights_of(fit).items()]
    assert moved == [tune == "whole"] * 2
    state = fit.encoder.state_dict()
    assert sum(name.startswith("backbone.network.") for name in state) == kept
    assert {"backbone.digest", "backbone.project.weight"} <= set(state)


def test_the_encoder_learns_at_its_share_of_the_rate(tmp_path: Path) -> None:
    fit = recipe(program_encoder(tmp_path), rate=0.25).start(small_bank())
    before = weights_of(fit)
    fit._set_rate(0.008)
    fit.batch(fit.clips[:8])  # Adam's first step is the rate, in each weight
    for name, value in weights_of(fit).items():
        assert float((value - before[name]).detach().abs().max()) == pytest.approx(0.002, rel=1e-3)
    assert [group["lr"] for group in fit.optimiser.param_groups] == [0.008, 0.002]


def test_a_state_is_of_the_weights_that_it_was_made_with(tmp_path: Path) -> None:
    path = program_encoder(tmp_path)
    state = recipe(path).start(small_bank()).state()
    torch.manual_seed(1)
    other = torch.export.export(Mean().eval(), (torch.zeros(1, BLOCK),))
    torch.export.save(other, tmp_path / "encoder.pt2")
    with pytest.raises(HumtuneError, match="these are not the weights that the trial was made with"):
        recipe(path).start(small_bank()).restore(state)


def test_a_program_of_any_number_of_blocks_gets_all_at_once(tmp_path: Path) -> None:
    one = recipe(program_encoder(tmp_path)).start(small_bank()).encoder.backbone
    torch.manual_seed(0)  # as its file was made
    any_number = ({0: torch.export.Dim("blocks")},)
    program = torch.export.export(Mean().eval(), (torch.zeros(2, BLOCK),), dynamic_shapes=any_number)
    torch.export.save(program, tmp_path / "encoder.pt2")
    all_at_once = recipe(tmp_path / "encoder.yaml").start(small_bank()).encoder.backbone
    assert (one.network.any_number, all_at_once.network.any_number) == (False, True)
    blocks = torch.randn(3, BLOCK)
    torch.testing.assert_close(all_at_once.network(blocks), one.network(blocks))


def test_what_can_not_be_tuned_so_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "an ONNX file can't be trained; take a program of torch.export or a model of transformers" in (
        refused(recipe(onnx_encoder(tmp_path / "onnx")))
    )
    path = program_encoder(tmp_path)
    assert "a program has no layers for LoRA; set backbone.tune to whole" in refused(
        recipe(path, tune="lora")
    )
    assert refused(recipe(path, frames=38)) == (
        "spectrogram.chunk_frames = 38 makes chunks of 0.30 s, encoder.yaml takes blocks of 0.30 s; set it "
        "to 37 or less"
    )
    unnamed = recipe(path).backbone.model_copy(update={"weights": ""})
    assert refused(recipe(path).model_copy(update={"backbone": unnamed})).startswith(
        "backbone.weights: which encoder? Say it with --set backbone.weights=PATH, the YAML beside its file"
    )
    monkeypatch.setattr(lora.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        lora.adapted(Mean(), lora.LoRA(), "someone/encoder")
    assert str(caught.value) == ("backbone.tune = lora needs peft, which is not installed; pip install peft")


def test_a_search_names_the_weights_of_a_backbone_and_finds_them_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program_encoder(tmp_path)
    monkeypatch.chdir(tmp_path)
    backbone = {"kind": "pretrained", "weights": path.name, "tune": "whole"}
    tree = {
        "fixed": {"spectrogram": FRONT_END, "backbone": backbone},
        "search": {"backbone.rate": [0.1, 1]},
    }
    space = pinned(check_space(tree, where="here"))
    monkeypatch.chdir("/")
    assert space.fixed["backbone"]["weights"] == str(path)
    assert remarks(space, ["fan"]) == ["encoder.yaml: weights under none: random numbers"]
    searched = check_space(
        {
            "fixed": {"spectrogram": FRONT_END},
            "search": {
                "backbone": {"presets": {"a": backbone | {"weights": str(path)}, "b": {"kind": "wavenet"}}}
            },
        },
        where="here",
    )
    assert pinned(searched).fixed == searched.fixed
