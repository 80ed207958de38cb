"""Detectors as one function of a whole recording: waveform in, anomaly score out."""

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


class Deployed(nn.Module):
    """Members as a function of a whole clip: samples [n] in [-1, 1] to the weighted sum of their scores.

    Members of one detector share its pass through the network, detectors with equal pictures the spectrogram;
    each has its own standardisation. Nobody tells the graph a clip's section: it scores as a detector does a
    clip whose section is unknown.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        self.shares = nn.ModuleList(Share(member) for member in members)
        detectors: list[Detector] = list(dict.fromkeys(member.detector for member in members))
        self.networks = nn.ModuleList(Network(detector) for detector in detectors)
        self.network_of = [detectors.index(member.detector) for member in members]
        spectrograms = [_drawn(detector.config.spectrogram) for detector in detectors]
        kinds = list(dict.fromkeys(spectrograms))
        self.frontends = [detectors[spectrograms.index(kind)].frontend for kind in kinds]
        self.frontend_of = [kinds.index(spectrogram) for spectrogram in spectrograms]

    def forward(self, waveform: Tensor) -> Tensor:
        """The anomaly score, float64 []; at least `least_samples` samples."""
        pictures = [frontend.centred(waveform[None])[0] for frontend in self.frontends]
        embeddings = [
            network(pictures[kind]) for network, kind in zip(self.networks, self.frontend_of, strict=True)
        ]
        scores = [
            share(embeddings[number]) for share, number in zip(self.shares, self.network_of, strict=True)
        ]
        return torch.cat(scores).sum()


class Network(nn.Module):
    """A detector as a function of a clip's spectrogram [bins, frames]: embeddings [5, k] of its chunks.

    The clip's spectrogram is made once and its chunks are cut out of it: the same frames that `Detector`
    gets, which transforms each chunk's samples by themselves.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.length = detector.config.spectrogram.chunk_frames
        self.frontend, self.backbone, self.head = detector.frontend, detector.backbone, detector.head

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Embedding means, float32."""
        picture = self.frontend.standardise(spectrogram)
        room = picture.shape[1] - self.length
        starts = torch.arange(TEST_CHUNKS) * room // (TEST_CHUNKS - 1)
        chunks = picture[:, starts[:, None] + torch.arange(self.length)].transpose(0, 1).unsqueeze(1)
        embedding: Tensor = self.head.embed(self.backbone(chunks))[0]
        return embedding


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
