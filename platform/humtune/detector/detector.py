"""Detector: the trained whole. It hears clips and says how anomalous each one is."""

import io
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from humtune.config import FUSION, SAMPLE_RATE, TEST_CHUNKS, Pool, TrialConfig
from humtune.detector.backbone import MobileFaceNet
from humtune.detector.frontend import Frontend, cut, equispaced_starts
from humtune.detector.head import Embeddings, make_head
from humtune.detector.scores import ClipScore
from humtune.errors import HumtuneError
from humtune.evaluation.fusion import Fusion
from humtune.sounds.bank import ClipBank
from humtune.sounds.classes import NO_CLASS, class_names

EMBED_BATCH = 64  # chunks; larger ones gain nothing on a processor and little on a GPU


class Detector(nn.Module):
    """Front end, backbone and head of one machine, and the reference embeddings that scores start from."""

    def __init__(self, config: TrialConfig, *, machine: str, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.config = config
        self.machine = machine
        self.classes = classes
        spectrogram, embedding = config.spectrogram, config.backbone.embedding
        with torch.random.fork_rng(devices=[]):  # PyTorch's initialisers know no other generator
            torch.default_generator.manual_seed(config.seed)
            self.frontend = Frontend(spectrogram, SAMPLE_RATE)
            self.backbone: nn.Module = MobileFaceNet(
                config.backbone, spectrogram.bins, spectrogram.chunk_frames
            )
            generator = torch.Generator().manual_seed(config.seed)
            self.head = make_head(config.head, embedding, len(classes), generator)
        self.backbone.to(memory_format=torch.channels_last)
        self.reference: Embeddings | None = None
        self.fusion: Fusion | None = None

    @property
    def device(self) -> torch.device:
        """Where the detector computes."""
        return self.frontend.window.device

    def features(self, samples: Tensor) -> Tensor:
        """Backbone features [B, k] of chunks [B, chunk_samples]."""
        picture = self.frontend(samples).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.backbone(picture)
        return features.float()

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embedding means and log-variances [B, k] of chunks [B, chunk_samples]."""
        return self.head.embed(self.features(samples))

    @torch.no_grad()
    def embed(self, bank: ClipBank, clips: NDArray[np.intp]) -> Embeddings:
        """Embeddings of five equispaced chunks of each clip, clip after clip, with its section and class."""
        self.eval()
        table = bank.table.take(clips)
        index = {name: i for i, name in enumerate(self.classes)}
        label = [index.get(name, NO_CLASS) for name in class_names(table, self.config.labels).tolist()]
        parts = [
            self(samples.to(self.device)) for samples in scoring_chunks(bank, clips, self.config, EMBED_BATCH)
        ]
        variances = [v for _, v in parts if v is not None]
        return Embeddings(
            mean=torch.cat([m for m, _ in parts]),
            log_variance=torch.cat(variances) if variances else None,
            clip=self._of_chunks(clips),
            section=self._of_chunks(table.section),
            label=self._of_chunks(label),
        )

    def _of_chunks(self, clips: ArrayLike) -> Tensor:
        """A whole number of each clip as one of each of its chunks."""
        values = torch.from_numpy(np.array(clips, dtype=np.int64, order="C"))
        return values.repeat_interleave(TEST_CHUNKS).to(self.device)

    @torch.no_grad()
    def score(
        self, embeddings: Embeddings, *, mask_own: bool = False, pool: Pool | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Each score type's anomaly score of each clip, float64 [n]; higher is more anomalous.

        `mask_own` leaves a clip's own chunks out of the reference: for scoring training clips. `pool` goes
        before the configuration's.
        """
        if self.reference is None:
            raise HumtuneError(f"the detector of {self.machine} has no reference embeddings to score against")
        clip = embeddings.clip if mask_own else None
        scoring = self.config.scoring.model_copy(update={"pool": pool} if pool else {})
        scores: dict[str, NDArray[np.float64]] = {}
        for name in self.config.base_types:
            score = ClipScore(name, self.reference, scoring, self.head.classify)
            scores[name] = score(embeddings.mean, clip=clip, section=embeddings.section).cpu().numpy()
        return scores | ({FUSION: self.fusion(scores)} if self.fusion else {})

    def fuse(self, held_out: Embeddings) -> None:
        """Learn from normal clips that trained nothing how to join the score types into their fusion."""
        self.fusion = None
        self.fusion = Fusion.of(self.score(held_out))

    def to_bytes(self) -> bytes:
        """The detector as a file: plain tensors and strings, loaded without running any code."""
        content = {
            "config": self.config.model_dump_json(),
            "machine": self.machine,
            "classes": list(self.classes),
            "weights": self.state_dict(),
            "reference": asdict(self.reference) if self.reference else None,
            "fusion": asdict(self.fusion) if self.fusion else None,
        }
        stream = io.BytesIO()
        torch.save(content, stream)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, *, device: str = "cpu") -> "Detector":
        """The detector that `to_bytes` wrote."""
        content = load_tensors(data, what="detector", device=device)
        config = TrialConfig.model_validate_json(content["config"])
        detector = cls(config, machine=content["machine"], classes=tuple(content["classes"]))
        detector.to(device).load_state_dict(content["weights"])
        if content["reference"]:
            detector.reference = Embeddings(**content["reference"])
        if content.get("fusion"):
            detector.fusion = Fusion(**content["fusion"])
        return detector

    def without_reference(self) -> "Detector":
        """Set the reference aside: the weights alone make a small file, and `embed` makes it again."""
        self.reference = None
        return self


def scoring_chunks(
    bank: ClipBank, clips: NDArray[np.intp], config: TrialConfig, batch: int
) -> Iterator[Tensor]:
    """Samples [B, chunk_samples] of the clips' five equispaced chunks, in order.

    Raises HumtuneError where there is no clip, or one of the bank's is shorter than a chunk.
    """
    spectrogram, machine = config.spectrogram, bank.table.machine
    if len(clips) == 0:
        raise HumtuneError(f"{machine}: there are no clips to cut chunks from")
    shortest = spectrogram.frames(int(bank.lengths.min()))
    if shortest < spectrogram.chunk_frames:
        raise HumtuneError(
            f"{machine}: its shortest clip has {shortest} frames, fewer than a chunk: "
            f"choose chunk_frames ≤ {shortest}, not {spectrogram.chunk_frames}"
        )
    chunks: list[NDArray[np.int16]] = []
    for index in clips:
        clip = bank.clip(int(index))
        frames = spectrogram.frames(len(clip))
        starts = equispaced_starts(frames, spectrogram.chunk_frames, TEST_CHUNKS)
        chunks += [cut(clip, start, spectrogram) for start in starts]
        while len(chunks) >= batch:
            yield torch.from_numpy(np.stack(chunks[:batch]))
            del chunks[:batch]
    if chunks:
        yield torch.from_numpy(np.stack(chunks))


def load_tensors(data: bytes, *, what: str, device: str = "cpu") -> dict[str, Any]:
    """What `torch.save` wrote, read without running any code; HumtuneError where it can't be read."""
    try:
        content: dict[str, Any] = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except Exception as error:  # each kind of damage raises its own
        raise HumtuneError(f"this {what} ({len(data)} bytes) is damaged, or not one of humtune's") from error
    return content
