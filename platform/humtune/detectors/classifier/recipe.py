"""The classifier: a network that tells a machine's classes apart, scored by its embeddings."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from humtune import plugins
from humtune.config import Acceleration, Output
from humtune.detectors.classifier.backbones import MobileFaceNet
from humtune.detectors.classifier.encoder import ClassifierEncoder
from humtune.detectors.classifier.fit import ClassifierFit, Training
from humtune.detectors.classifier.heads import VariationalHead
from humtune.detectors.classifier.timing import estimate
from humtune.detectors.frontends import Spectrogram, check_chunks
from humtune.detectors.recipe import Check, Estimate, Recipe, open_union
from humtune.errors import UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.classes import Labels, class_attributes, class_labels
from humtune.sounds.table import ClipTable


class Classifier(Recipe):
    """The paper's variational classifier and its relatives: spectrogram, backbone, head (Table 1, §3)."""

    sizes: ClassVar[tuple[str, ...]] = (
        "spectrogram",
        "backbone",
        "training.batch_size",
        "training.chunks_per_clip",
    )

    given_by: ClassVar[tuple[str, ...]] = ("head.kind",)
    taken_over: ClassVar[tuple[str, ...]] = ("spectrogram", "backbone")

    family: str = "classifier"
    spectrogram: open_union(plugins.FRONTEND, "spectrogram") = Spectrogram()  # type: ignore[valid-type]
    backbone: open_union(plugins.BACKBONE, "mobilefacenet") = MobileFaceNet()  # type: ignore[valid-type]
    head: open_union(plugins.HEAD, "variational") = Field(  # type: ignore[valid-type]
        VariationalHead(), description="what the embeddings are trained towards"
    )
    training: Training = Training()
    labels: Labels = "auto"
    scores: tuple[str, ...] = Field(("cosine", "nll"), min_length=1)

    @property
    def gives(self) -> frozenset[Output]:
        """What the head gives."""
        gives: frozenset[Output] = self.head.gives
        return gives

    @property
    def giver(self) -> str:
        """The head."""
        return f"{'an' if self.head.kind[0] in 'aeiou' else 'a'} {self.head.kind} head"

    @property
    def exposed(self) -> bool:
        """Where the head wants other machines' clips."""
        return bool(self.head.share_of_others)

    @property
    def budget(self) -> int:
        """Epochs."""
        return self.training.epochs

    @property
    def size(self) -> str:
        """Front end, backbone and batch."""
        return f"{self.spectrogram.size}, {self.backbone.size}, batch {self.training.batch_size}"

    @property
    def length(self) -> int:
        """Numbers in an embedding, before the head."""
        length: int = self.backbone.length(self.spectrogram.build().shapes)
        return length

    @property
    def starts_shared(self) -> bool:
        """As its training says."""
        return self.training.start == "shared"

    def anew(self) -> Self:
        """With a network that the seed makes."""
        return self.model_copy(update={"training": self.training.model_copy(update={"start": None})})

    def _check_chunks(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        """Chunks must be no longer than the shortest clip."""
        check_chunks(self.spectrogram, table, lengths)

    def _check_backbone(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        """The backbone must do with what the front end gives."""
        self.backbone.check(self.spectrogram)

    def _check_classes(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        """Two classes or more, named by attributes or not, and no more than the head can tell apart."""
        names, _ = class_labels(table, self.labels, least=self.head.least_classes)
        if self.head.by_attributes and not class_attributes(names)[0]:
            raise UsageError(
                f"head.kind = {self.head.kind} learns attributes, but labels: {self.labels} gives classes of "
                f"{table.machine} without any ({names[0]}); set labels to attributes or both"
            )
        most = self.head.most_classes(self.length)
        if most is not None and len(names) > most:
            raise UsageError(
                f"{table.machine}: labels: {self.labels} gives {len(names)} classes, more than "
                f"backbone.embedding = {self.backbone.embedding}; set it to {len(names)} or more"
            )

    def _check_embedding(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        """An embedding must be as long as the head needs it."""
        if self.length < (least := self.head.least_embedding):
            raise UsageError(
                f"backbone.embedding = {self.backbone.embedding} makes embeddings of {self.length} numbers, "
                f"the {self.head.kind} head as it is set needs {least}; set it to {least} or more"
            )

    checks: ClassVar[tuple[Check, ...]] = (
        Check(("spectrogram",), _check_chunks, of_others=True),
        Check(("spectrogram", "backbone"), _check_backbone),
        Check(("spectrogram", "backbone", "head.dimensions"), _check_embedding),
        Check(("backbone", "labels", "head.kind"), _check_classes),
    )

    def remarks(self) -> tuple[str, ...]:
        """Those of front end and backbone."""
        return (*self.spectrogram.remarks(), *self.backbone.remarks())

    def pinned(self) -> dict[str, Any]:
        """The backbone's."""
        return {f"backbone.{name}": value for name, value in self.backbone.pinned().items()}

    def build(self, classes: tuple[str, ...]) -> ClassifierEncoder:
        """Front end, backbone and head with the weights that the seed gives."""
        return ClassifierEncoder(self, classes)

    def start(
        self,
        bank: ClipBank,
        *,
        device: str = "cpu",
        acceleration: Acceleration = Acceleration(),  # noqa: B008  frozen
    ) -> ClassifierFit:
        """A training run before its first epoch."""
        return ClassifierFit(self, bank, device=device, acceleration=acceleration)

    def estimate(
        self, bank: ClipBank, *, device: str, bf16: bool, compiled: bool | None, measured: int
    ) -> Estimate:
        """From a few timed batches."""
        return estimate(self, bank, device=device, bf16=bf16, compiled=compiled, measured=measured)
