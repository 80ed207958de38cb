"""Noop: a family that learns nothing, for tests and benchmarks of everything around a detector."""

from collections.abc import Hashable, Iterable
from dataclasses import replace
from time import sleep

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from humtune.config import Acceleration, Output
from humtune.detectors.encoder import Encoder, Graph
from humtune.detectors.fit import Fit
from humtune.detectors.frontends import FrontendLayer
from humtune.detectors.recipe import Recipe
from humtune.scores.encoded import Encoded
from humtune.sounds.bank import ClipBank
from humtune.sounds.sound_file import to_waveform

QUIETEST = 1e-10  # the least power that has a level: -100 dB


class Noop(Recipe):
    """How far a clip's level lies from that of the training clips, blurred; its steps only take time.

    The less it is blurred the better it is, as far as anomalies are louder or quieter: a search of `blur` has
    something to find.
    """

    family: str = "noop"
    steps: int = Field(5, ge=1)
    seconds: float = Field(0.0, ge=0, description="that a step takes")
    blur: float = Field(0.0, ge=0, description="dB by which a level is off, as the level and the seed will")
    scores: tuple[str, ...] = Field(("own",), min_length=1)

    @property
    def gives(self) -> frozenset[Output]:
        """A score of its own."""
        return frozenset({Output.SCORE})

    @property
    def budget(self) -> int:
        """Steps."""
        return self.steps

    def build(self, classes: tuple[str, ...]) -> "LevelEncoder":
        """The encoder, of no level yet."""
        return LevelEncoder(self, classes)

    def start(
        self,
        bank: ClipBank,
        *,
        device: str = "cpu",
        acceleration: Acceleration = Acceleration(),  # noqa: B008  frozen
    ) -> "NoopFit":
        """A fit before its first step."""
        return NoopFit(self, bank, self.build(()).to(device))


class NoopFit(Fit):
    """Takes the training clips' mean level at once, and then its time."""

    recipe: Noop

    def __init__(self, recipe: Noop, bank: ClipBank, encoder: "LevelEncoder") -> None:
        super().__init__(recipe, bank, encoder)
        encoder.centre.copy_(encoder.levels(bank, self.clips).mean())

    def step(self) -> dict[str, float]:
        """Sleep."""
        sleep(self.recipe.seconds)
        self.done += 1
        return {"loss": 1 / self.done}


class LevelEncoder(Encoder):
    """A clip's level in dB, one row a clip."""

    recipe: Noop
    centre: Tensor

    def __init__(self, recipe: Noop, classes: tuple[str, ...]) -> None:
        super().__init__(recipe, classes)
        self.register_buffer("centre", torch.zeros((), dtype=torch.float64))
        self.frontend = LevelLayer()

    def encode(self, bank: ClipBank, clips: NDArray[np.intp]) -> Encoded:
        """Levels, and how far they lie from the training clips'."""
        return replace(self.read(self.levels(bank, clips)), **self.rows(bank, clips, 1))

    def levels(self, bank: ClipBank, clips: NDArray[np.intp]) -> Tensor:
        """The clips' levels [n, 1]."""
        waveforms = (torch.from_numpy(to_waveform(bank.clip(int(i)))) for i in clips)
        return torch.stack([self.frontend.whole(waveform[None]) for waveform in waveforms]).to(self.device)

    def read(self, levels: Tensor) -> Encoded:
        """Rows of levels [n, 1]."""
        off = self.recipe.blur * torch.sin(7 * levels + self.recipe.seed)
        score = (levels + off - self.centre).abs()[:, 0]
        return Encoded(score=score, chunks=1)

    def graph(self) -> Graph:
        """The level is all there is to a graph's front end, and its network leaves it as it is."""
        return Graph(self.frontend, nn.Identity(), self.read, least_samples=1)


class LevelLayer(FrontendLayer):
    """The level of a clip in dB."""

    @property
    def shapes(self) -> tuple[tuple[int, int, int]]:
        """One number."""
        return ((1, 1, 1),)

    @property
    def key(self) -> Hashable:
        """There is one kind."""
        return "level"

    def forward(self, samples: Tensor) -> tuple[Tensor]:
        """Levels [B, 1]."""
        power = samples.double().square().mean(dim=1, keepdim=True)
        return (10 * power.clamp_min(QUIETEST).log10(),)

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Nothing to learn."""

    def whole(self, waveform: Tensor) -> Tensor:
        """The level [1]."""
        (level,) = self.forward(waveform)
        return level[0]

    def chunks(self, whole: Tensor) -> tuple[Tensor]:
        """The clip is one chunk."""
        return (whole[None],)
