"""humtune: searches, per machine, for the detector that best tells when it goes wrong."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from humtune.api.model import Model
    from humtune.errors import HumtuneError, UsageError

__version__ = "0.1.0"
__all__ = ["HumtuneError", "Model", "UsageError"]

_PLACES = {
    "HumtuneError": "humtune.errors",
    "Model": "humtune.api.model",
    "UsageError": "humtune.errors",
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for: torch, Ray and pandas take seconds."""
    if name not in _PLACES:
        raise AttributeError(f"module 'humtune' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
