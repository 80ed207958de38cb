"""humtune: searches, per machine, for the detector that best tells when it goes wrong."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from humtune.api import data
    from humtune.api.detector import Detector
    from humtune.api.evaluation import evaluate
    from humtune.api.model import Model
    from humtune.api.search import Search
    from humtune.api.start import searches
    from humtune.errors import HumtuneError, UsageError

__version__ = "0.1.0"
__all__ = ["Detector", "HumtuneError", "Model", "Search", "UsageError", "data", "evaluate", "searches"]

_PLACES = {
    "Detector": "humtune.api.detector",
    "HumtuneError": "humtune.errors",
    "Model": "humtune.api.model",
    "Search": "humtune.api.search",
    "UsageError": "humtune.errors",
    "data": "humtune.api.data",
    "evaluate": "humtune.api.evaluation",
    "searches": "humtune.api.start",
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for: torch, Ray and pandas take seconds."""
    if name not in _PLACES:
        raise AttributeError(f"module 'humtune' has no attribute '{name}'")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # which onnxruntime reads when it is imported
    module = import_module(_PLACES[name])
    return getattr(module, name, module)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
