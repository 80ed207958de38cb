"""Frozen encoders at work: from clips to embeddings, pooled over time."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humtune.detectors.encoder import Encoder, Graph
from humtune.detectors.kept import Rows, is_kept, kept_rows
from humtune.detectors.pretrained.blocks import LEAST_SAMPLES, BlockLayer
from humtune.detectors.pretrained.sources import Source, as_tensor, check_weights
from humtune.errors import HumtuneError, UsageError, first_line
from humtune.scores.encoded import Encoded
from humtune.sounds.bank import ClipBank
from humtune.sounds.sound_file import to_waveform

if TYPE_CHECKING:
    from humtune.detectors.pretrained.recipe import Pretrained

EMBEDDED = 1  # counts changes to how recordings are embedded: what was kept before is not trusted
MOMENTS = ("mean", "deviation", "gem", "max")
POOLINGS: dict[str, tuple[str, ...]] = {
    "mean": ("mean",),
    "mean_deviation": ("mean", "deviation"),
    "gem": ("gem",),
    "max": ("max",),
}
GEM_POWER = 3  # Radenović et al. 2018, arXiv:1711.02512
GEM_FLOOR = 1e-6


class PretrainedEncoder(Encoder):
    """Clips to embeddings [n, D] of a frozen network, one row a clip.

    The network is loaded when a clip wants it. Weights are no part of the encoder's state, only their hash
    is: it takes the state of no encoder with others.
    """

    recipe: "Pretrained"
    digest: Tensor

    def __init__(self, recipe: "Pretrained", classes: tuple[str, ...]) -> None:
        super().__init__(recipe, classes)
        self.source: Source = recipe.source
        self.frontend = BlockLayer(self.source.description)
        self.register_buffer("digest", as_tensor(self.source.digest))

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Take another one's state; a HumtuneError where its weights were others."""
        check_weights(self.source, self.digest, state_dict["digest"])
        return super().load_state_dict(state_dict, *args, **kwargs)

    @property
    def name(self) -> str:
        """Stands for all that embeddings depend on but the clip; pooling and layers are chosen later."""
        description = self.source.description.model_dump(include={"rate", "input", "overlap"})
        settings = [EMBEDDED, self.source.digest, description, self.device.type]
        return f"embedded-{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]}"

    def is_kept(self, bank: ClipBank) -> bool:
        """Whether all of a bank's clips were embedded before."""
        return is_kept(bank, self.name)

    def moments(self, bank: ClipBank, clips: NDArray[np.intp]) -> Tensor:
        """Moments of all layers' embeddings of clips [n, L, 4, k]; an opened bank's are kept beside it."""
        found = kept_rows(bank, self.name, clips, lambda some: self.embed(bank, some))
        return torch.from_numpy(found).to(self.device)

    def load(self) -> nn.Module:
        """The network, loaded where none of the process's encoders did before."""
        return _loaded(self.source, self.source.digest, self.device.type, torch.get_num_threads())

    @torch.no_grad()
    def embed(self, bank: ClipBank, clips: NDArray[np.intp]) -> Rows:
        """Moments of all layers' embeddings of clips [n, L, 4, k], made anew."""
        self.eval()
        network = self.load()
        found = []
        for i in clips:
            waveform = torch.from_numpy(to_waveform(bank.clip(int(i))))[None].to(self.device)
            (blocks,) = self.frontend.chunks(self.frontend.whole(waveform))
            own = moments(torch.cat([network(block[None]).float() for block in blocks]))
            if not own.isfinite().all():
                raise HumtuneError(
                    f"weights: {self.source.name}: of {bank.table.machine}'s {bank.table.name[i]} it gives "
                    "numbers that are not finite; choose another encoder"
                )
            found.append(own.cpu().numpy())
        return np.stack(found)

    def encode(self, bank: ClipBank, clips: NDArray[np.intp]) -> Encoded:
        """Pooled embeddings of the chosen layers."""
        return replace(self.pooled(self.moments(bank, clips)), **self.rows(bank, clips, 1))

    def pooled(self, moments: Tensor) -> Encoded:
        """The chosen layers of moments [n, L, 4, k], pooled."""
        return self._pooled(moments[:, list(self.recipe.layers)])

    def read(self, features: Tensor) -> Encoded:
        """The row of a clip, of the chosen layers' embeddings of its blocks [c, L, frames, k]."""
        return self._pooled(moments(features)[None])

    def _pooled(self, moments: Tensor) -> Encoded:
        wanted = [MOMENTS.index(name) for name in POOLINGS[self.recipe.pooling]]
        return Encoded(mean=moments[:, :, wanted].flatten(1), chunks=1)

    def graph(self) -> Graph:
        """The blocks are the front end's, the pooling is read."""
        if why := self.source.why_not_exported:
            raise HumtuneError(f"weights: {self.source.name}: can't be exported: {why}")
        source, device = self.source, self.device.type
        frontend, network = _chosen(source, source.digest, self.recipe.layers, device)
        return Graph(
            frontend,
            network,
            self.read,
            least_samples=LEAST_SAMPLES,
            growing=source.description.several,
            parts=(self.name, self.recipe.layers),
        )


def moments(features: Tensor) -> Tensor:
    """Mean, deviation, generalised mean and maximum [L, 4, k] over blocks and frames of [c, L, frames, k]."""
    rows = features.transpose(0, 1).flatten(1, 2).double()
    mean = rows.mean(dim=1)
    deviation = (rows - mean[:, None]).square().mean(dim=1).sqrt()
    gem = rows.clamp_min(GEM_FLOOR).pow(GEM_POWER).mean(dim=1).pow(1 / GEM_POWER)
    return torch.stack([mean, deviation, gem, rows.amax(dim=1)], dim=1).float()


@lru_cache(maxsize=1)
def _loaded(source: Source, digest: str, device: str, threads: int) -> nn.Module:
    """A source's network, loaded once a process for the same files, device and number of threads."""
    return source.load().to(device)


@lru_cache(maxsize=2)
def _chosen(
    source: Source, digest: str, layers: tuple[int, ...], device: str
) -> tuple[BlockLayer, nn.Module]:
    """The front end and the network of a graph, made once for what follows one after the other."""
    return BlockLayer(source.description).to(device), source.chosen(layers).to(device)


@torch.no_grad()
def try_out(source: Source, layers: Sequence[int]) -> None:
    """Raise a UsageError where an encoder doesn't do, on a block of noise, what its description says."""
    description = source.description
    frontend = BlockLayer(description).eval()
    noise = 0.1 * torch.randn(1, description.block, generator=torch.Generator().manual_seed(0))
    (block,) = frontend(noise)
    network = _loaded(source, source.digest, "cpu", torch.get_num_threads())
    shape, name = list(block.shape), f"weights: {source.name}"
    try:
        found = network(block)
    except Exception as error:  # whatever its libraries raise
        raise UsageError(
            f"{name}: it doesn't take a block as its description says, {shape} ({first_line(error)})"
        ) from error
    if found.ndim != 4 or found.shape[0] != 1 or found.shape[-1] != description.embedding:
        raise UsageError(
            f"{name}: of a block {shape} a layer is {list(found.shape[:1] + found.shape[2:])}, and should be "
            f"[1, frames, {description.embedding}]; mend embedding, or export it with that output"
        )
    if not found.isfinite().all():
        raise UsageError(f"{name}: of a block of noise it gives numbers that are not finite")
    there = found.shape[1]
    for layer in layers:
        if not -there <= layer < there:
            raise UsageError(
                f"{name}: layers = {layer} is not there; it has {there}: {-there} to {there - 1}"
            )
