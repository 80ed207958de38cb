"""ClassifierEncoder: front end, backbone and head; clips to embeddings, their variances, and logits."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humtune.config import Output
from humtune.detectors.encoder import ChunkEncoder, Encoder, Graph
from humtune.scores.encoded import Encoded
from humtune.sounds.bank import ClipBank
from humtune.sounds.classes import class_index

if TYPE_CHECKING:
    from humtune.detectors.classifier.recipe import Classifier


class ClassifierEncoder(ChunkEncoder):
    """The networks, initialised by the recipe's seed."""

    recipe: "Classifier"

    def __init__(self, recipe: "Classifier", classes: tuple[str, ...]) -> None:
        super().__init__(recipe, classes, recipe.spectrogram)
        with torch.random.fork_rng(devices=[]):  # PyTorch's initialisers know no other generator
            torch.default_generator.manual_seed(recipe.seed)
            self.backbone: nn.Module = recipe.backbone.build(self.frontend.shapes)
            generator = torch.Generator().manual_seed(recipe.seed)
            self.head = recipe.head.build(recipe.length, classes, generator)
        self.backbone.to(memory_format=torch.channels_last)

    @property
    def network(self) -> nn.Module:
        """The backbone."""
        return self.backbone

    def features(self, samples: Tensor) -> Tensor:
        """Backbone features [B, k] of chunks [B, chunk_samples]."""
        inputs = (x.contiguous(memory_format=torch.channels_last) for x in self.frontend(samples))
        features: Tensor = self.backbone(*inputs)
        return features.float()

    def read(self, features: Tensor) -> dict[str, Any]:
        """Embedding means and, where the head has them, log-variances [B, k] and a score of its own [B]."""
        mean, log_variance = self.head.embed(features)
        found = {"mean": mean} | ({} if log_variance is None else {"log_variance": log_variance})
        return found | ({"score": self.head.score(features)} if Output.SCORE in self.recipe.gives else {})

    @torch.no_grad()
    def classify(self, embedding: Tensor) -> Tensor:
        """Class logits [n, C] of embeddings [n, k]."""
        logits: Tensor = self.head.classify(embedding)
        return logits

    def rows(self, bank: ClipBank, clips: NDArray[np.intp], chunks: int) -> dict[str, Any]:
        """With the index of each clip's class, -1 of one that was not trained, and what tells the classes."""
        labels = class_index(bank.table.take(clips), self.recipe.labels, self.classes)
        known = {"label": self.repeated(labels, chunks), "classify": self.classify}
        return super().rows(bank, clips, chunks) | known

    def encoded(self, features: Tensor) -> Encoded:
        """With what tells the classes."""
        return replace(super().encoded(features), classify=self.head.classify)

    def graph(self) -> Graph:
        """With the backbone as it is exported."""
        return replace(super().graph(), network=self.recipe.backbone.exported(self.backbone))

    def take_over(self, other: Encoder) -> None:
        """Take weights: of front end, backbone and, where the heads are of a kind, of what embeds."""
        own = self.recipe.head
        assert isinstance(other, ClassifierEncoder)
        embeds = own.embeds if other.recipe.head.kind == own.kind else ()
        for part in ("frontend", "backbone", *(f"head.{name}" for name in embeds)):
            self.get_submodule(part).load_state_dict(other.get_submodule(part).state_dict())

    def replace_network(self, network: nn.Module) -> None:
        """Another backbone."""
        self.backbone = network
