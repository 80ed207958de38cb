"""Which encoder a family or a backbone takes: the settings that both have of it."""

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from humtune.config import Settings
from humtune.detectors.pretrained.sources import FILES, Source, find_source
from humtune.errors import UsageError


class Weights(Settings):
    """An encoder by the file or the name of its weights."""

    setting: ClassVar[str] = "weights"  # what a space calls them

    weights: str = Field("", description="the YAML beside an encoder's file, or a model of transformers")
    revision: str | None = Field(
        None, description="of a model on the hub: a commit; null: the newest, which a search then keeps to"
    )
    trust_remote_code: bool = Field(
        False, description="run Python code that lies beside a model of transformers"
    )

    @field_validator("weights")
    @classmethod
    def _whole_path(cls, weights: str) -> str:
        """A path as the same from whichever folder a trial runs in, whatever lies there."""
        path = Path(weights).expanduser()
        is_path = path.is_absolute() or weights.startswith(".") or path.suffix in FILES
        return str(path.absolute()) if is_path else weights

    @model_validator(mode="after")
    def _of_the_hub(self) -> Self:
        if self.revision is not None and Path(self.weights).is_absolute():
            raise ValueError(f"revision: {self.weights} has none, but a model on the hub; leave it out")
        return self

    @property
    def source(self) -> Source:
        """The encoder; a UsageError where it isn't there."""
        if not self.weights:
            raise UsageError(
                f"{self.setting}: which encoder? Say it with --set {self.setting}=PATH, the YAML beside its "
                "file, or the name of a model of transformers"
            )
        return find_source(self.weights, self.trust_remote_code, self.revision)

    @property
    def name(self) -> str:
        """The last part of the weights' path or name."""
        return Path(self.weights).name

    def pinned(self) -> dict[str, Any]:
        """The weights' path and, of a model on the hub, its commit; nothing where they are still open."""
        if not self.weights:
            return {}
        commit = self.source.commit
        return {"weights": self.weights} | ({"revision": commit} if commit else {})

    def remarks(self) -> tuple[str, ...]:
        """Whose weights they are, and whether a model can be made of them."""
        source = self.source
        revision = f"revision {source.commit}, " if source.commit else ""
        lines = [f"{self.name}: {revision}weights under {source.description.licence}"]
        if why := source.why_not_exported:
            lines.append(f"{self.name}: can't be exported: {why}")
        return tuple(lines)
