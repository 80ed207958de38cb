"""Detectors as a function of a whole recording, in parts: front ends, networks, and the judge of features.

The calibrations of an ensemble's members are parts too: float64 scores to float64 scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humtune.detectors.detector import Detector
from humtune.detectors.encoder import Graph
from humtune.errors import HumtuneError
from humtune.metrics.calibration import Calibration, Compressed, GammaTail, Standard
from humtune.scores.encoded import Encoded

TAIL = 1024  # straight pieces that stand for the tail of a gamma distribution


@dataclass(frozen=True, eq=False)
class Member:
    """A detector with one score type, and its share in the graph's score."""

    detector: Detector
    score_type: str
    weight: float = 1.0
    calibration: Calibration | None = None  # None: the score as it is


class FrontEnds(nn.Module):
    """The first part of a graph: a clip [n] in [-1, 1] to the chunks of it that each detector's network gets.

    What all chunks of a clip are cut from, its spectrogram as a rule, is made once for detectors that share
    it; each standardises by itself. A chunk's frames are those that the detector makes of its samples alone.
    """

    def __init__(self, graphs: Sequence[Graph]) -> None:
        super().__init__()
        self.frontends = [graph.frontend for graph in graphs]
        self.parts = nn.ModuleList(self.frontends)  # so that eval() reaches them
        keys = [frontend.key for frontend in self.frontends]
        self.made_by = [keys.index(key) for key in keys]

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """The tensors of chunks of each detector in turn; at least `least_samples` samples."""
        whole = {i: self.frontends[i].whole(waveform[None]) for i in dict.fromkeys(self.made_by)}
        return tuple(
            chunks
            for frontend, i in zip(self.frontends, self.made_by, strict=True)
            for chunks in frontend.chunks(whole[i])
        )


class Judge(nn.Module):
    """The last part: what each detector's network makes of a clip's chunks, features [c, k], to its score.

    The score is the weighted sum of the members'; those of one detector share its pass through the network,
    and so do detectors whose graphs have the same front end and network. `graphs` are one of each such.
    Nobody tells the graph a clip's section: it scores as a detector does a clip whose section is unknown.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        self.detectors: list[Detector] = list(dict.fromkeys(member.detector for member in members))
        every = [detector.encoder.graph() for detector in self.detectors]
        parts = [i if graph.parts is None else (graph.parts,) for i, graph in enumerate(every)]
        self.graphs = list(dict(zip(parts, every, strict=True)).values())
        self.graph_of = [[*dict.fromkeys(parts)].index(part) for part in parts]
        self.reads = [graph.read for graph in every]
        self.shares = nn.ModuleList(Share(member) for member in members)
        self.detector_of = [self.detectors.index(member.detector) for member in members]

    def forward(self, *features: Tensor) -> Tensor:
        """The anomaly score, float64 []."""
        rows = []
        for detector, read, i in zip(self.detectors, self.reads, self.graph_of, strict=True):
            encoded = read(features[i])
            averages = detector.recipe.scoring.aggregation == "embedding"
            rows.append(encoded.averaged() if averages else encoded)
        scores = [share(rows[i]) for share, i in zip(self.shares, self.detector_of, strict=True)]
        return torch.cat(scores).sum()


class Share(nn.Module):
    """A member's part of the score [1], as a function of what its encoder gives of a clip."""

    def __init__(self, member: Member) -> None:
        super().__init__()
        self.weight = member.weight
        self.score = _score(member.detector, member.score_type)
        self.calibration = calibrated(member.calibration)

    def forward(self, encoded: Encoded) -> Tensor:
        """Weight × calibrated score, float64."""
        share: Tensor = self.weight * self.calibration(self.score(encoded))
        return share


def least_samples(members: Sequence[Member]) -> int:
    """Samples of the shortest clip that every member takes."""
    return max(member.detector.encoder.graph().least_samples for member in members)


def most_samples(members: Sequence[Member]) -> int | None:
    """Samples of the longest clip of which no member leaves anything out; None where there is no longest."""
    most = [member.detector.encoder.graph().most_samples for member in members]
    return min((samples for samples in most if samples is not None), default=None)


def _score(detector: Detector, score_type: str) -> nn.Module:
    """What maps a clip's rows to its score."""
    if score_type in detector.recipe.base_types:
        return detector.clip_scores([score_type], sections=False)[score_type]
    if score_type not in detector.joints:
        raise HumtuneError(f"the detector of {detector.machine} does not know how to join its score types")
    return detector.joints[score_type].graph(detector.clip_scores(sections=False))


class Straight(nn.Module):
    """Scores [n] in standard deviations above a mean."""

    def __init__(self, scale: Standard) -> None:
        super().__init__()
        self.mean, self.spread = scale.mean, scale.spread

    def forward(self, scores: Tensor) -> Tensor:
        """Calibrated scores."""
        return (scores - self.mean) / self.spread


class Bent(Straight):
    """The same, compressed: asinh, which onnxruntime has for float32 alone, by its logarithm."""

    def __init__(self, scale: Compressed) -> None:
        super().__init__(Standard(scale.mean, scale.spread * scale.bend))

    def forward(self, scores: Tensor) -> Tensor:
        """Calibrated scores."""
        z: Tensor = super().forward(scores)
        return z.sign() * torch.log(z.abs() + (z * z + 1).sqrt())


class Pieces(nn.Module):
    """Scores [n] through straight pieces between knots [K], the outer pieces going on for ever."""

    knots: Tensor
    values: Tensor
    slopes: Tensor

    def __init__(self, knots: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("knots", torch.from_numpy(knots))
        self.register_buffer("values", torch.from_numpy(values))
        self.register_buffer("slopes", torch.from_numpy(np.diff(values) / np.diff(knots)))

    def forward(self, scores: Tensor) -> Tensor:
        """Calibrated scores."""
        piece = (scores[:, None] >= self.knots[1:-1]).sum(dim=1)
        return self.values[piece] + self.slopes[piece] * (scores - self.knots[piece])


def calibrated(calibration: Calibration | None) -> nn.Module:
    """A calibration as a module; the identity for None."""
    if calibration is None:
        return nn.Identity()
    if isinstance(calibration, Standard):
        return Straight(calibration)
    if isinstance(calibration, Compressed):
        return Bent(calibration)
    knots = _knots(calibration)
    return Pieces(knots, calibration(knots))


def _knots(calibration: GammaTail) -> NDArray[np.float64]:
    """Where the pieces of a gamma-tailed calibration meet.

    Its body and both its ends are straight between knots already; the tail between is smooth.
    """
    spread, body = calibration.scale.spread, np.array(calibration.knots)
    tail = body[-1] + (calibration.end - body[-1]) * np.linspace(0, 1, TAIL + 1) ** 2
    return np.concatenate([body[:1] - spread, body, tail[1:], tail[-1:] + spread])
