"""A pretrained encoder as a network that learns: chunks of samples to features."""

from contextlib import nullcontext
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from humtune.config import SAMPLE_RATE
from humtune.detectors.pretrained.blocks import BlockLayer
from humtune.detectors.pretrained.sources import Source, as_tensor, check_weights


class TunedEncoder(nn.Module):
    """Samples [B, 1, 1, n] in [-1, 1] to features [B, k]: the mean of the last layer's frames, through a map.

    A chunk is one block, repeated where the encoder's is longer. The encoder computes as in a test all the
    time: its dropout knows no generator of the fit's.

    Only what learns is in the state, with the hash of the weights that the rest is of: it takes no state of
    an encoder with others.
    """

    digest: Tensor

    def __init__(self, source: Source, network: nn.Module, samples: int, embedding: int) -> None:
        super().__init__()
        self.source = source
        description = source.description
        if source.takes_any_length:
            seconds = {"seconds": samples / SAMPLE_RATE}
            description = description.model_copy(
                update={"input": description.input.model_copy(update=seconds)}
            )
        self.blocks = BlockLayer(description)
        self.network = network.eval()
        self.project = nn.Linear(description.embedding, embedding)
        self.register_buffer("digest", as_tensor(source.digest))
        self.register_state_dict_post_hook(_without_fixed)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_with_fixed)  # type: ignore[no-untyped-call]

    def forward(self, samples: Tensor) -> Tensor:
        """Features; the encoder's are brought to the mean 0 and deviation 1 before the map."""
        with _full_precision(samples.device.type):
            blocks = torch.cat([self._block(chunk) for chunk in samples[:, 0]])
        frames: Tensor = self.network(blocks)[:, -1]
        mean = frames.float().mean(dim=1)
        features: Tensor = self.project(F.layer_norm(mean, mean.shape[1:]))
        return features

    def _block(self, chunk: Tensor) -> Tensor:
        """What the encoder gets [1, …] of a chunk [1, n]."""
        (block,) = self.blocks.chunks(self.blocks.whole(chunk)[: self.blocks.description.block])
        return block

    def train(self, mode: bool = True) -> Self:
        """All but the encoder's own network."""
        super().train(mode)
        self.network.eval()
        return self

    def fixed(self) -> dict[str, Tensor]:
        """What doesn't learn of the encoder, by its name in the state."""
        state = self.network.state_dict(keep_vars=True)
        return {f"network.{name}": tensor for name, tensor in state.items() if not tensor.requires_grad}


def _full_precision(device: str) -> Any:
    """Spectrograms stay as the encoder knows them where the network computes in bfloat16."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def _without_fixed(encoder: TunedEncoder, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    for name in encoder.fixed():
        state.pop(prefix + name, None)


def _with_fixed(encoder: TunedEncoder, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    check_weights(encoder.source, encoder.digest, state[f"{prefix}digest"])
    state.update({prefix + name: tensor.detach() for name, tensor in encoder.fixed().items()})
