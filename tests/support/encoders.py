"""Small encoders with random weights, as files beside their descriptions."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

EMBEDDING = 8
LOG_MEL: dict[str, Any] = {"kind": "log_mel", "frames": 20, "n_mels": 16, "n_fft": 512, "hop": 256}
SAMPLES: dict[str, Any] = {"kind": "waveform", "seconds": 0.3}


def onnx_encoder(folder: Path, *, opset: int = 17, layers: int = 2, **description: Any) -> Path:
    """An ONNX file of some layers, and its description; the sum of frames that a matrix takes through tanh.

    Of a waveform frames are 100 samples, of a log-mel spectrogram its own.
    """
    told = _description("encoder.onnx", description)
    mels = told["input"].get("n_mels")
    rng = np.random.default_rng(5)
    width = mels or 100
    weights = [numpy_helper.from_array(np.array([1, -1, width]), "shape")]
    name = "waveform"  # what the whole graph calls its own input too
    nodes = []
    if mels:
        nodes.append(helper.make_node("Transpose", [name], ["turned"], perm=[0, 2, 1]))
    nodes.append(helper.make_node("Reshape", ["turned" if mels else name, "shape"], ["layer"]))
    outputs = []
    for i in range(layers):
        size = (width if not i else EMBEDDING, EMBEDDING)
        values = rng.normal(0, 1 / size[0] if mels and not i else 1, size)
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"matrix {i}"))
        nodes.append(
            helper.make_node("MatMul", ["layer" if not i else f"out {i - 1}", f"matrix {i}"], [f"in {i}"])
        )
        nodes.append(helper.make_node("Tanh", [f"in {i}"], [f"out {i}"]))
        outputs.append(helper.make_tensor_value_info(f"out {i}", TensorProto.FLOAT, [1, None, EMBEDDING]))
    shape = [1, mels, None] if mels else [1, None]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "encoder", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / told["model"])
    return _written(folder, told)


class Mean(nn.Module):
    """Frames of 100 samples through a matrix, and their mean: one embedding a block."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Linear(100, EMBEDDING)

    def forward(self, waveform: Tensor) -> Tensor:
        found: Tensor = self.matrix(waveform.reshape(waveform.shape[0], -1, 100)).tanh().mean(dim=1)
        return found


def program_encoder(folder: Path, **description: Any) -> Path:
    """A program of torch.export, and its description."""
    torch.manual_seed(0)
    told = _description("encoder.pt2", description)
    block = torch.zeros(1, round(told["input"]["seconds"] * told["rate"]))
    folder.mkdir(parents=True, exist_ok=True)
    torch.export.save(torch.export.export(Mean().eval(), (block,)), folder / told["model"])
    return _written(folder, told)


def _description(model: str, told: dict[str, Any]) -> dict[str, Any]:
    own = {
        "model": model,
        "rate": 16000,
        "input": SAMPLES,
        "embedding": EMBEDDING,
        "licence": "none: random numbers",
    }
    return own | told


def _written(folder: Path, told: dict[str, Any]) -> Path:
    path = folder / "encoder.yaml"
    path.write_text(yaml.safe_dump(told))
    return path
