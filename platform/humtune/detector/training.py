"""TrainingRun: fits a detector to one machine's healthy sound, an epoch at a time."""

import io
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humtune.config import FUSION, Acceleration, Training, TrialConfig
from humtune.detector.compiled import compiled
from humtune.detector.detector import Detector, load_tensors, scoring_chunks
from humtune.detector.frontend import cut, random_starts
from humtune.errors import HumtuneError
from humtune.sounds.bank import ClipBank
from humtune.sounds.classes import class_labels
from humtune.sounds.table import Role

STANDARD_CLIPS = 256  # enough for the mean and deviation of a row; all of them would cost an epoch
SKETCH_CLIPS = 256  # enough of a reference to rank trials by, half-way; all of them would cost half an epoch


class TrainingRun:
    """One detector in the making. `state` and `restore` let it stop and go on as if it never had.

    All randomness comes from two generators of its own, seeded by the configuration: numpy's for the order,
    the chunks and the augmentation, PyTorch's on the device for the embeddings' noise.

    A GPU whose memory a step exceeds gets it in micro-batches, as small as need be, for the rest of the run:
    their gradients add up to the batch's, but batch norm sees the mean and variance of a micro-batch.
    """

    def __init__(
        self,
        config: TrialConfig,
        bank: ClipBank,
        *,
        device: str = "cpu",
        acceleration: Acceleration = Acceleration(),  # noqa: B008  frozen
    ) -> None:
        self.config = config
        self.bank = bank
        self.device = torch.device(device)
        self.acceleration = acceleration
        self.clips = bank.table.having(Role.TRAIN)
        names, labels = class_labels(bank.table, config.labels)
        self.labels = torch.from_numpy(labels)
        self.detector = Detector(config, machine=bank.table.machine, classes=names).to(self.device)
        self.optimiser = torch.optim.Adam(
            self.detector.parameters(), lr=config.training.learning_rate, fused=True
        )
        self.rng = np.random.default_rng(config.seed)
        self.noise = torch.Generator(self.device).manual_seed(config.seed)
        self.epochs_done = 0
        self.micro_batch: int | None = None  # chunks at a time, where the memory doesn't hold a batch's
        self._whole_batches: Callable[[Tensor], Tensor] = self.detector.backbone
        if acceleration.compiled:
            self._whole_batches = compiled(self.detector.backbone)
        self._standardise()

    def _standardise(self) -> None:
        batches = scoring_chunks(self.bank, self._some(STANDARD_CLIPS), self.config, 64)
        self.detector.frontend.fit(samples.to(self.device) for samples in batches)

    def _some(self, count: int) -> NDArray[np.intp]:
        """So many training clips at most, always the same ones, evenly through the bank and its sections."""
        return np.unique(self.clips[np.linspace(0, len(self.clips) - 1, count).astype(np.intp)])

    def epoch(self) -> dict[str, float]:
        """Visit every training clip `chunks_per_clip` times; the epoch's loss, accuracy and learning rate.

        Accuracy is that of the louder of two mixed chunks, in training mode.
        """
        training = self.config.training
        rate = learning_rate(training, self.epochs_done)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.detector.train()
        visits = self.rng.permutation(np.repeat(self.clips, training.chunks_per_clip))
        total = torch.zeros(2, device=self.device)  # loss and correct chunks; read once, at the end
        seen = 0
        for first in range(0, len(visits), training.batch_size):
            batch = visits[first : first + training.batch_size]
            if len(batch) < 2:  # batch norm has no variance of one chunk
                continue
            total += self.step(batch)
            seen += len(batch)
        self.epochs_done += 1
        loss, accuracy = (total / seen).tolist()
        if not math.isfinite(loss):
            raise HumtuneError(f"the loss became {loss} in epoch {self.epochs_done}")
        return {"loss": loss, "accuracy": accuracy, "learning_rate": rate}

    def step(self, clips: NDArray[np.intp]) -> Tensor:
        """One optimiser step; the sum of the loss and the count of correct chunks [2]."""
        samples, target = self._sent(self._samples(clips)), self._sent(self._targets(clips))
        picture, target = self._mix(self.detector.frontend(samples), target)
        picture = self._mask(picture).contiguous(memory_format=torch.channels_last)
        told = self._gradients(picture, target)
        while told is None:
            self._shrink(len(picture))
            told = self._gradients(picture, target)
        self.optimiser.step()
        return told

    def _gradients(self, picture: Tensor, target: Tensor) -> Tensor | None:
        """Set the gradients of a batch's mean loss; what `step` tells, or None where memory ran out."""
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros(2, device=self.device)
        parts = self._parts(len(picture))
        try:
            for some, their in zip(picture.tensor_split(parts), target.tensor_split(parts), strict=True):
                loss, logits = self.detector.head.loss(self._features(some, len(picture)), their, self.noise)
                (loss * (len(some) / len(picture))).backward()  # type: ignore[no-untyped-call]
                correct = (logits.argmax(dim=1) == their.argmax(dim=1)).sum()
                total += torch.stack([loss.detach() * len(some), correct])
        except torch.OutOfMemoryError:
            return None  # what the error holds on to is free once it has been left
        return total

    def _features(self, picture: Tensor, batch: int) -> Tensor:
        """What the network says of a batch or a part of it; compiled code knows no shorter, last batch."""
        network = self._whole_batches if batch == self.config.training.batch_size else self.detector.backbone
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.acceleration.bf16):
            return network(picture).float()

    def _parts(self, batch: int) -> int:
        """Micro-batches of a batch; of two chunks at least, as batch norm has no variance of one."""
        return 1 if self.micro_batch is None else min(math.ceil(batch / self.micro_batch), batch // 2)

    def _shrink(self, batch: int) -> None:
        """Halve the micro-batches; a HumtuneError where they are of two or three chunks already."""
        largest = math.ceil(batch / self._parts(batch))
        if largest < 4:
            raise HumtuneError(
                f"the device's memory does not hold a training step of {largest} chunks; "
                "give a trial more of it (--gpus), or choose a smaller picture or width"
            )
        self.micro_batch = math.ceil(largest / 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _sent(self, values: Tensor) -> Tensor:
        """Values on the device; on their way to a GPU while the processor goes on."""
        if self.device.type == "cuda":
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)

    def _samples(self, clips: NDArray[np.intp]) -> Tensor:
        spectrogram = self.config.spectrogram
        cuts = [self.bank.clip(int(i)) for i in clips]
        frames = np.array([spectrogram.frames(len(clip)) for clip in cuts], dtype=np.int64)
        starts = random_starts(frames, spectrogram.chunk_frames, self.rng)
        chunks = [cut(clip, int(start), spectrogram) for clip, start in zip(cuts, starts, strict=True)]
        return torch.from_numpy(np.stack(chunks))

    def _targets(self, clips: NDArray[np.intp]) -> Tensor:
        labels = self.labels[torch.from_numpy(clips)]
        return torch.nn.functional.one_hot(labels, len(self.detector.classes)).float()

    def _mix(self, picture: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mixup: pictures and class weights, and by them the class means, with the same λ (eq. 12)."""
        alpha = self.config.training.mixup
        if alpha == 0:
            return picture, target
        part = float(self.rng.beta(alpha, alpha))
        other = self._sent(torch.from_numpy(self.rng.permutation(len(picture))))
        return torch.lerp(picture[other], picture, part), torch.lerp(target[other], target, part)

    def _mask(self, picture: Tensor) -> Tensor:
        """SpecAugment: one band of rows and one of frames set to the mean, of random place and width."""
        count, _, bins, frames = picture.shape
        rows = self._bands(count, bins, self.config.training.mask_frequency)[:, None, :, None]
        columns = self._bands(count, frames, self.config.training.mask_time)[:, None, None, :]
        return picture.masked_fill_(rows | columns, 0.0)

    def _bands(self, count: int, size: int, widest: float) -> Tensor:
        """Where each of so many bands lies, bool [count, size], none wider than a share of the size."""
        width = self.rng.integers(0, int(widest * size), (count, 1), endpoint=True)
        start = self.rng.integers(0, size - width, endpoint=True)
        at = np.arange(size)
        return self._sent(torch.from_numpy((start <= at) & (at < start + width)))

    def fit(self) -> Detector:
        """Run the epochs that are left and take the reference embeddings."""
        while self.epochs_done < self.config.training.epochs:
            self.epoch()
        return self.finish()

    def finish(self) -> Detector:
        """Take the training clips' embeddings as the reference; the detector can score now.

        Where the configuration asks for fusion, the held-out clips say how.
        """
        detector = self.detector
        detector.reference = detector.embed(self.bank, self.clips)
        if FUSION in self.config.score_types:
            detector.fuse(detector.embed(self.bank, self.bank.table.having(Role.HELD_OUT)))
        return detector

    def sketch(self) -> Detector:
        """The detector as it stands, on a small reference and without fusion: a quick look at a rung."""
        self.detector.reference = self.detector.embed(self.bank, self._some(SKETCH_CLIPS))
        self.detector.fusion = None
        return self.detector

    def state(self) -> bytes:
        """Everything that the next epoch depends on, as plain tensors and numbers."""
        content = {
            "epochs_done": self.epochs_done,
            "detector": self.detector.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": self.rng.bit_generator.state,
            "noise": self.noise.get_state(),
            "micro_batch": self.micro_batch,
        }
        stream = io.BytesIO()
        torch.save(content, stream)
        return stream.getvalue()

    def restore(self, state: bytes) -> None:
        """Go on where `state` was taken."""
        content = load_tensors(state, what="checkpoint")
        self.epochs_done = content["epochs_done"]
        self.detector.load_state_dict(content["detector"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.rng.bit_generator.state = content["rng"]
        self.noise.set_state(content["noise"])
        self.micro_batch = content["micro_batch"]


def learning_rate(training: Training, epoch: int) -> float:
    """The rate in epoch 0, 1, …: a straight warm-up, then a step down at each milestone (paper §4.1)."""
    rise = min(1.0, (epoch + 1) / max(1.0, training.warmup * training.epochs))
    falls = sum(epoch >= share * training.epochs for share in training.milestones)
    return float(training.learning_rate * rise * training.decay**falls)
