"""Where encoders come from: a description beside an ONNX file or an exported PyTorch program."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, inliner, numpy_helper, version_converter
from onnx.external_data_helper import ExternalDataInfo, _get_all_tensors, uses_external_data
from torch import Tensor, nn
from torch.export import ExportedProgram

from humtune.detectors.graph_network import FEATURES, OPSET, GraphNetwork, chunk_name
from humtune.detectors.pretrained.description import Description, read_description
from humtune.errors import HumtuneError, UsageError, first_line

FILES = (".yaml", ".yml", ".onnx", ".pt2")  # what ends so is a path, no model of the hub
LARGEST = 1_900_000_000  # bytes: a graph of two GB can't be written as one file
_BLOCK = 1 << 24  # bytes hashed at a time


@dataclass(frozen=True)
class Source(ABC):
    """An encoder that can be loaded: its description, and the files that its weights are in."""

    name: str
    description: Description
    files: tuple[Path, ...]
    commit: str | None = None  # of the hub, where it is from there

    @property
    def digest(self) -> str:
        """The hash of its files' content."""
        return digest_of(tuple(_look(path) for path in self.files))

    @abstractmethod
    def load(self) -> nn.Module:
        """What maps blocks [B, …] to the embeddings [B, frames, k] of each of its layers: [B, L, frames, k].

        A network of its own at each call. UsageError where it can't be loaded.
        """

    def chosen(self, layers: Sequence[int]) -> nn.Module:
        """The same with only some of its layers."""
        return Layers(self.load(), layers)

    @property
    def takes_any_length(self) -> bool:
        """Whether a block may be longer or shorter than its description says."""
        return False

    def why_not_tuned(self, *, lora: bool) -> str | None:
        """Why it can't be a network that learns, or that LoRA is added to; None where it can."""
        return None

    @property
    def why_not_exported(self) -> str | None:
        """Why it can't become part of a model; None where it can."""
        size = sum(path.stat().st_size for path in self.files)
        if size > LARGEST:
            return f"it has {size / 1e9:.1f} GB, and a model is one file of two at most"
        return None


class OnnxFile(Source):
    """An ONNX graph of one input, whose outputs are its layers."""

    def load(self) -> nn.Module:
        """The graph in onnxruntime, with all its layers."""
        return self._network(None)

    def chosen(self, layers: Sequence[int]) -> nn.Module:
        """The graph of those alone, in the set of operators that models have."""
        return self._network(layers)

    def _network(self, layers: Sequence[int] | None) -> nn.Module:
        try:
            model = as_network(read_graph(self.files[0]), layers)
            return GraphNetwork(model if layers is None else as_opset(model))
        except HumtuneError as error:
            raise UsageError(f"weights: {self.files[0]}: {error}") from error
        except Exception as error:  # each library has its own
            raise UsageError(
                f"weights: {self.files[0]}: can't be loaded as ONNX ({first_line(error)})"
            ) from error

    def why_not_tuned(self, *, lora: bool) -> str:
        """That onnxruntime knows no gradients."""
        return "an ONNX file can't be trained; take a program of torch.export or a model of transformers"

    @property
    def why_not_exported(self) -> str | None:
        """Beside its size, that its operators are of a later set."""
        if why := super().why_not_exported:
            return why
        try:
            model = read_graph(self.files[0])
            if (opset := opset_of(model)) > OPSET:
                return f"its ONNX file has opset {opset}; export it with opset {OPSET} or an earlier one"
            as_opset(model)
        except Exception as error:  # each converter has its own
            return f"its ONNX file can't be brought to opset {OPSET} ({first_line(error)})"
        return None


class ProgramFile(Source):
    """A program that `torch.export.save` wrote, of one input; its outputs are its layers."""

    def load(self) -> nn.Module:
        """The program as a module."""
        try:
            return Stacked(torch.export.load(str(self.files[0])))
        except Exception as error:  # each kind of damage raises its own
            raise UsageError(
                f"weights: {self.files[0]}: torch.export can't load it as a program ({first_line(error)})"
            ) from error

    def why_not_tuned(self, *, lora: bool) -> str | None:
        """That its weights are in no layers."""
        return "a program has no layers for LoRA; set backbone.tune to whole or none" if lora else None


class Stacked(nn.Module):
    """A program that gives [1, k] or [1, frames, k], or several such layers, as one tensor of all layers.

    One that was exported with blocks in any number gets all at once.
    """

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.network = program.module()
        [taken] = program.graph_signature.user_inputs
        inputs = next(node for node in program.graph.nodes if node.name == taken)
        self.any_number = isinstance(inputs.meta["val"].shape[0], torch.SymInt)

    def forward(self, blocks: Tensor) -> Tensor:
        """Embeddings [B, L, frames, k]."""
        if self.any_number or len(blocks) == 1:
            return self._layers(blocks)
        return torch.cat([self._layers(block) for block in torch.split(blocks, 1)])

    def _layers(self, blocks: Tensor) -> Tensor:
        found = self.network(blocks)
        layers = found if isinstance(found, tuple | list) else (found,)
        return torch.stack([layer.unsqueeze(1) if layer.ndim == 2 else layer for layer in layers], dim=1)

    def train(self, mode: bool = True) -> Self:
        """Stay as it is: an exported program knows no other way."""
        return self


class Layers(nn.Module):
    """Some of a network's layers."""

    def __init__(self, network: nn.Module, layers: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.layers = list(layers)

    def forward(self, block: Tensor) -> Tensor:
        """Embeddings [1, L, frames, k]."""
        found: Tensor = self.network(block)[:, self.layers]
        return found


def find_source(weights: str, trust_remote_code: bool = False, revision: str | None = None) -> Source:
    """The encoder that a recipe names; a UsageError where there is none, or it isn't described."""
    path = Path(weights)
    if path.suffix in (".onnx", ".pt2"):
        raise UsageError(f"weights: {path}: give the path of the YAML that describes it instead")
    if path.suffix not in (".yaml", ".yml"):
        from humtune.detectors.pretrained.hub import find_model  # of an extra

        return find_model(weights, trust_remote_code=trust_remote_code, revision=revision)
    description = read_description(path)
    model = path.parent / description.model
    if not model.is_file():
        raise UsageError(
            f"weights: {path}: there is no {model}; give the name of the file beside it as model"
        )
    if model.suffix != ".onnx":
        return ProgramFile(weights, description, (model,))
    beside = tuple(path.parent / name for name in _beside(_look(model)))
    if missing := next((file for file in beside if not file.is_file()), None):
        raise UsageError(f"weights: {model}: its weights lie in {missing}, which is not there; put it back")
    return OnnxFile(weights, description, (model, *beside))


Look = tuple[str, int, int]  # of a file: its path, size and time of change


def _look(path: Path) -> Look:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


@lru_cache(maxsize=16)
def _beside(graph: Look) -> tuple[str, ...]:
    """The files, from its folder, that an ONNX file has weights in."""
    try:
        model = onnx.load(graph[0], load_external_data=False)
        tensors = filter(uses_external_data, _get_all_tensors(model))
        return tuple(sorted({ExternalDataInfo(tensor).location for tensor in tensors}))
    except Exception as error:  # whatever its library raises
        raise UsageError(f"weights: {graph[0]}: can't be loaded as ONNX ({first_line(error)})") from error


def read_graph(path: Path) -> onnx.ModelProto:
    """An ONNX file without functions of its own and sparse weights, which not all that follows knows."""
    model = inliner.inline_local_functions(onnx.load(path))
    model.graph.initializer.extend(map(_dense, model.graph.sparse_initializer))
    del model.graph.sparse_initializer[:]
    return model


def _dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    values, index = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    found = np.zeros(sparse.dims, values.dtype)
    found.flat[index if index.ndim == 1 else np.ravel_multi_index(tuple(index.T), found.shape)] = values
    return numpy_helper.from_array(found, sparse.values.name)


def as_network(model: onnx.ModelProto, layers: Sequence[int] | None = None) -> onnx.ModelProto:
    """A graph of one input and an output a layer as a network of one chunk: features [1, L, frames, k].

    None stands for all layers. A HumtuneError where it has more inputs, or its output is no embedding.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [end for end in model.graph.input if end.name not in weights]
    if len(inputs) != 1:
        raise HumtuneError(f"should have one input, it has {', '.join(end.name for end in inputs) or 'none'}")
    outputs = list(model.graph.output)
    chosen = [outputs[i] for i in layers] if layers is not None else outputs
    nodes = [helper.make_node("Identity", [chunk_name(0)], [inputs[0].name]), *model.graph.node]
    stacked = []
    for i, end in enumerate(chosen):
        rank = len(end.type.tensor_type.shape.dim)
        if rank not in (2, 3):
            raise HumtuneError(f"output {end.name} should be [1, k] or [1, frames, k], it has {rank} axes")
        name = f"layer {i} of {FEATURES}"
        made = f"{name}, axes"
        nodes.append(helper.make_node("Constant", [], [made], value_ints=[1] if rank == 3 else [1, 2]))
        nodes.append(helper.make_node("Unsqueeze", [end.name, made], [name]))
        stacked.append(name)
    nodes.append(helper.make_node("Concat", stacked, [FEATURES], axis=1))
    axes = [None] * len(inputs[0].type.tensor_type.shape.dim)
    block = helper.make_tensor_value_info(chunk_name(0), TensorProto.FLOAT, axes)
    features = helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [None] * 4)
    graph = helper.make_graph(nodes, "encoder", [block], [features], model.graph.initializer)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def as_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph with the operators of the set that models have."""
    return model if opset_of(model) == OPSET else version_converter.convert_version(model, OPSET)


def opset_of(model: onnx.ModelProto) -> int:
    """The number of the set of operators that a graph is made of."""
    return max(
        (opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), default=OPSET
    )


def as_tensor(digest: str) -> Tensor:
    """A hash for an encoder's state, uint8 [32]."""
    return torch.frombuffer(bytearray.fromhex(digest), dtype=torch.uint8)


def check_weights(source: Source, own: Tensor, other: Tensor) -> None:
    """Raise a HumtuneError where an encoder's state is of other weights than the source, by their hashes."""
    if not torch.equal(own.cpu(), other.cpu()):
        raise HumtuneError(
            f"weights: {source.name}: these are not the weights that the trial was made with; "
            "put those back in their place"
        )


@lru_cache(maxsize=16)
def digest_of(files: tuple[Look, ...]) -> str:
    """The hash of the content of files, which is read anew where a file has changed."""
    digest = hashlib.sha256()
    for name, size, _ in files:
        digest.update(f"{Path(name).name} {size}\n".encode())
        with Path(name).open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
