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
from humtune.errors import HumtuneError
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role

STANDARD_CLIPS = 256  # enough for the mean and deviation of a row; all of them would cost an epoch
PREVIEW_CLIPS = 256  # enough of a reference to rank trials by, half-way; all of them would cost half an epoch


class Fit(ABC):
    """Fits a recipe's encoder to the healthy sound of one machine, or of several joined, a step at a time.

    `state` and `restore` let it stop and go on as if it never had: `kept` names the attributes that the next
    step depends on, which are numbers, modules, optimisers and generators. All randomness comes from
    generators of its own, seeded by the recipe: what comes out depends on recipe and clips alone.
    """

    kept: ClassVar[tuple[str, ...]] = ("done", "encoder")

    def __init__(self, recipe: Recipe, bank: ClipBank, encoder: Encoder) -> None:
        self.recipe = recipe
        self.bank = bank
        self.encoder = encoder
        self.clips = bank.table.having(Role.TRAIN)
        self.done = 0  # steps

    @abstractmethod
    def step(self) -> dict[str, float]:
        """Make one of the recipe's `budget` of steps; its metrics by name. HumtuneError where it can't."""

    def start_from(self, encoder: Encoder) -> None:
        """Start from the weights of another recipe's encoder with the same network; before the first step."""
        raise HumtuneError(f"{self.recipe.giver} can't start from another trial's encoder")

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

    def finish(self, bank: ClipBank | None = None) -> Detector:
        """The detector, with all training clips as its reference, and joint scores fitted to held-out ones.

        Of a fit to several machines joined it is that of the machine whose `bank` it is.
        """
        bank = bank or self.bank
        detector = self._detector(bank)
        detector.learn(bank, bank.table.having(Role.TRAIN), held_out=bank.table.having(Role.HELD_OUT))
        return detector

    def preview(self, bank: ClipBank | None = None) -> Detector:
        """The detector as it stands, on a small reference and without joint scores: a quick look half-way."""
        bank = bank or self.bank
        detector = self._detector(bank)
        detector.learn(bank, evenly(bank.table.having(Role.TRAIN), PREVIEW_CLIPS))
        return detector

    def _detector(self, bank: ClipBank) -> Detector:
        return Detector(self.recipe, self.encoder, machine=bank.table.machine)


def evenly(clips: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """So many of the clips at most, always the same ones, evenly through a bank and its sections."""
    return np.unique(clips[np.linspace(0, len(clips) - 1, count).astype(np.intp)])


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
