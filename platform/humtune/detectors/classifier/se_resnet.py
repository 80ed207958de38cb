"""A small residual network whose blocks weigh their channels: SE-ResNet."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from humtune.detectors.classifier.backbones import Backbone, convolution

STAGES = (1, 2, 4, 8)  # channels of the blocks, in units of the first layer's
BLOCKS = 2  # of a stage
SQUEEZE = 4  # times as few channels decide on the weights


class SEResNet(Backbone):
    """Residual blocks (He et al. 2016) with squeeze and excitation (Hu et al. 2018), the maximum over time.

    Which band is which the network keeps to the end.
    """

    takes: ClassVar[tuple[str, ...] | None] = ("spectrogram",)

    kind: str = "se_resnet"
    channels: int = Field(16, ge=4, description="of the first layer; of the last block eight times as many")

    def build(self, shapes: Sequence[tuple[int, int, int]]) -> nn.Module:
        """The network for one spectrogram."""
        [(inputs, bins, _)] = shapes
        return SEResNetLayers(self.channels, bins, self.embedding, inputs=inputs)


class SEResNetLayers(nn.Module):
    """Spectrograms [B, inputs, bins, any number of frames] to features [B, k]."""

    def __init__(self, channels: int, bins: int, embedding: int, *, inputs: int = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            convolution(inputs, channels, 7, stride=2, padding=3, act="relu"),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks, width = [], channels
        for times in STAGES:
            for block in range(BLOCKS):
                stride = 2 if block == 0 and times > 1 else 1
                blocks.append(Block(width, times * channels, stride=stride))
                width = times * channels
        self.blocks = nn.Sequential(*blocks)
        bands = width * -(-bins // 32)  # after five strides of two
        self.last = nn.Sequential(nn.BatchNorm1d(bands), nn.Linear(bands, embedding))

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Features."""
        features: Tensor = self.last(self.blocks(self.stem(spectrogram)).amax(dim=3).flatten(1))
        return features


class Block(nn.Module):
    """Two convolutions, their channels weighed by what they hold on average, beside a short cut."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(inputs, outputs, 3, stride=stride, padding=1, act="relu"),
            convolution(outputs, outputs, 3, padding=1),
        )
        few = max(4, outputs // SQUEEZE)
        self.weigh = nn.Sequential(
            nn.Linear(outputs, few), nn.ReLU(inplace=True), nn.Linear(few, outputs), nn.Sigmoid()
        )
        is_same = stride == 1 and inputs == outputs
        self.stride = stride
        self.beside = nn.Identity() if is_same else convolution(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps [B, inputs, h, w] to [B, outputs, ⌈h / stride⌉, ⌈w / stride⌉]."""
        y = self.body(x)
        weights = self.weigh(y.mean(dim=(2, 3)))[:, :, None, None]
        # oneDNN's gradient of a 1 x 1 convolution with strides, channels last, writes beyond its memory
        beside = self.beside(x[:, :, :: self.stride, :: self.stride])
        out: Tensor = (y * weights + beside).relu()
        return out
