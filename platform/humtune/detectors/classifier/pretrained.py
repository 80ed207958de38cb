"""A pretrained encoder as a classifier's backbone: fine-tuned whole, by LoRA, or frozen below a map."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from humtune.config import SAMPLE_RATE
from humtune.detectors.classifier.backbones import Backbone
from humtune.detectors.frontends import Frontend
from humtune.detectors.pretrained.encoder import try_out
from humtune.detectors.pretrained.lora import LoRA, adapted, merged
from humtune.detectors.pretrained.sources import Source
from humtune.detectors.pretrained.tuned import TunedEncoder
from humtune.detectors.pretrained.weights import Weights
from humtune.errors import HumtuneError, UsageError


class PretrainedBackbone(Weights, Backbone):
    """An encoder of the family `pretrained`, the mean of its last layer over time, and a linear map.

    What the encoder gets of a chunk it makes itself: as the front end gives samples, heads, training, scores
    and export need to know nothing of it.
    """

    takes: ClassVar[tuple[str, ...] | None] = ("raw_waveform",)
    setting: ClassVar[str] = "backbone.weights"

    kind: str = "pretrained"
    tune: Literal["whole", "lora", "none"] = Field("lora", description="which of the encoder's weights learn")
    lora: LoRA = LoRA()
    rate: float = Field(
        0.1, gt=0, le=1, description="share of training.learning_rate that the encoder's weights learn at"
    )

    @property
    def size(self) -> str:
        """The encoder, and what of it learns."""
        return f"{self.name}, {self.tune}" + (f" of rank {self.lora.rank}" if self.tune == "lora" else "")

    def check(self, frontend: Frontend) -> None:
        """Beside what it takes: the encoder can be tuned so, and its blocks are as long as a chunk."""
        super().check(frontend)
        source = self.source
        self._check_tuning(source)
        try_out(source, (-1,))
        description = source.description
        longest = description.block * SAMPLE_RATE // description.rate
        if frontend.chunk_samples > longest and not source.takes_any_length:
            frames = (longest - frontend.window) // frontend.hop_samples + 1
            raise UsageError(
                f"spectrogram.chunk_frames = {frontend.chunk_frames} makes chunks of "
                f"{frontend.chunk_samples / SAMPLE_RATE:.2f} s, {self.name} takes blocks of "
                f"{longest / SAMPLE_RATE:.2f} s; set it to {frames} or less"
            )
        if self.tune == "lora":
            self._check_lora(frontend)

    def _check_tuning(self, source: Source) -> None:
        if why := source.why_not_tuned(lora=self.tune == "lora"):
            raise UsageError(f"weights: {source.name}: {why}")

    def _check_lora(self, frontend: Frontend) -> None:
        """Some networks read a layer's weights past it: what LoRA adds there would learn nothing."""
        with torch.random.fork_rng(devices=[]):
            network = self.build(frontend.build().shapes)
            network(0.1 * torch.randn(1, 1, 1, frontend.chunk_samples)).sum().backward()
        for name, weights in network.network.named_parameters():
            if weights.requires_grad and weights.grad is None:
                raise UsageError(
                    f"backbone.lora.targets: {self.name} reads the weights of "
                    f"{name.partition('.lora_')[0]} past what LoRA adds; name other layers"
                )

    def build(self, shapes: Sequence[tuple[int, int, int]]) -> TunedEncoder:
        """The encoder with its own weights, and a linear map as PyTorch initialises it."""
        [(_, _, samples)] = shapes
        source = self.source
        self._check_tuning(source)
        network = source.load().requires_grad_(self.tune == "whole")
        if self.tune == "lora":
            network = adapted(network, self.lora, source.name)
        return TunedEncoder(source, network, samples, self.embedding)

    def slower(self, network: nn.Module) -> tuple[list[nn.Parameter], float]:
        """All that learns of the encoder."""
        assert isinstance(network, TunedEncoder)
        return [weights for weights in network.network.parameters() if weights.requires_grad], self.rate

    def exported(self, network: nn.Module) -> nn.Module:
        """With what LoRA learnt added to the encoder's weights; its twin in int8 has that already."""
        source = self.source
        if why := source.why_not_exported:
            raise HumtuneError(f"weights: {source.name}: can't be exported: {why}")
        has_lora = self.tune == "lora" and isinstance(network, TunedEncoder)
        return merged(network) if has_lora else network
