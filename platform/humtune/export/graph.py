"""Detectors as a function of a whole recording, in parts: pictures, backbones, and the judge of features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from humtune.config import FUSION, TEST_CHUNKS, Spectrogram
from humtune.detector.detector import Detector
from humtune.detector.head import Embeddings
from humtune.detector.scores import ClipScore
from humtune.errors import HumtuneError
from humtune.evaluation.fusion import Fusion
from humtune.export.calibrated import Calibration, calibrated


@dataclass(frozen=True, eq=False)
class Member:
    """A detector with one score type, and its share in the graph's score."""

    detector: Detector
    score_type: str
    weight: float = 1.0
    calibration: Calibration | None = None  # None: the score as it is


class Pictures(nn.Module):
    """The first part of a graph: a clip [n] in [-1, 1] to each detector's chunks of it, [5, 1, bins, frames].

    The clip's spectrogram is made once and its chunks are cut out of it: the same frames that `Detector`
    gets, which transforms each chunk's samples by themselves. Detectors with equal pictures share the
    spectrogram; each has its own standardisation.
    """

    def __init__(self, detectors: Sequence[Detector]) -> None:
        super().__init__()
        self.frontends = [detector.frontend for detector in detectors]
        self.parts = nn.ModuleList(self.frontends)  # so that they hear of eval()
        self.lengths = [detector.config.spectrogram.chunk_frames for detector in detectors]
        spectrograms = [_drawn(detector.config.spectrogram) for detector in detectors]
        self.drawn_by = [spectrograms.index(spectrogram) for spectrogram in spectrograms]

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """One tensor of chunks a detector; at least `least_samples` samples."""
        drawn = {i: self.frontends[i].centred(waveform[None])[0] for i in dict.fromkeys(self.drawn_by)}
        return tuple(
            _chunks(frontend.standardise(drawn[i]), length)
            for frontend, i, length in zip(self.frontends, self.drawn_by, self.lengths, strict=True)
        )


class Judge(nn.Module):
    """The last part: what each detector's backbone makes of a clip's chunks, features [5, k], to its score.

    The score is the weighted sum of the members'; those of one detector share its pass through the backbone.
    Nobody tells the graph a clip's section: it scores as a detector does a clip whose section is unknown.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        self.shares = nn.ModuleList(Share(member) for member in members)
        self.detectors: list[Detector] = list(dict.fromkeys(member.detector for member in members))
        self.detector_of = [self.detectors.index(member.detector) for member in members]

    def forward(self, *features: Tensor) -> Tensor:
        """The anomaly score, float64 []."""
        embeddings = [
            detector.head.embed(own)[0] for detector, own in zip(self.detectors, features, strict=True)
        ]
        scores = [share(embeddings[i]) for share, i in zip(self.shares, self.detector_of, strict=True)]
        return torch.cat(scores).sum()


class Share(nn.Module):
    """A member's part of the score [1], as a function of its network's embeddings [5, k]."""

    def __init__(self, member: Member) -> None:
        super().__init__()
        self.weight = member.weight
        self.score = _score(member.detector, member.score_type)
        self.calibration = calibrated(member.calibration)

    def forward(self, embedding: Tensor) -> Tensor:
        """Weight × calibrated score, float64."""
        share: Tensor = self.weight * self.calibration(self.score(embedding))
        return share


class Fused(nn.Module):
    """A detector's fusion as a function of embeddings [5, k]: of the same arithmetic as `Fusion`."""

    centre: Tensor
    spread: Tensor

    def __init__(self, fusion: Fusion, scores: Mapping[str, ClipScore]) -> None:
        super().__init__()
        self.scores = nn.ModuleList(scores[name] for name in fusion.centre)
        for name, constants in (("centre", fusion.centre), ("spread", fusion.spread)):
            values = [constants[of] for of in fusion.centre]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64)[:, None])

    def forward(self, embedding: Tensor) -> Tensor:
        """The fusion score, float64 [1]."""
        scores = torch.stack([score(embedding) for score in self.scores])
        return ((scores - self.centre) / self.spread).amin(dim=0)


def least_samples(members: Sequence[Member]) -> int:
    """Samples of the shortest clip whose centred spectrograms hold a whole chunk of every member."""
    spectrograms = [member.detector.config.spectrogram for member in members]
    return max((spectrogram.chunk_frames - 1) * spectrogram.hop for spectrogram in spectrograms)


def _chunks(picture: Tensor, length: int) -> Tensor:
    """Five equispaced chunks [5, 1, bins, length] of a picture [bins, frames]."""
    room = picture.shape[1] - length
    starts = torch.arange(TEST_CHUNKS) * room // (TEST_CHUNKS - 1)
    return picture[:, starts[:, None] + torch.arange(length)].transpose(0, 1).unsqueeze(1)


def _drawn(spectrogram: Spectrogram) -> Spectrogram:
    """What decides a clip's picture: all settings but how much of it a chunk takes."""
    return spectrogram.model_copy(update={"chunk_frames": 0})


def _score(detector: Detector, score_type: str) -> nn.Module:
    """What maps the embeddings of a clip to its score."""
    if detector.reference is None:
        raise HumtuneError(f"the detector of {detector.machine} has no reference embeddings to export")
    reference: Embeddings = replace(detector.reference, section=None)
    scoring, classify = detector.config.scoring, detector.head.classify
    if score_type != FUSION:
        return ClipScore(score_type, reference, scoring, classify)
    if detector.fusion is None:
        raise HumtuneError(f"the detector of {detector.machine} does not know how to join its score types")
    parts = {name: ClipScore(name, reference, scoring, classify) for name in detector.fusion.centre}
    return Fused(detector.fusion, parts)
