"""Backbones: the networks between spectrogram and features."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from humtune.detectors.frontends import Frontend
from humtune.detectors.recipe import Part
from humtune.errors import UsageError

# expansion t, channels c at width 1, blocks n, stride s of the first
BOTTLENECKS = ((2, 128, 2, 2), (4, 128, 2, 2), (4, 128, 2, 2))


class Backbone(Part, ABC):
    """Settings of a backbone. `takes` are the tensors that a front end must give; None: any."""

    takes: ClassVar[tuple[str, ...] | None] = None

    embedding: int = Field(128, ge=2, description="length of an embedding: the paper's k")

    @property
    def size(self) -> str:
        """What the time of a step depends on, in words."""
        return ", ".join([self.kind, *(f"{k} {v}" for k, v in self if k not in ("kind", "embedding"))])

    def length(self, shapes: Sequence[tuple[int, int, int]]) -> int:
        """The features that the network makes of tensors of these shapes: k."""
        return self.embedding

    def check(self, frontend: Frontend) -> None:
        """Raise a UsageError where it doesn't do with what a front end gives."""
        takes, gives = self.takes, frontend.gives
        if takes is not None and takes != gives:
            raise UsageError(
                f"backbone.kind = {self.kind} takes a {' and a '.join(takes)}, spectrogram.kind = "
                f"{frontend.kind} gives a {' and a '.join(gives)}; set it to {'_and_'.join(takes)}"
            )

    def pinned(self) -> dict[str, Any]:
        """Settings that mean the same later and elsewhere, in the place of those that may not."""
        return {}

    def remarks(self) -> tuple[str, ...]:
        """What whoever chose these settings should know, a line each."""
        return ()

    def slower(self, network: nn.Module) -> tuple[list[nn.Parameter], float]:
        """Weights of the network that learn at a share of the training's rate, and that share."""
        return [], 1.0

    def exported(self, network: nn.Module) -> nn.Module:
        """The trained network as a graph is made of it; a HumtuneError where there can be none."""
        return network

    @abstractmethod
    def build(self, shapes: Sequence[tuple[int, int, int]]) -> nn.Module:
        """A network from a front end's tensors [B, channels, rows, frames] to features [B, k].

        `shapes` are their channels, rows and frames; the network takes one argument each.
        """


class MobileFaceNet(Backbone):
    """MobileFaceNet as the paper shapes it (Table 1): a small convolutional network."""

    takes: ClassVar[tuple[str, ...] | None] = ("spectrogram",)

    kind: str = "mobilefacenet"
    width: float = Field(1.0, gt=0, le=4, description="scales the channels; 1 is the paper's network")
    activation: Literal["relu", "prelu", "leaky_relu"] = "relu"

    @property
    def size(self) -> str:
        """Width and activation."""
        return f"width {self.width:g}, {self.activation}"

    def build(self, shapes: Sequence[tuple[int, int, int]]) -> nn.Module:
        """The network for one spectrogram."""
        [(inputs, bins, frames)] = shapes
        return MobileFaceNetLayers(self, bins, frames, inputs)


def activation(kind: str, channels: int) -> nn.Module:
    """A layer's non-linearity; PReLU learns a slope a channel."""
    match kind:
        case "prelu":
            return nn.PReLU(channels)
        case "leaky_relu":
            return nn.LeakyReLU(0.1, inplace=True)
        case _:
            return nn.ReLU(inplace=True)


def convolution(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    act: str | None = None,
) -> nn.Sequential:
    """Convolution and batch norm, with a non-linearity where `act` names one."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if act is not None:
        layers.append(activation(act, outputs))
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """Inverted residual: widen, filter each channel by itself, narrow without a non-linearity."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int, act: str) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.is_residual = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            convolution(inputs, hidden, 1, act=act),
            convolution(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, act=act),
            convolution(hidden, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps [B, inputs, h, w] to [B, outputs, ⌈h / stride⌉, ⌈w / stride⌉]."""
        y: Tensor = self.body(x)
        return x + y if self.is_residual else y


class MobileFaceNetLayers(nn.Sequential):
    """Spectrograms [B, inputs, bins, frames] to features [B, k].

    Table 1 with MobileFaceNet's second, depthwise layer. The global depthwise convolution's kernel is the map
    that four strides of two leave, so a network fits one size of spectrogram. Width scales every channel
    count but k.
    """

    def __init__(self, config: MobileFaceNet, bins: int, frames: int, inputs: int = 1) -> None:
        act = config.activation
        stem, trunk = channels(64, config.width), channels(512, config.width)
        layers = [
            convolution(inputs, stem, 3, stride=2, padding=1, act=act),
            convolution(stem, stem, 3, padding=1, groups=stem, act=act),
        ]
        inputs = stem
        for expansion, wide, blocks, stride in BOTTLENECKS:
            outputs = channels(wide, config.width)
            for block in range(blocks):
                step = stride if block == 0 else 1
                layers.append(Bottleneck(inputs, outputs, expansion=expansion, stride=step, act=act))  # type: ignore[arg-type]
                inputs = outputs
        rest = (-(-bins // 16), -(-frames // 16))
        super().__init__(
            *layers,
            convolution(inputs, trunk, 1, act=act),
            convolution(trunk, trunk, rest, groups=trunk),
            convolution(trunk, config.embedding, 1),
            nn.Flatten(),
        )


def channels(count: int, width: float) -> int:
    """So many channels, scaled; a multiple of 8 keeps vector units full."""
    return max(8, round(count * width / 8) * 8)
