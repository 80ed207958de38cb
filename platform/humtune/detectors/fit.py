"""Fit: a detector in the making, of whatever family."""

import io
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from humtune.detectors.detector import Detector, load_tensors
from humtune.detectors.encoder import Encoder
from humtune.detectors.recipe import Recipe
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role

STANDARD_CLIPS = 256  # enough for the mean and deviation of a row; all of them would cost an epoch
PREVIEW_CLIPS = 256  # enough of a reference to rank trials by, half-way; all of them would cost half an epoch


class Fit(ABC):
    """Fits a recipe's detector to one machine's healthy sound, a step at a time.

    `state` and `restore` let it stop and go on as if it never had: `kept` names the attributes that the next
    step depends on, which are numbers, modules, optimisers and generators. All randomness comes from
    generators of its own, seeded by the recipe: what comes out depends on recipe and clips alone.
    """

    kept: ClassVar[tuple[str, ...]] = ("done", "encoder")

    def __init__(self, recipe: Recipe, bank: ClipBank, encoder: Encoder) -> None:
        self.recipe = recipe
        self.bank = bank
        self.encoder = encoder
        self.detector = Detector(recipe, encoder, machine=bank.table.machine)
        self.clips = bank.table.having(Role.TRAIN)
        self.done = 0  # steps

    @abstractmethod
    def step(self) -> dict[str, float]:
        """Make one of the recipe's `budget` of steps; its metrics by name. HumtuneError where it can't."""

    def state(self) -> bytes:
        """Everything that the next step depends on, as plain tensors and numbers."""
        stream = io.BytesIO()
        torch.save({name: _state_of(getattr(self, name)) for name in self.kept}, stream)
        return stream.getvalue()

    def restore(self, state: bytes) -> None:
        """Go on where `state` was taken."""
        content = load_tensors(state, what="checkpoint")
        for name in self.kept:
            _restore(self, name, content[name])

    def run(self) -> Detector:
        """Make the steps that are left; the detector, ready to score."""
        while self.done < self.recipe.budget:
            self.step()
        return self.finish()

    def finish(self) -> Detector:
        """Take the training clips as the reference, fit joint scores to held-out ones: it can score now."""
        self.detector.learn(self.bank, self.clips, held_out=self.bank.table.having(Role.HELD_OUT))
        return self.detector

    def preview(self) -> Detector:
        """The detector as it stands, on a small reference and without joint scores: a quick look half-way."""
        self.detector.learn(self.bank, self._some(PREVIEW_CLIPS))
        return self.detector

    def _some(self, count: int) -> NDArray[np.intp]:
        """So many training clips at most, always the same ones, evenly through the bank and its sections."""
        return np.unique(self.clips[np.linspace(0, len(self.clips) - 1, count).astype(np.intp)])


def _state_of(part: Any) -> Any:
    if isinstance(part, np.random.Generator):
        return part.bit_generator.state
    if isinstance(part, torch.Generator):
        return part.get_state()
    return part.state_dict() if hasattr(part, "state_dict") else part


def _restore(fit: Fit, name: str, state: Any) -> None:
    part = getattr(fit, name)
    if isinstance(part, np.random.Generator):
        part.bit_generator.state = state
    elif isinstance(part, torch.Generator):
        part.set_state(state)
    elif hasattr(part, "load_state_dict"):
        part.load_state_dict(state)
    else:
        setattr(fit, name, state)
