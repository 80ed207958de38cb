"""ClassifierFit: trains a classifier on healthy sound, an epoch at a time."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from humtune.config import Acceleration, Settings
from humtune.detectors.classifier.compiled import compiled
from humtune.detectors.encoder import Encoder, random_chunks
from humtune.detectors.fit import STANDARD_CLIPS, Fit, evenly
from humtune.errors import HumtuneError, UsageError
from humtune.sounds.bank import ClipBank
from humtune.sounds.classes import NO_CLASS, class_labels
from humtune.sounds.table import Role

if TYPE_CHECKING:
    from humtune.detectors.classifier.encoder import ClassifierEncoder
    from humtune.detectors.classifier.recipe import Classifier

RISE, FALL = 25, 25e4  # of one cycle: its highest rate is so many times the first, and the last


class Training(Settings):
    """How a network is fitted (paper §4.1)."""

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(64, ge=2, description="chunks a step")
    chunks_per_clip: int = Field(5, ge=1, description="times an epoch visits a clip, each at a random start")
    sampling: Literal["clips", "classes"] = Field(
        "clips", description="an epoch visits each clip as often, or each class, its clips in turn"
    )
    optimiser: Literal["adam", "adamw"] = "adam"
    weight_decay: float = Field(0.0, ge=0, description="Adam's as a part of the loss, AdamW's beside it")
    learning_rate: float = Field(1e-3, gt=0)
    start: Literal["shared"] | None = Field(
        None, description="shared: front end, backbone and embedding of the best shared trial; null: anew"
    )
    schedule: Literal["steps", "one_cycle"] = Field(
        "steps", description="of the rate: down at each milestone, or after the warm-up along a cosine to 0"
    )
    warmup: float = Field(0.2, ge=0, lt=1, description="share of the epochs in which the rate rises")
    milestones: tuple[float, ...] = Field((0.5, 0.8), description="shares of the epochs at which it decays")
    decay: float = Field(0.2, gt=0, le=1)
    mixup: float = Field(0.8, ge=0, description="α of the Beta distribution; 0 turns mixup off")
    mixup_share: float = Field(1.0, gt=0, le=1, description="probability that a batch is mixed")
    mixup_schedule: Literal["constant", "cosine"] = Field(
        "constant", description="of that probability: as it is, or falling along a cosine to 0"
    )
    mask_time: float = Field(0.1, ge=0, lt=1, description="SpecAugment: widest mask, share of the frames")
    mask_frequency: float = Field(0.1, ge=0, lt=1, description="SpecAugment: widest mask, share of the bins")


class ClassifierFit(Fit):
    """One classifier in training.

    Of its two generators numpy's is for the order, the chunks and the augmentation, PyTorch's on the device
    for the embeddings' noise.

    A GPU whose memory a step exceeds gets it in micro-batches, as small as need be, for the rest of the run:
    their gradients add up to the batch's, but batch norm sees the mean and variance of a micro-batch.
    """

    kept: ClassVar[tuple[str, ...]] = ("done", "encoder", "optimiser", "rng", "noise", "micro_batch")

    recipe: "Classifier"
    encoder: "ClassifierEncoder"

    def __init__(
        self, recipe: "Classifier", bank: ClipBank, *, device: str, acceleration: Acceleration
    ) -> None:
        names, labels = class_labels(bank.table, recipe.labels, least=recipe.head.least_classes)
        self.device = torch.device(device)
        super().__init__(recipe, bank, recipe.build(names).to(self.device))
        self.others = bank.table.having(Role.NEGATIVE) if recipe.exposed else self.clips[:0]
        if recipe.exposed and not len(self.others):
            raise UsageError(
                f"{bank.table.machine}: {recipe.giver} learns from other machines' clips, there are none"
            )
        self.acceleration = acceleration
        self.labels = torch.from_numpy(labels)
        training = recipe.training
        optimiser = torch.optim.AdamW if training.optimiser == "adamw" else torch.optim.Adam
        self.optimiser = optimiser(
            self._groups(),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        self.rng = np.random.default_rng(recipe.seed)
        self.noise = torch.Generator(self.device).manual_seed(recipe.seed)
        self.micro_batch: int | None = None  # chunks at a time, where the memory doesn't hold a batch's
        self._whole_batches: Callable[..., Tensor] = self.encoder.backbone
        if acceleration.compiled:
            self._whole_batches = compiled(self.encoder.backbone)
        self.encoder.fit_frontend(bank, evenly(self.clips, STANDARD_CLIPS))

    def start_from(self, encoder: Encoder) -> None:
        """Take front end, backbone and embedding; what tells the classes stays as the seed made it."""
        self.encoder.take_over(encoder)

    def step(self) -> dict[str, float]:
        """Visit every training clip `chunks_per_clip` times; the epoch's loss, accuracy and learning rate.

        Accuracy is that of the louder of two mixed chunks, in training mode; other machines' have no class.
        """
        training = self.recipe.training
        self.encoder.train()
        total = torch.zeros(2, device=self.device)  # loss and correct chunks; read once, at the end
        seen = torch.zeros(2)
        batches = self._batches()
        for number, batch in enumerate(batches):
            if len(batch) < 2:  # batch norm has no variance of one chunk
                continue
            self._set_rate(learning_rate(training, self.done + number / len(batches)))
            total += self.batch(batch)
            seen += torch.tensor([len(batch), (self.labels[batch] != NO_CLASS).sum()])
        self.done += 1
        loss, accuracy = (total.cpu() / seen).tolist()
        if not math.isfinite(loss):
            raise HumtuneError(f"the loss became {loss} in epoch {self.done}")
        rate = learning_rate(training, self.done - 1)
        return {"loss": loss, "accuracy": accuracy, "learning_rate": rate}

    def _groups(self) -> list[dict[str, Any]]:
        """The encoder's weights for the optimiser, those that learn more slowly apart."""
        slow, share = self.recipe.backbone.slower(self.encoder.backbone)
        apart = set(map(id, slow))
        rest: dict[str, Any] = {"params": [w for w in self.encoder.parameters() if id(w) not in apart]}
        return [rest, {"params": slow, "share": share}] if slow else [rest]

    def _set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("share", 1)

    def _batches(self) -> list[NDArray[np.intp]]:
        """The clips of an epoch's batches: the machine's and, by their share, those of others among them.

        Of the others' each is taken once before one is taken again.
        """
        training = self.recipe.training
        size, share = training.batch_size, self.recipe.head.share_of_others
        beside = min(max(1, round(size * share)), size - 1) if share else 0
        visits = self.rng.permutation(self._visits())
        own = [visits[first : first + size - beside] for first in range(0, len(visits), size - beside)]
        if not beside:
            return own
        counts = [max(1, len(batch) * beside // (size - beside)) for batch in own]
        passes = [self.rng.permutation(self.others) for _ in range(-(-sum(counts) // len(self.others)))]
        others = np.split(np.concatenate(passes), np.cumsum(counts))[:-1]
        return [self.rng.permutation(np.concatenate(both)) for both in zip(own, others, strict=True)]

    def _visits(self) -> NDArray[np.intp]:
        """The clips that an epoch visits, as often as it does.

        Of each class equally many: one over where they can't be, and each clip once before one comes again.
        """
        count = len(self.clips) * self.recipe.training.chunks_per_clip
        if self.recipe.training.sampling == "clips":
            return np.repeat(self.clips, self.recipe.training.chunks_per_clip)
        own = self.labels.numpy()[self.clips]
        classes = self.rng.permutation(np.unique(own))
        wanted = count // len(classes) + (np.arange(len(classes)) < count % len(classes))
        visits = []
        for name, often in zip(classes, wanted, strict=True):
            clips = self.clips[own == name]
            passes = [self.rng.permutation(clips) for _ in range(-(-often // len(clips)))]
            visits.append(np.concatenate(passes)[:often])
        return np.concatenate(visits)

    def batch(self, clips: NDArray[np.intp]) -> Tensor:
        """One optimiser step; the sum of the loss and the count of correct chunks [2]."""
        chunks = random_chunks(self.bank, clips, self.recipe.spectrogram, self.rng)
        samples, target = self._sent(chunks), self._sent(self._targets(clips))
        inputs, target = self._mix(self.encoder.frontend(samples), target)
        inputs = tuple(self._mask(x).contiguous(memory_format=torch.channels_last) for x in inputs)
        found = self._gradients(inputs, target)
        while found is None:
            self._shrink(len(target))
            found = self._gradients(inputs, target)
        self.optimiser.step()
        return found

    def _gradients(self, inputs: tuple[Tensor, ...], target: Tensor) -> Tensor | None:
        """Set the gradients of a batch's mean loss; what `batch` returns, or None where memory ran out."""
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros(2, device=self.device)
        count = len(target)
        parts = self._parts(count)
        try:
            for *some, their in zip(*(x.tensor_split(parts) for x in (*inputs, target)), strict=True):
                loss, logits = self.encoder.head.loss(self._features(some, count), their, self.noise)
                (loss * (len(their) / count)).backward()
                correct = (logits.argmax(dim=1) == their.argmax(dim=1)) & (their.sum(dim=1) > 1 / 2)
                total += torch.stack([loss.detach() * len(their), correct.sum()])
        except torch.OutOfMemoryError:
            return None  # what the error holds on to is free once it has been left
        return total

    def _features(self, inputs: Sequence[Tensor], batch: int) -> Tensor:
        """What the network makes of a batch or a part of it; compiled code knows no shorter, last batch."""
        network = self._whole_batches if batch == self.recipe.training.batch_size else self.encoder.backbone
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.acceleration.bf16):
            return network(*inputs).float()

    def _parts(self, batch: int) -> int:
        """Micro-batches of a batch; of two chunks at least, as batch norm has no variance of one."""
        return 1 if self.micro_batch is None else min(math.ceil(batch / self.micro_batch), batch // 2)

    def _shrink(self, batch: int) -> None:
        """Halve the micro-batches; a HumtuneError where they are of two or three chunks already."""
        largest = math.ceil(batch / self._parts(batch))
        if largest < 4:
            raise HumtuneError(
                f"the device's memory does not hold a training step of {largest} chunks; "
                "give a trial more of it (--gpus), or choose a smaller spectrogram or width"
            )
        self.micro_batch = math.ceil(largest / 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _sent(self, values: Tensor) -> Tensor:
        """Values on the device; on their way to a GPU while the processor goes on."""
        if self.device.type == "cuda":
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)

    def _targets(self, clips: NDArray[np.intp]) -> Tensor:
        """Class weights [B, C]: one of a clip's own class, none where it is another machine's."""
        return (
            self.labels[torch.from_numpy(clips)][:, None] == torch.arange(len(self.encoder.classes))
        ).float()

    def _mix(self, inputs: tuple[Tensor, ...], target: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Mixup: inputs and class weights, and by them the class means, with the same λ (eq. 12)."""
        training = self.recipe.training
        alpha = training.mixup
        if alpha == 0:
            return inputs, target
        if (likely := self._mixing()) is not None and self.rng.random() >= likely:
            return inputs, target
        part = float(self.rng.beta(alpha, alpha))
        other = self._sent(torch.from_numpy(self.rng.permutation(len(target))))
        mixed = tuple(torch.lerp(x[other], x, part) for x in inputs)
        return mixed, torch.lerp(target[other], target, part)

    def _mixing(self) -> float | None:
        """How likely a batch is mixed; None where every one is, and no dice are thrown."""
        training = self.recipe.training
        if training.mixup_schedule == "cosine":
            return training.mixup_share * falling(self.done / training.epochs)
        return training.mixup_share if training.mixup_share < 1 else None

    def _mask(self, spectrogram: Tensor) -> Tensor:
        """SpecAugment: one band of rows and one of frames set to the mean, of random place and width."""
        count, _, bins, frames = spectrogram.shape
        rows = self._bands(count, bins, self.recipe.training.mask_frequency)[:, None, :, None]
        columns = self._bands(count, frames, self.recipe.training.mask_time)[:, None, None, :]
        return spectrogram.masked_fill_(rows | columns, 0.0)

    def _bands(self, count: int, size: int, widest: float) -> Tensor:
        """Where each of so many bands lies, bool [count, size], none wider than a share of the size."""
        width = self.rng.integers(0, int(widest * size), (count, 1), endpoint=True)
        start = self.rng.integers(0, size - width, endpoint=True)
        at = np.arange(size)
        return self._sent(torch.from_numpy((start <= at) & (at < start + width)))


def learning_rate(training: Training, epoch: float) -> float:
    """The rate after so many epochs: a warm-up, then steps down at the milestones (paper §4.1) or one cosine.

    In steps it changes from epoch to epoch and rises in a straight line. In one cycle (Smith and Topin,
    arXiv:1708.07120) it changes from batch to batch, rises from a 25th and falls to almost nothing, both
    along a cosine.
    """
    peak, warmup = training.learning_rate, training.warmup
    if training.schedule == "one_cycle":
        part = epoch / training.epochs
        if part < warmup:
            return peak * (1 - (1 - 1 / RISE) * falling(part / warmup))
        return peak * (1 / FALL + (1 - 1 / FALL) * falling((part - warmup) / (1 - warmup)))
    epoch = math.floor(epoch)
    rise = min(1.0, (epoch + 1) / max(1.0, warmup * training.epochs))
    falls = sum(epoch >= share * training.epochs for share in training.milestones)
    return float(peak * rise * training.decay**falls)


def falling(part: float) -> float:
    """Half a cosine, from 1 at 0 to 0 at 1."""
    return (1 + math.cos(math.pi * part)) / 2
