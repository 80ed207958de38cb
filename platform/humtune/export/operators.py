"""The operators that PyTorch's exporter can write, read once a process."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from importlib import import_module
from typing import Any

_read: dict[int, Any] = {}  # opset version -> registry


@contextmanager
def kept_operators() -> Iterator[None]:
    """Have exports share what each would parse anew: the sources of 500 operators, half of its time.

    The names are private to PyTorch: where a version has others, exports take as long as without.
    """
    try:
        registries: Any = import_module("torch.onnx._internal.exporter._registration").ONNXRegistry
        own, read = registries.__dict__["from_torchlib"], registries.from_torchlib
    except (ImportError, AttributeError, KeyError):
        yield
        return

    def kept(opset_version: int) -> Any:
        if opset_version not in _read:
            _read[opset_version] = read(opset_version)
        registry = copy(_read[opset_version])  # an export adds operators of its own
        registry.functions = {name: list(known) for name, known in registry.functions.items()}
        return registry

    registries.from_torchlib = staticmethod(kept)
    try:
        yield
    finally:
        registries.from_torchlib = own
