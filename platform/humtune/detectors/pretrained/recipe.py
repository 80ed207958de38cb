"""Pretrained: a general audio encoder, frozen, and distances of its embeddings. No classes, no training."""

from time import perf_counter
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator

from humtune.config import Acceleration, Output
from humtune.detectors.fit import Fit, evenly
from humtune.detectors.pretrained.encoder import PretrainedEncoder, try_out
from humtune.detectors.pretrained.weights import Weights
from humtune.detectors.recipe import Check, Estimate, Recipe
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import ClipTable

TIMED = 3  # clips that are embedded to know what all of them take


class Pretrained(Weights, Recipe):
    """Embeddings of a frozen encoder, pooled over a clip's time; scores by their distances."""

    sizes: ClassVar[tuple[str, ...]] = ("weights",)

    family: str = "pretrained"
    pooling: Literal["mean", "mean_deviation", "gem", "max"] = Field(
        "mean", description="over a clip's frames"
    )
    layers: tuple[int, ...] = Field(
        (-1,), min_length=1, description="that are used, side by side; -1: the last"
    )
    scores: tuple[str, ...] = Field(("knn",), min_length=1)

    @field_validator("layers", mode="before")
    @classmethod
    def _one_layer(cls, layers: object) -> object:
        return (layers,) if isinstance(layers, int) and not isinstance(layers, bool) else layers

    @property
    def gives(self) -> frozenset[Output]:
        """Embeddings."""
        return frozenset({Output.EMBEDDING})

    @property
    def size(self) -> str:
        """The encoder."""
        return f"pretrained {self.name}"

    def _check_weights(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        try_out(self.source, self.layers)

    checks: ClassVar[tuple[Check, ...]] = (
        Check(("weights", "revision", "layers", "trust_remote_code"), _check_weights),
    )

    def build(self, classes: tuple[str, ...]) -> PretrainedEncoder:
        """The encoder, which is as it will ever be."""
        return PretrainedEncoder(self, classes)

    def start(
        self,
        bank: ClipBank,
        *,
        device: str = "cpu",
        acceleration: Acceleration = Acceleration(),  # noqa: B008  frozen
    ) -> "PretrainedFit":
        """A fit before its only step."""
        return PretrainedFit(self, bank, self.build(()).to(device))

    def estimate(
        self, bank: ClipBank, *, device: str, bf16: bool, compiled: bool | None, measured: int
    ) -> Estimate:
        """What embedding all clips takes once, from a few, and what a trial then takes.

        A bank that isn't opened keeps nothing: each trial embeds its clips.
        """
        encoder = self.build(()).to(device)
        if encoder.is_kept(bank):
            return super().estimate(bank, device=device, bf16=bf16, compiled=compiled, measured=measured)
        encoder.load()
        began = perf_counter()
        rows = encoder.embed(bank, evenly(np.arange(len(bank.table)), TIMED))
        embedding = (perf_counter() - began) * len(bank.table) / len(rows)
        began = perf_counter()
        encoder.pooled(torch.from_numpy(np.resize(rows, (len(bank.table), *rows.shape[1:]))).to(device))
        seconds = perf_counter() - began
        if bank.place is None:
            seconds += embedding
        once = {encoder.name: embedding} if bank.place else {}
        return Estimate(
            acceleration=Acceleration(bf16=bf16), step_seconds=seconds, trial_seconds=seconds, once=once
        )


class PretrainedFit(Fit):
    """Embeds the clips, in one step."""

    recipe: Pretrained
    encoder: PretrainedEncoder

    def step(self) -> dict[str, float]:
        """All of the bank's clips, where none did before; the mean length of a training clip's embedding."""
        embedding = self.encoder.encode(self.bank, self.clips).embedding
        self.done = 1
        return {"length": float(embedding.norm(dim=1).mean())}
