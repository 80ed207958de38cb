"""What all settings are made of: frozen values, what computes them, and their dotted names."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from humtune.errors import UsageError

SAMPLE_RATE = 16_000  # Hz: every clip is brought to it; the rate of all DCASE Task 2 data
SHARED = "shared"  # what stands in a machine's place where all machines of a search are meant together
TEST_CHUNKS = 5  # equispaced chunks a clip is scored by (paper §3.1)

Pool = Literal["machine", "section"]
Aggregation = Literal["mean", "median", "max", "embedding"]
Domains = Literal["pooled", "source", "apart", "standardised"]
_NUMBERS = (int, float, int | None)  # annotations of settings that pydantic would let true be 1 of


class Frozen(BaseModel):
    """A value: can't be changed after it is made, and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Stored(Frozen):
    """A value that is kept as JSON, in a form that has a number: the first, where it says none."""

    format: int = Field(1, ge=1, le=1)


class Settings(Frozen):
    """What a user sets: its numbers are finite, and true is none."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in _NUMBERS:
            raise ValueError("should be a number")
        return value


class References(Settings):
    """Which references of a machine a score compares with, and what is made of them before."""

    pool: Pool = Field(
        "machine", description="references that count: the machine's, or those of the clip's own section"
    )
    domains: Domains = Field(
        "pooled",
        description="references: all; the source's; apart: the less of source's and target's; standardised",
    )
    smote: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the source's references, before clusters, that the target's are filled up to",
    )
    smote_neighbours: int = Field(3, ge=1, description="nearest references that made ones may lie between")
    source_clusters: int | None = Field(
        None, ge=1, description="k-means centres in the place of the source's references; null keeps all"
    )


class Output(StrEnum):
    """What an encoder may give of a clip, and a score type may need."""

    EMBEDDING = "embedding"
    VARIANCE = "variance"  # of the embedding
    LOGITS = "logits"  # of the classes
    SCORE = "score"  # the encoder's own
    SCORES = "scores"  # those of two other score types, or more


class Acceleration(Frozen):
    """How a trial is computed, which changes its figures in the last digits only: no part of what it is."""

    compiled: bool = Field(False, description="by torch.compile, instead of one operation at a time")
    bf16: bool = Field(False, description="the network by bfloat16 autocast, instead of float32")

    def __str__(self) -> str:
        return f"{'bf16' if self.bf16 else 'fp32'}{', compiled' if self.compiled else ''}"


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


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Dotted names by what a table calls them: by the last part, or the whole where two share that."""
    paths = list(dict.fromkeys(paths))
    shared = Counter(path.rpartition(".")[2] for path in paths)
    return {path if shared[leaf := path.rpartition(".")[2]] > 1 else leaf: path for path in paths}


def leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """A tree's values by their dotted paths, in order: what `set_path` would make it of."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
