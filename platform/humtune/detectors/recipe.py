"""Recipe: what one trial is. A family of detectors is a subclass of it, found by its name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from humtune import plugins
from humtune.config import Acceleration, Aggregation, Frozen, Output, References, Settings
from humtune.sounds.table import ClipTable

if TYPE_CHECKING:
    from humtune.detectors.encoder import Encoder
    from humtune.detectors.fit import Fit
    from humtune.scores.base import JointScore, Score
    from humtune.sounds.bank import ClipBank


class Part(Settings):
    """Settings of a part of a detector that there are several kinds of; `kind` is the name it is found by."""

    kind: str


def open_union(what: str, default: str) -> Any:
    """The type of a field that holds any kind of part; one that doesn't say its kind is of the default.

    The kinds are those of `plugins`: humtune's own, installed ones, and `package.module:Class`.
    """

    def parse(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kind = value.get("kind", default)
        return plugins.find(what, kind).model_validate({**value, "kind": kind})

    return Annotated[SerializeAsAny[Part], BeforeValidator(parse)]


class Scoring(References):
    """How what an encoder gives of a clip becomes its score.

    What only one score type has, or has otherwise than the others, stands below its name:
    `scoring.knn.neighbours`, `scoring.cosine.source_clusters`. What stands here goes for every score type
    that knows it.
    """

    model_config = ConfigDict(extra="allow")

    aggregation: Aggregation = Field(
        "mean", description="of the chunks' scores; embedding averages each clip's embeddings before scoring"
    )
    neighbours: int = Field(5, ge=1, description="references that a k-nearest-neighbour score looks at: k")

    @model_validator(mode="before")
    @classmethod
    def _of_score_types(cls, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        own = {name: value for name, value in tree.items() if name not in cls.model_fields}
        shared = {name: value for name, value in tree.items() if name in cls.model_fields}
        return tree | {name: _score_settings(name, value, shared) for name, value in own.items()}

    def of(self, name: str) -> "Score | JointScore":
        """A score type with its settings."""
        if own := (self.model_extra or {}).get(name):
            return own  # type: ignore[no-any-return]
        found = plugins.find(plugins.SCORE, name)
        shared = {key: getattr(self, key) for key in type(self).model_fields if key in found.model_fields}
        return found(**shared)  # type: ignore[no-any-return]


def _score_settings(name: str, value: Any, shared: Mapping[str, Any]) -> Any:
    if isinstance(value, Settings):
        return value
    if name not in plugins.names(plugins.SCORE) and ":" not in name:
        raise _no_such_setting(name, value)
    found = plugins.find(plugins.SCORE, name)
    if isinstance(value, dict):
        value = {key: of for key, of in shared.items() if key in found.model_fields} | value
    try:
        made = found.model_validate(value)
    except ValidationError as error:
        raise ValidationError.from_exception_data(
            error.title,
            [
                InitErrorDetails(
                    type=e["type"], loc=(name, *e["loc"]), input=e["input"], ctx=e.get("ctx", {})
                )
                for e in error.errors()
            ],
        ) from error
    for key in sorted(made.unused):  # a record has the defaults and the shared ones all the same
        if (own := getattr(made, key)) not in (found.model_fields[key].default, shared.get(key)):
            why = ValueError(f"changes nothing, {name} compares no embeddings; leave it out")
            details = InitErrorDetails(type="value_error", loc=(name, key), input=own, ctx={"error": why})
            raise ValidationError.from_exception_data("Scoring", [details])
    return made


class Check(NamedTuple):
    """Something that a family needs of the recordings.

    `settings` are the dotted names that it depends on: a space tries all extreme values of these. `raises`
    is a method that raises a UsageError where it is missing. `of_others`: of other machines' recordings too,
    where the recipe is exposed to them.
    """

    settings: tuple[str, ...]
    raises: Callable[[Any, ClipTable, NDArray[np.int64]], None]
    of_others: bool = False


class Estimate(Frozen):
    """What a trial would take on this computer, and how it is best computed there."""

    acceleration: Acceleration
    step_seconds: float
    trial_seconds: float  # all steps, with the scoring half-way and at the end
    once: dict[str, float] = Field({}, description="name -> seconds of what the first trial makes for all")


class Recipe(Settings, ABC):
    """A trial's configuration: everything that shapes its detector, frozen.

    A family adds its own settings, says what its encoders give, and starts fits. Whoever searches, prunes,
    resumes, scores, reports and exports needs to know nothing else of it.
    """

    sizes: ClassVar[tuple[str, ...]] = ()  # settings that a trial's time depends on
    checks: ClassVar[tuple["Check", ...]] = ()
    given_by: ClassVar[tuple[str, ...]] = ()  # settings that `gives` depends on
    taken_over: ClassVar[tuple[str, ...]] = ()  # settings that come from the trial that it starts from

    family: str
    scores: tuple[str, ...] = Field(min_length=1)
    scoring: Scoring = Scoring()
    seed: int = 0

    @property
    @abstractmethod
    def gives(self) -> frozenset[Output]:
        """What the encoder gives of a clip."""

    @property
    def budget(self) -> int:
        """Steps of a fit: epochs, or one where there is a closed form."""
        return 1

    @property
    def size(self) -> str:
        """What the time of a step depends on, in words; trials of one size are computed alike."""
        return self.family

    @property
    def giver(self) -> str:
        """What it is that gives or doesn't give what a score needs, in words."""
        return f"the family {self.family}"

    @property
    def exposed(self) -> bool:
        """Whether a machine's fit wants the recordings of the search's other machines too, as NEGATIVE."""
        return False

    @property
    def taught(self) -> int:
        """Of how many ensembles its fit learns what they say of clips: its bank is a `TaughtBank`."""
        return 0

    @property
    def starts_shared(self) -> bool:
        """Whether its fit starts from the encoder of a shared trial, instead of anew."""
        return False

    def anew(self) -> Self:
        """The recipe of a fit that starts anew."""
        return self

    def starting_from(self, other: "Recipe") -> Self:
        """The recipe with the network of another one of its family, from whose encoder its fit starts."""
        return self.model_copy(update={name: getattr(other, name) for name in self.taken_over})

    def pinned(self) -> dict[str, Any]:
        """Settings that mean the same later and elsewhere, in the place of those that may not."""
        return {}

    def check(self, table: ClipTable, lengths: NDArray[np.int64]) -> None:
        """Raise a UsageError that names key, value and bound where the recordings don't do for this recipe.

        `table` are a machine's clips, `lengths` [N] their samples.
        """
        for check in self.checks:
            check.raises(self, table, lengths)

    def remarks(self) -> tuple[str, ...]:
        """What whoever chose these settings should know, a line each."""
        return ()

    @abstractmethod
    def start(
        self,
        bank: "ClipBank",
        *,
        device: str = "cpu",
        acceleration: Acceleration = Acceleration(),  # noqa: B008  frozen
    ) -> "Fit":
        """A fit to the healthy recordings of a machine, or of several joined, before its first step."""

    @abstractmethod
    def build(self, classes: tuple[str, ...]) -> "Encoder":
        """The encoder before it is fitted: for weights to be loaded into. Without classes: an empty tuple."""

    def estimate(
        self, bank: "ClipBank", *, device: str, bf16: bool, compiled: bool | None, measured: int
    ) -> Estimate:
        """What a trial would take, from one step; `measured` are the times that it is scored half-way.

        `compiled` says whether to compile; None: where that pays.
        """
        how = Acceleration(bf16=bf16)
        began = perf_counter()
        self.start(bank, device=device, acceleration=how).step()
        seconds = perf_counter() - began
        return Estimate(acceleration=how, step_seconds=seconds, trial_seconds=seconds * self.budget)

    @model_validator(mode="after")
    def _has_scores(self) -> Self:
        asked = ", ".join(self.scores)
        joint = [name for name in dict.fromkeys(self.scores) if Output.SCORES in self.scoring.of(name).needs]
        if joint and len(set(self.scores) - set(joint)) < 2:
            raise ValueError(
                f"{joint[0]} needs two other score types to join, got scores: {asked}; add another"
            )
        if not self.score_types:
            raise ValueError(f"{self.giver} can't give scores: {asked}; add one, such as {self._possible}")
        return self

    @property
    def _possible(self) -> str:
        return next(
            (name for name in plugins.BUILT_IN[plugins.SCORE] if self.scoring.of(name).needs <= self.gives),
            "none",
        )

    @property
    def base_types(self) -> tuple[str, ...]:
        """The score types asked for whose needs the encoder meets by itself."""
        return tuple(name for name in self.scores if self.scoring.of(name).needs <= self.gives)

    @property
    def score_types(self) -> tuple[str, ...]:
        """The score types that a trial gets: the base types and, where there are two, what joins them."""
        base = self.base_types
        gives = self.gives | ({Output.SCORES} if len(set(base)) > 1 else set())
        return tuple(name for name in self.scores if self.scoring.of(name).needs <= gives)

    def can_be_exported(self, score_type: str) -> bool:
        """Whether a new recording can be scored so: it doesn't say which section it is of."""
        score = self.scoring.of(score_type)
        parts = self.base_types if Output.SCORES in score.needs else (score_type,)
        return not any(self.scoring.of(part).needs_section for part in parts)


def recipe_of(tree: Mapping[str, Any]) -> Recipe:
    """The recipe that a tree of settings stands for, of the family that it names: without one a classifier.

    A pydantic ValidationError where there is no such family, or it doesn't know a setting.
    """
    name = tree.get("family", "classifier")
    return _family(name).model_validate({**tree, "family": name})  # type: ignore[no-any-return]


def _family(name: Any) -> type[Any]:
    try:
        return plugins.find(plugins.FAMILY, name)
    except ValueError as error:
        details = InitErrorDetails(type="value_error", loc=("family",), input=name, ctx={"error": error})
        raise ValidationError.from_exception_data("Recipe", [details]) from error


def _no_such_setting(name: str, value: Any) -> ValidationError:
    details = InitErrorDetails(type="extra_forbidden", loc=(name,), input=value)
    return ValidationError.from_exception_data("Scoring", [details])
