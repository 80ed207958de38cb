"""What one trial is: every choice that shapes a detector, frozen, with the paper's values as defaults."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from humtune.errors import UsageError

SAMPLE_RATE = 16_000  # Hz: every clip is brought to it; the rate of all DCASE Task 2 data
TEST_CHUNKS = 5  # equispaced chunks a clip is scored by (paper §3.1)

Labels = Literal["section", "attributes", "both"]
Pool = Literal["machine", "section"]
ScoreName = Literal[
    "cosine", "nll", "knn", "knn_normalised", "mahalanobis", "mahalanobis_class", "neg_logit", "fusion"
]
NEED_VARIANCES: frozenset[ScoreName] = frozenset({"nll"})
_NUMBERS = (int, float, int | None)  # annotations of settings that pydantic would let true be 1 of
FUSION: ScoreName = "fusion"  # made of the other score types, where there are two or more


class Frozen(BaseModel):
    """A value: can't be changed after it is made, and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Settings(Frozen):
    """What a user sets: its numbers are finite, and true is none."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in _NUMBERS:
            raise ValueError("should be a number")
        return value


class Spectrogram(Settings):
    """The picture a network sees of a chunk of sound (paper Table 2; the defaults are its ToyCar row)."""

    n_fft: int = Field(256, ge=16, le=16_384, description="samples in one Fourier transform")
    chunk_frames: int = Field(512, ge=16, description="frames in one chunk: the paper's L")
    n_mels: int | None = Field(256, ge=8, description="mel filters; null keeps the linear bins")
    db: bool = Field(True, description="10 log10 of the power; false keeps the power itself")

    @model_validator(mode="after")
    def _even_window(self) -> "Spectrogram":
        if self.n_fft % 2:
            raise ValueError(f"n_fft must be even, got {self.n_fft}")
        return self

    @property
    def hop(self) -> int:
        """Samples between two frames: half a window, so that a mel row of Table 2 spans 4.096 s."""
        return self.n_fft // 2

    @property
    def bins(self) -> int:
        """Rows of the picture: the paper's F."""
        return self.n_mels or self.n_fft // 2 + 1

    @property
    def chunk_samples(self) -> int:
        """Samples that the frames of one chunk touch."""
        return (self.chunk_frames - 1) * self.hop + self.n_fft

    def frames(self, samples: int) -> int:
        """Frames of a clip's centred spectrogram: the paper's T."""
        return 1 + samples // self.hop


class Backbone(Settings):
    """The network between picture and embedding (paper Table 1)."""

    width: float = Field(1.0, gt=0, le=4, description="scales the channels; 1 is the paper's network")
    activation: Literal["relu", "prelu", "leaky_relu"] = "relu"
    embedding: int = Field(128, ge=2, description="length of an embedding: the paper's k")


class VariationalHead(Settings):
    """Embeddings drawn towards N(μ_class, σ² I), class means orthogonal and of length mu (paper §3.3)."""

    has_variances: ClassVar[bool] = True

    kind: Literal["variational"] = "variational"
    mu: float = Field(5.0, gt=0, description="length of a class mean: μ")
    sigma2: float = Field(0.02, gt=0, description="variance of a class: σ²")
    beta_class: float = Field(1.0, ge=0, description="weight of the cross-entropy: β_class")


class CrossEntropyHead(Settings):
    """The backbone's features as embeddings, told apart by a linear map (the paper's vanilla baseline)."""

    has_variances: ClassVar[bool] = False

    kind: Literal["cross_entropy"] = "cross_entropy"


class ArcFaceHead(Settings):
    """Features told apart by their angle to each class, with a margin (Deng et al., arXiv:1801.07698)."""

    has_variances: ClassVar[bool] = False

    kind: Literal["arcface"] = "arcface"
    margin: float = Field(0.5, ge=0, lt=math.pi / 2, description="added to the angle to the own class, rad")
    scale: float = Field(30.0, gt=0, description="what cosines are multiplied by to make logits")


def _head_kind(head: Any) -> str:
    """A head that doesn't say its kind is variational: so it was before there were others."""
    kind = head.get("kind", "variational") if isinstance(head, dict) else getattr(head, "kind", "variational")
    return str(kind)


HeadConfig = Annotated[
    Annotated[VariationalHead, Tag("variational")]
    | Annotated[CrossEntropyHead, Tag("cross_entropy")]
    | Annotated[ArcFaceHead, Tag("arcface")],
    Discriminator(
        _head_kind,
        custom_error_type="head_kind",
        custom_error_message="kind should be 'variational', 'cross_entropy' or 'arcface'",
    ),
]


class Scoring(Settings):
    """How the embeddings of a clip's chunks become its score, whatever the score type."""

    pool: Pool = Field(
        "machine", description="references that count: the machine's, or those of the clip's own section"
    )
    aggregation: Literal["mean", "max", "embedding"] = Field(
        "mean", description="of the chunks' scores; embedding averages each clip's embeddings before scoring"
    )
    neighbours: int = Field(5, ge=1, description="references that a k-nearest-neighbour score looks at: k")


class Training(Settings):
    """How a network is fitted (paper §4.1)."""

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(64, ge=2, description="chunks a step")
    chunks_per_clip: int = Field(5, ge=1, description="times an epoch visits a clip, each at a random start")
    learning_rate: float = Field(1e-3, gt=0)
    warmup: float = Field(0.2, ge=0, lt=1, description="share of the epochs in which the rate rises")
    milestones: tuple[float, ...] = Field((0.5, 0.8), description="shares of the epochs at which it decays")
    decay: float = Field(0.2, gt=0, le=1)
    mixup: float = Field(0.8, ge=0, description="α of the Beta distribution; 0 turns mixup off")
    mask_time: float = Field(0.1, ge=0, lt=1, description="SpecAugment: widest mask, share of the frames")
    mask_frequency: float = Field(0.1, ge=0, lt=1, description="SpecAugment: widest mask, share of the bins")


class Acceleration(Frozen):
    """How a trial is computed, which changes its figures in the last digits only: no part of what it is."""

    compiled: bool = Field(False, description="by torch.compile, instead of one operation at a time")
    bf16: bool = Field(False, description="the network by bfloat16 autocast, instead of float32")

    def __str__(self) -> str:
        return f"{'bf16' if self.bf16 else 'fp32'}{', compiled' if self.compiled else ''}"


class TrialConfig(Settings):
    """One detector to be: what it hears, what it learns, and from which seed."""

    spectrogram: Spectrogram = Spectrogram()
    backbone: Backbone = Backbone()
    head: HeadConfig = Field(VariationalHead(), description="what the embeddings are trained towards")
    training: Training = Training()
    labels: Labels = "section"
    scores: tuple[ScoreName, ...] = Field(("cosine", "nll"), min_length=1)
    scoring: Scoring = Scoring()
    seed: int = 0

    @model_validator(mode="after")
    def _has_a_score(self) -> "TrialConfig":
        asked = ", ".join(self.scores)
        if FUSION in self.scores and len(set(self.scores)) < 3:
            raise ValueError(f"fusion needs two other score types to join, got scores: {asked}; add another")
        if not self.score_types:
            raise ValueError(f"a {self.head.kind} head can't give scores: {asked}; add one, such as cosine")
        return self

    @property
    def size(self) -> str:
        """What the time of a training step depends on, in words; trials of one size are computed alike."""
        spectrogram, backbone = self.spectrogram, self.backbone
        picture = f"{spectrogram.bins}×{spectrogram.chunk_frames}"
        return f"{picture}, width {backbone.width:g}, {backbone.activation}, batch {self.training.batch_size}"

    @property
    def score_types(self) -> tuple[ScoreName, ...]:
        """The score types that the trial gets: of those asked for, the ones that its head can give.

        Fusion is one of them where it has two others to join.
        """
        joins = FUSION in self.scores and len(set(self.base_types)) > 1
        return tuple(s for s in self.scores if s in self.base_types or (s == FUSION and joins))

    @property
    def base_types(self) -> tuple[ScoreName, ...]:
        """The trial's score types without fusion: those that embeddings have by themselves."""
        given = (s for s in self.scores if self.head.has_variances or s not in NEED_VARIANCES)
        return tuple(s for s in given if s != FUSION)


def set_path(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set `tree["a"]["b"]` by the dotted path "a.b", making the branches that are missing.

    A mapping is merged into the branch that is there: what it doesn't name stays. A UsageError where the
    path leads through a single value.
    """
    *branches, leaf = path.split(".")
    for branch in branches:
        below = tree.setdefault(branch, {})
        if not isinstance(below, dict):
            raise UsageError(
                f"{path} = {value!r}: {branch} is {below!r} already, which has no settings below it"
            )
        tree = below
    if isinstance(value, dict) and isinstance(tree.setdefault(leaf, {}), dict):
        for name, below in value.items():
            set_path(tree[leaf], str(name), below)
    else:
        tree[leaf] = value


def spelled(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """A tree's leaves as `leaves` names them, beside how they are spelled: dotted keys may be nested ones."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            for path, spelling in spelled(value, f"{above}{name}."):
                yield path, f"{name}: {{{spelling}}}"
        else:
            yield f"{above}{name}", str(name)


def check_spelled_once(tree: dict[str, Any]) -> None:
    """Raise a UsageError where a setting stands twice, once dotted and once nested."""
    seen: dict[str, str] = {}
    for path, spelling in spelled(tree):
        if path in seen:
            raise UsageError(f"{path} stands twice, as `{seen[path]}` and `{spelling}`; keep one")
        seen[path] = spelling


def leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """A tree's values by their dotted paths, in order: what `set_path` would make it of."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
