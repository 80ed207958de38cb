"""What a trial's detector is measured by: scores of every clip and probe, Ω, pseudo-Ω, and its classes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from humtune.detectors.detector import Detector
from humtune.metrics.cells import Array, Cells, labelled
from humtune.metrics.omega import Metrics, PseudoCells, evaluate, pool
from humtune.records import Objective
from humtune.scores.encoded import Encoded, over_chunks
from humtune.sounds.bank import ClipBank
from humtune.sounds.classes import NO_CLASS
from humtune.sounds.probes import ProbeKind, scored_table
from humtune.sounds.table import SCORED, Role


@dataclass(frozen=True, eq=False)
class Measurement:
    """What one look at a detector gave; Ω and pseudo-Ω per score type, empty where it isn't known."""

    scores: dict[str, Array]  # score type -> [N], in the order of the scored clips and probes
    by_objective: dict[Objective, dict[str, Metrics]]  # what it can be judged by -> score type -> metrics
    accuracy: dict[str, float]  # accuracy_held_out, accuracy_test: share of clips whose class is recognised

    @classmethod
    def over(cls, machines: Iterable["Measurement"]) -> Self:
        """Several machines' in one: of the score types that all have, the harmonic mean of all values.

        The accuracy is the mean of the machines'.
        """
        first, *others = machines

        def shared(one: Iterable[str], rest: Iterable[Iterable[str]]) -> list[str]:
            return [name for name in one if all(name in other for other in rest)]

        return cls(
            {},
            {
                kind: {
                    name: pool([m.by_objective[kind][name] for m in (first, *others)])
                    for name in shared(found, [m.by_objective[kind] for m in others])
                }
                for kind, found in first.by_objective.items()
            },
            {
                name: float(np.mean([m.accuracy[name] for m in (first, *others)]))
                for name in shared(first.accuracy, [m.accuracy for m in others])
            },
        )

    @property
    def omega(self) -> dict[str, float]:
        """Score type -> Ω."""
        return self._judged("omega")

    @property
    def pseudo(self) -> dict[str, float]:
        """Score type -> pseudo-Ω."""
        return self._judged("pseudo")

    def _judged(self, by: Objective) -> dict[str, float]:
        return {name: float(found.omega_official) for name, found in self.by_objective[by].items()}

    @property
    def metrics(self) -> dict[str, float]:
        """What an epoch's record keeps of it."""
        best = {"omega": self.omega, "pseudo": self.pseudo}
        return {name: max(by_score.values()) for name, by_score in best.items() if by_score} | self.accuracy


class Evaluator:
    """A machine's scored clips and probes, by which its trials' detectors are compared."""

    def __init__(self, bank: ClipBank, probes: ClipBank | None, *, roles: Sequence[Role] = SCORED) -> None:
        self.bank = bank
        self.probes = probes
        self.scored = bank.table.having(*roles)
        self.table = scored_table(bank, probes, roles=roles)
        self.cells = Cells.of(self.table, Role.SELECT) if labelled(self.table) else None
        self.pseudo = PseudoCells(self.table) if probes else None

    @classmethod
    def quick(cls, bank: ClipBank, probes: ClipBank | None, *, judged_by: Objective) -> "Evaluator":
        """For half-way through a trial: only the clips and probes that it is judged by."""
        if judged_by == "omega":
            return cls(bank, None, roles=[Role.SELECT])
        return cls(bank, probes, roles=[Role.HELD_OUT])

    def measure(self, detector: Detector) -> Measurement:
        """Every figure of a detector that has its reference, from one forward pass of each clip."""
        encoded = detector.encode(self.bank, self.scored)
        scores = detector.score(encoded)
        if self.probes:
            made = self._probe_scores(detector, self.probes)
            scores = {name: np.concatenate([vector, made[name]]) for name, vector in scores.items()}
        cells, pseudo = self.cells, self.pseudo
        return Measurement(
            scores,
            {
                "omega": {name: evaluate(vector, cells) for name, vector in scores.items()} if cells else {},
                "pseudo": {name: pseudo.evaluate(v) for name, v in scores.items()} if pseudo else {},
            },
            self._accuracy(encoded),
        )

    def _probe_scores(self, detector: Detector, probes: ClipBank) -> dict[str, Array]:
        """Scores of the probes; one that claims a section is scored as of that section, whatever the pool."""
        encoded = detector.encode(probes, np.arange(len(probes.table)))
        scores = detector.score(encoded)
        claims = np.flatnonzero(probes.table.part == str(ProbeKind.SECTION))
        if claims.size:
            rows = (claims[:, None] * encoded.chunks + np.arange(encoded.chunks)).ravel()
            claimed = detector.score(encoded.take(torch.from_numpy(rows)), pool="section")
            for name, vector in scores.items():
                vector[claims] = claimed[name]
        return scores

    def _accuracy(self, encoded: Encoded) -> dict[str, float]:
        """Of a family with classes: the share of clips that are given their own."""
        if encoded.classify is None or encoded.label is None:
            return {}
        given = over_chunks(encoded.logits, encoded.chunks).argmax(dim=1).cpu().numpy()
        own = encoded.label[:: encoded.chunks].cpu().numpy()
        found = {}
        for name, role in (("accuracy_held_out", Role.HELD_OUT), ("accuracy_test", Role.SELECT)):
            clips = (self.table.role[: len(own)] == str(role)) & (own != NO_CLASS)
            if clips.any():
                found[name] = float((given == own)[clips].mean())
        return found
