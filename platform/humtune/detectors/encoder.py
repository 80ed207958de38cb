"""Encoder: from clips to what scores are made of; and the same as the parts of a graph."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from humtune.config import TEST_CHUNKS
from humtune.detectors.frontends import Frontend, FrontendLayer
from humtune.detectors.recipe import Recipe
from humtune.errors import HumtuneError
from humtune.scores.encoded import Encoded
from humtune.sounds.bank import ClipBank

ENCODE_BATCH = 64  # chunks; larger ones gain nothing on a processor and little on a GPU


class Encoder(nn.Module, ABC):
    """What a family learns: maps clips to embeddings, variances, logits, scores of its own, or several."""

    def __init__(self, recipe: Recipe, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.recipe = recipe
        self.classes = classes

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        tensors = chain(self.parameters(), self.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @abstractmethod
    def encode(self, bank: ClipBank, clips: NDArray[np.intp]) -> Encoded:
        """What it gives of the bank's clips [n], clip after clip."""

    def rows(self, bank: ClipBank, clips: NDArray[np.intp], chunks: int) -> dict[str, Any]:
        """What is known of the rows of these clips, so many of each, by its names in `Encoded`."""
        table = bank.table
        columns: dict[str, ArrayLike] = {
            "clip": clips,
            "section": table.section[clips],
            "domain": table.domain[clips],
        }
        known = {name: self.repeated(values, chunks) for name, values in columns.items()}
        return {**known, "chunks": chunks}

    def repeated(self, clips: ArrayLike, chunks: int) -> Tensor:
        """A whole number of each clip as one of each of its rows."""
        values = torch.from_numpy(np.array(clips, dtype=np.int64, order="C"))
        return values.repeat_interleave(chunks).to(self.device)

    def graph(self) -> "Graph":
        """The encoder in the parts that a graph is joined of; a HumtuneError that says why it can't be."""
        raise HumtuneError(f"{self.recipe.giver} can't be exported: it doesn't say how it becomes a graph")

    def replace_network(self, network: nn.Module) -> None:
        """Take another network in the place of the graph's; a HumtuneError where there is none to replace."""
        raise HumtuneError(f"{self.recipe.giver} has no network that could be quantised")


@dataclass(frozen=True, eq=False)
class Graph:
    """An encoder in the parts that a graph is joined of: a front end, a network, and what reads its features.

    The front end's `whole` maps a waveform [1, n] to what all chunks are cut from, made once where encoders
    have an equal `key`; its `chunks` maps that to tensors [c, …]. `network` maps one chunk of each [1, …] to
    features [1, …], and `read` the features of all chunks [c, …] to a clip's rows. `least_samples` are those
    of the shortest clip; `most_samples` those of the longest that the chunks leave nothing out of, None where
    all of any clip counts. `growing` are those of a clip that has several chunks where a longer one has more,
    None where any clip has as many. Graphs with equal `parts` have the same front end and network; None: no
    others have them.
    """

    frontend: FrontendLayer
    network: nn.Module
    read: Callable[[Tensor], Encoded]
    least_samples: int
    most_samples: int | None = None
    growing: int | None = None
    parts: Hashable = None


class ChunkEncoder(Encoder):
    """An encoder of five equispaced chunks of each clip: a front end, and a network to be read."""

    def __init__(self, recipe: Recipe, classes: tuple[str, ...], frontend: Frontend) -> None:
        super().__init__(recipe, classes)
        self.settings = frontend
        self.frontend = frontend.build()

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """Maps the front end's tensors [B, …] to features [B, k]."""

    @abstractmethod
    def read(self, features: Tensor) -> dict[str, Any]:
        """What `Encoded` calls the outputs of features [B, k]."""

    def features(self, samples: Tensor) -> Tensor:
        """Features [B, k] of chunks [B, chunk_samples]."""
        features: Tensor = self.network(*self.frontend(samples))
        return features.float()

    def encoded(self, features: Tensor) -> Encoded:
        """The rows of one clip, of its chunks' features [c, k]."""
        return Encoded(**self.read(features), chunks=TEST_CHUNKS)

    def graph(self) -> Graph:
        """Front end, network, what reads it."""
        least = (self.settings.chunk_frames - 1) * self.settings.hop_samples
        most = (TEST_CHUNKS * self.settings.chunk_frames - 1) * self.settings.hop_samples  # side by side
        return Graph(self.frontend, self.network, self.encoded, least, most)

    def fit_frontend(self, bank: ClipBank, clips: NDArray[np.intp]) -> None:
        """Have the front end learn what it needs of the clips' five equispaced chunks."""
        batches = scoring_chunks(bank, clips, self.settings, ENCODE_BATCH)
        self.frontend.fit(samples.to(self.device) for samples in batches)

    @torch.no_grad()
    def encode(self, bank: ClipBank, clips: NDArray[np.intp]) -> Encoded:
        """What it gives of five equispaced chunks of each clip."""
        self.eval()
        batches = scoring_chunks(bank, clips, self.settings, ENCODE_BATCH)
        parts = [self.read(self.features(samples.to(self.device))) for samples in batches]
        outputs: dict[str, Any] = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return Encoded(**outputs, **self.rows(bank, clips, TEST_CHUNKS))


def scoring_chunks(
    bank: ClipBank, clips: NDArray[np.intp], frontend: Frontend, batch: int
) -> Iterator[Tensor]:
    """Samples [B, chunk_samples] of the clips' five equispaced chunks, in order.

    Raises HumtuneError where there is no clip, or one of the bank's is shorter than a chunk.
    """
    machine = bank.table.machine
    if len(clips) == 0:
        raise HumtuneError(f"{machine}: there are no clips to cut chunks from")
    shortest = frontend.frames(int(bank.lengths.min()))
    if shortest < frontend.chunk_frames:
        raise HumtuneError(
            f"{machine}: its shortest clip has {shortest} frames, fewer than a chunk: "
            f"choose chunk_frames ≤ {shortest}, not {frontend.chunk_frames}"
        )
    chunks: list[NDArray[np.int16]] = []
    for index in clips:
        clip = bank.clip(int(index))
        frames = frontend.frames(len(clip))
        starts = equispaced_starts(frames, frontend.chunk_frames, TEST_CHUNKS)
        chunks += [frontend.cut(clip, start) for start in starts]
        while len(chunks) >= batch:
            yield torch.from_numpy(np.stack(chunks[:batch]))
            del chunks[:batch]
    if chunks:
        yield torch.from_numpy(np.stack(chunks))


def random_chunks(
    bank: ClipBank, clips: NDArray[np.intp], frontend: Frontend, rng: np.random.Generator
) -> Tensor:
    """Samples [n, chunk_samples] of one chunk of each clip, each from a random start."""
    cuts = [bank.clip(int(i)) for i in clips]
    frames = np.array([frontend.frames(len(clip)) for clip in cuts], dtype=np.int64)
    starts = random_starts(frames, frontend.chunk_frames, rng)
    chunks = [frontend.cut(clip, int(start)) for clip, start in zip(cuts, starts, strict=True)]
    return torch.from_numpy(np.stack(chunks))


def random_starts(
    frames: NDArray[np.int64], chunk_frames: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """A uniformly random first frame for each clip of so many frames (paper §3.1, training)."""
    return rng.integers(0, frames - chunk_frames, endpoint=True)


def equispaced_starts(frames: int, chunk_frames: int, chunks: int) -> list[int]:
    """First frames of `chunks` chunks spread from a clip's first frame to its last (paper §3.1, test)."""
    return [(frames - chunk_frames) * i // max(chunks - 1, 1) for i in range(chunks)]
