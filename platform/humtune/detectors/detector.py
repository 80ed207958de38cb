"""Detector: an encoder, and what its scores compare clips with. Of whatever family, it scores clips."""

import io
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from humtune.config import Output, Pool, References
from humtune.detectors.encoder import Encoder
from humtune.detectors.recipe import Recipe, recipe_of
from humtune.errors import HumtuneError
from humtune.scores.base import FittedJoint, JointScore, Score
from humtune.scores.clip import ClipScore
from humtune.scores.domains import ByDomain
from humtune.scores.encoded import Encoded
from humtune.sounds.bank import ClipBank


class Detector:
    """The encoder of one machine, the reference rows that scores start from, and how joint scores join."""

    def __init__(self, recipe: Recipe, encoder: Encoder, *, machine: str) -> None:
        self.recipe = recipe
        self.encoder = encoder
        self.machine = machine
        self.reference: Encoded | None = None
        self.joints: dict[str, FittedJoint] = {}

    def encode(self, bank: ClipBank, clips: NDArray[np.intp]) -> Encoded:
        """What the encoder gives of the bank's clips [n], clip after clip."""
        return self.encoder.encode(bank, clips)

    def learn(
        self, bank: ClipBank, train: NDArray[np.intp], *, held_out: NDArray[np.intp] | None = None
    ) -> None:
        """Take clips as the reference, and learn from held-out normal ones how joint scores join the others.

        Without `held_out` there are no joint scores.
        """
        self.reference = self.encode(bank, train)
        self.joints = {}
        if held_out is not None:
            self.join(bank, held_out)

    def join(self, bank: ClipBank, held_out: NDArray[np.intp]) -> None:
        """Learn from held-out normal clips how joint scores join the others, where the recipe has such."""
        self.joints = {}
        joint = [name for name in self.recipe.score_types if name not in self.recipe.base_types]
        if joint:
            scores = self.score(self.encode(bank, held_out))
            self.joints = {name: self._joint(name).fit(scores) for name in joint}

    def score(
        self, encoded: Encoded, *, mask_own: bool = False, pool: Pool | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Each score type's anomaly score of each clip, float64 [n]; higher is more anomalous.

        `mask_own` leaves a clip's own rows out of the reference: for scoring training clips. `pool` goes
        before the recipe's.
        """
        if self.recipe.scoring.aggregation == "embedding":
            encoded = encoded.averaged()
        scores = {
            name: score(encoded, mask_own=mask_own).cpu().numpy()
            for name, score in self.clip_scores(pool=pool).items()
        }
        return scores | {name: joint(scores) for name, joint in self.joints.items()}

    def clip_scores(
        self, names: Iterable[str] | None = None, *, pool: Pool | None = None, sections: bool = True
    ) -> dict[str, ClipScore]:
        """Base score types (None: all), fitted to the reference; without `sections` to all of it at once."""
        if self.reference is None:
            raise HumtuneError(f"the detector of {self.machine} has no reference embeddings to score against")
        scoring, reference = self.recipe.scoring, self.reference
        if not sections:
            reference = replace(reference, section=None)
        if scoring.aggregation == "embedding":
            reference = reference.averaged()
        found = {}
        for name in self.recipe.base_types if names is None else names:
            score = scoring.of(name)
            assert isinstance(score, Score)
            found[name] = ClipScore(
                self._by_domain(score),
                reference,
                pool=pool or score.pool,
                aggregation=scoring.aggregation,
            )
        return found

    def _by_domain(self, score: Score) -> Score:
        """The score as it is fitted: by domain where it compares embeddings and its settings ask for it."""
        if score.by_section or Output.EMBEDDING not in score.needs:
            return score
        settings = {name: getattr(score, name) for name in References.model_fields}
        return ByDomain(score=score, seed=self.recipe.seed, **settings)

    def _joint(self, name: str) -> JointScore:
        joint = self.recipe.scoring.of(name)
        assert isinstance(joint, JointScore)
        return joint

    def to_bytes(self) -> bytes:
        """The detector as a file, without its reference: tensors and strings, read without running code.

        Weights alone make a small file, and `encode` makes the reference again.
        """
        content = {
            "config": self.recipe.model_dump_json(),
            "machine": self.machine,
            "classes": list(self.encoder.classes),
            "weights": self.encoder.state_dict(),
            "joints": {name: joint.constants() for name, joint in self.joints.items()},
        }
        return _saved(content)

    @classmethod
    def from_bytes(cls, data: bytes, *, device: str = "cpu") -> "Detector":
        """The detector that `to_bytes` wrote, without a reference."""
        content = load_tensors(data, what="detector", device=device)
        recipe = recipe_of(json.loads(content["config"]))
        encoder = recipe.build(tuple(content["classes"])).to(device)
        encoder.load_state_dict(content["weights"])
        detector = cls(recipe, encoder, machine=content["machine"])
        joints = content.get("joints") or {"fusion": content.get("fusion")}  # before there were others
        detector.joints = {name: detector._joint(name).load(of) for name, of in joints.items() if of}
        return detector

    def reference_bytes(self) -> bytes:
        """The reference as a file."""
        return _saved({**self.reference.columns, "chunks": self.reference.chunks} if self.reference else None)

    def load_reference(self, data: bytes) -> None:
        """Take the reference that `reference_bytes` wrote."""
        self.reference = Encoded(**load_tensors(data, what="reference"))


def _saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def load_tensors(data: bytes, *, what: str, device: str = "cpu") -> dict[str, Any]:
    """What `torch.save` wrote, read without running any code; HumtuneError where it can't be read."""
    try:
        content: dict[str, Any] = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except Exception as error:  # each kind of damage raises its own
        raise HumtuneError(f"this {what} ({len(data)} bytes) is damaged, or not one of humtune's") from error
    return content
