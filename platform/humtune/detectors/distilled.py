"""Distilled: a small network that gives a clip the score which an ensemble would give it. Needs no classes.

It learns by regression (Hinton et al. 2015, arXiv:1503.02531, with scores in the place of classes): of a
random chunk of a clip it is to give what its teacher says of the whole clip. Teachers' scores are brought to
the spread of the training clips, and compressed by asinh: straight for a healthy clip, logarithmic for one
that is plainly disturbed, so that a few of these don't outweigh the rest. A clip's score is the mean over its
chunks.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from humtune import plugins
from humtune.config import Acceleration, Output
from humtune.detectors.chunk_fit import ChunkFit
from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.fit import falling
from humtune.detectors.encoder import ENCODE_BATCH, ChunkEncoder, scoring_chunks
from humtune.detectors.fit import STANDARD_CLIPS, evenly
from humtune.detectors.frontends import Spectrogram, check_chunks
from humtune.detectors.recipe import Check, Recipe, open_union
from humtune.errors import HumtuneError, UsageError
from humtune.scores.encoded import over_chunks
from humtune.sounds.bank import ClipBank
from humtune.sounds.lessons import TaughtBank
from humtune.sounds.table import ClipTable, Role


class Distilled(Recipe):
    """A front end, a backbone and one linear layer, with an output for each teacher.

    The first teacher is the ensemble, and its output the score. Others are ensembles that halves of the
    labels chose: by their outputs the student's worth is read on clips that did not choose its teacher.
    """

    sizes: ClassVar[tuple[str, ...]] = ("spectrogram", "backbone", "batch_size", "chunks_per_clip")

    family: str = "distilled"
    spectrogram: open_union(plugins.FRONTEND, "spectrogram") = Spectrogram(  # type: ignore[valid-type]
        n_fft=1024, chunk_frames=64, n_mels=64
    )
    backbone: open_union(plugins.BACKBONE, "mobilefacenet") = MobileFaceNet(  # type: ignore[valid-type]
        width=0.25
    )
    teachers: int = Field(1, ge=1, description="the ensemble, and those that halves of the labels chose")
    epochs: int = Field(40, ge=2)
    batch_size: int = Field(32, ge=2, description="chunks a step")
    chunks_per_clip: int = Field(1, ge=1, description="times an epoch visits a clip, each at a random start")
    learning_rate: float = Field(2e-3, gt=0, description="at first; falls to none along a cosine")
    scores: tuple[str, ...] = Field(("own",), min_length=1)

    @property
    def gives(self) -> frozenset[Output]:
        """A score of its own."""
        return frozenset({Output.SCORE})

    @property
    def taught(self) -> int:
        """As set."""
        return self.teachers

    @property
    def budget(self) -> int:
        """Epochs."""
        return self.epochs

    @property
    def size(self) -> str:
        """Front end, backbone and batch."""
        return f"{self.family} {self.spectrogram.size}, {self.backbone.size}, batch {self.batch_size}"

    def _check_chunks(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        check_chunks(self.spectrogram, table, lengths)

    def _check_backbone(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        self.backbone.check(self.spectrogram)

    def _check_lessons(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        if not table.having(Role.LESSON).size:
            raise UsageError(
                f"{table.machine}: the family {self.family} learns of a finished search's ensemble; "
                "`humtune distill NAME` makes such trials"
            )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(("spectrogram",), _check_chunks),
        Check(("spectrogram", "backbone"), _check_backbone),
        Check((), _check_lessons),
    )

    def build(self, classes: tuple[str, ...]) -> "StudentEncoder":
        """The networks with the weights that the seed gives."""
        return StudentEncoder(self, classes)

    def start(
        self,
        bank: ClipBank,
        *,
        device: str = "cpu",
        acceleration: Acceleration = Acceleration(),  # noqa: B008  frozen
    ) -> "DistilledFit":
        """A fit before its first epoch; HumtuneError where the bank has no lessons, or of other teachers."""
        if not isinstance(bank, TaughtBank) or len(bank.targets) != self.teachers:
            there = len(bank.targets) if isinstance(bank, TaughtBank) else 0
            raise HumtuneError(
                f"{bank.table.machine}: its recordings come with what {there} teachers say, "
                f"teachers = {self.teachers}; `humtune distill NAME` makes both"
            )
        return DistilledFit(self, bank, device=device, acceleration=acceleration)


class DistilledFit(ChunkFit):
    """Learns the teachers' scores of training clips and lessons."""

    recipe: Distilled
    encoder: "StudentEncoder"

    def __init__(
        self, recipe: Distilled, bank: TaughtBank, *, device: str, acceleration: Acceleration
    ) -> None:
        super().__init__(recipe, bank, device=device, acceleration=acceleration)
        self.visited = bank.table.having(Role.TRAIN, Role.LESSON)
        self.targets = torch.from_numpy(compressed(bank.targets, self.clips)).float().to(self.device)
        self.encoder.fit_frontend(bank, evenly(self.clips, STANDARD_CLIPS))

    def step(self) -> dict[str, float]:
        """Visit every lesson, at a rate that falls along a cosine; the epoch's mean loss, and the rate."""
        rate = self.recipe.learning_rate * falling(self.done / self.recipe.epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return super().step() | {"learning_rate": rate}

    def batches(self, visits: NDArray[np.intp]) -> Iterable[NDArray[np.intp]]:
        """All nearly as large: batch norm learns nothing of a single clip that is left."""
        return np.array_split(visits, max(1, len(visits) // self.recipe.batch_size))

    def loss(self, samples: Tensor, clips: NDArray[np.intp]) -> Tensor:
        """How far the outputs are from what the teachers say of the clips."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            given = self.encoder.features(samples)
        return F.smooth_l1_loss(given, self.targets[torch.from_numpy(clips).to(self.device)])


def compressed(targets: NDArray[np.float64], train: NDArray[np.intp]) -> NDArray[np.float64]:
    """Teachers' scores [T, N] as they are learnt, [N, T]: in training clips' [n] deviations, by asinh."""
    own = targets[:, train]
    spread = own.std(axis=1, keepdims=True)
    return np.asarray(
        np.arcsinh((targets - own.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)).T
    )


class StudentEncoder(ChunkEncoder):
    """Chunks to what each teacher would say of them; the first is the score."""

    recipe: Distilled

    def __init__(self, recipe: Distilled, classes: tuple[str, ...]) -> None:
        super().__init__(recipe, classes, recipe.spectrogram)
        with torch.random.fork_rng(devices=[]):  # PyTorch's initialisers know no other generator
            torch.default_generator.manual_seed(recipe.seed)
            backbone = recipe.backbone.build(self.frontend.shapes)
            length = recipe.backbone.length(self.frontend.shapes)
            self.layers: nn.Module = Student(backbone, nn.Linear(length, recipe.teachers))

    @property
    def network(self) -> nn.Module:
        """An output a teacher, [B, T]."""
        return self.layers

    def read(self, features: Tensor) -> dict[str, Any]:
        """The score."""
        return {"score": features[:, 0]}

    @torch.no_grad()
    def outputs(self, bank: ClipBank, clips: NDArray[np.intp]) -> NDArray[np.float64]:
        """What each teacher would say of some of the bank's clips, [T, n]."""
        self.eval()
        batches = scoring_chunks(bank, clips, self.settings, ENCODE_BATCH)
        given = torch.cat([self.features(samples.to(self.device)) for samples in batches])
        return over_chunks(given.double(), len(given) // len(clips)).T.cpu().numpy()

    def replace_network(self, network: nn.Module) -> None:
        """Other layers."""
        self.layers = network


class Student(nn.Module):
    """A backbone and what reads its embedding."""

    def __init__(self, backbone: nn.Module, read: nn.Linear) -> None:
        super().__init__()
        self.backbone, self.read = backbone, read

    def forward(self, *inputs: Tensor) -> Tensor:
        """The front end's tensors [B, …] to an output a teacher, [B, T]."""
        given: Tensor = self.read(self.backbone(*inputs))
        return given
