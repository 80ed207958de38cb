"""What fits have in common that train one network on random chunks: an epoch a step, with Adam."""

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humtune.config import Acceleration
from humtune.detectors.encoder import random_chunks
from humtune.detectors.fit import Fit
from humtune.errors import HumtuneError
from humtune.sounds.bank import ClipBank


class ChunkFit(Fit):
    """Makes the mean loss of random chunks of the visited clips small; a family says what the loss is."""

    kept: ClassVar[tuple[str, ...]] = ("done", "encoder", "optimiser", "rng")

    recipe: Any  # with a spectrogram, batch_size, chunks_per_clip and learning_rate

    def __init__(self, recipe: Any, bank: ClipBank, *, device: str, acceleration: Acceleration) -> None:
        super().__init__(recipe, bank, recipe.build(()).to(device))
        self.device = torch.device(device)
        self.bf16 = acceleration.bf16
        self.optimiser = torch.optim.Adam(self.encoder.parameters(), lr=recipe.learning_rate)
        self.rng = np.random.default_rng(recipe.seed)
        self.visited = self.clips

    @abstractmethod
    def loss(self, samples: Tensor, clips: NDArray[np.intp]) -> Tensor:
        """The mean loss [] of chunks [B, chunk_samples], one of each of these clips [B]."""

    def batches(self, visits: NDArray[np.intp]) -> Iterable[NDArray[np.intp]]:
        """The clips of an epoch, step by step; the last batch is what is left."""
        size = self.recipe.batch_size
        return (visits[first : first + size] for first in range(0, len(visits), size))

    def step(self) -> dict[str, float]:
        """Visit every clip `chunks_per_clip` times; the epoch's mean loss."""
        self.encoder.train()
        visits = self.rng.permutation(np.repeat(self.visited, self.recipe.chunks_per_clip))
        total = torch.zeros((), device=self.device)
        for clips in self.batches(visits):
            samples = random_chunks(self.bank, clips, self.recipe.spectrogram, self.rng).to(self.device)
            self.optimiser.zero_grad(set_to_none=True)
            loss = self.loss(samples, clips)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            total += loss.detach() * len(clips)
        self.done += 1
        mean = float(total) / len(visits)
        if not math.isfinite(mean):
            raise HumtuneError(f"the loss became {mean} in epoch {self.done}; try a lower learning_rate")
        return {"loss": mean}
