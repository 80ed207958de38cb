"""From detectors to one ONNX file: waveform in, anomaly score out.

Front ends, a network for each chunk, and the judge of what the networks give are graphs put together.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper, numpy_helper
from onnxscript import ir
from onnxscript import opset20 as op
from torch import Tensor, nn

from humtune.detectors.encoder import Graph
from humtune.detectors.graph_network import FEATURES, OPSET, GraphNetwork, chunk_name
from humtune.export.graph import FrontEnds, Judge, Member, least_samples
from humtune.export.operators import kept_operators
from humtune.runtime.scorer import INPUT, OUTPUT


def export_onnx(members: Sequence[Member], metadata: Mapping[str, str]) -> bytes:
    """A self-contained ONNX file of one detector or several; `metadata` becomes its properties.

    Its score is the sum of weight × calibrated score over the members: of a single one, its score.
    """
    judge, least = Judge(members), least_samples(members)
    graphs, fronts = judge.graphs, FrontEnds(judge.graphs)
    growing = [graph.growing for graph in graphs]
    example = torch.zeros(max(2 * least + 1, *(samples or 0 for samples in growing)))
    chunks = [_chunks(graph, example) for graph in graphs]
    model = join(
        _export(
            fronts,
            example,
            inputs=[INPUT],
            outputs=[f"chunks {i} {j}" for i, own in enumerate(chunks) for j in range(len(own))],
            dynamic=({0: torch.export.Dim("samples", min=least)},),
        ),
        [export_network(graph, own) for graph, own in zip(graphs, chunks, strict=True)],
        _export(
            judge,
            *(_features(graph, own) for graph, own in zip(graphs, chunks, strict=True)),
            inputs=[f"features {i}" for i in range(len(graphs))],
            outputs=[OUTPUT],
            dynamic=(tuple({0: torch.export.Dim.DYNAMIC} if samples else None for samples in growing),),
        ),
        rows=[None if samples else len(own[0]) for own, samples in zip(chunks, growing, strict=True)],
    )
    onnx.helper.set_model_props(model, dict(metadata))
    model.producer_name, model.producer_version = "humtune", metadata.get("humtune", "")
    return bytes(model.SerializeToString())


def export_network(graph: Graph, chunks: Sequence[Tensor]) -> onnx.ModelProto:
    """A network as a graph of one chunk [1, …] of each of its inputs; one that is a graph, as it is."""
    if isinstance(graph.network, GraphNetwork):
        return graph.network.model
    inputs = [chunk_name(j) for j in range(len(chunks))]
    if isinstance(graph.network, nn.Identity):
        return _nothing(inputs[0], chunks[0])
    return _export(graph.network, *(some[:1] for some in chunks), inputs=inputs, outputs=[FEATURES])


def _nothing(name: str, chunks: Tensor) -> onnx.ModelProto:
    """The graph of a network that leaves its input as it is."""
    kind = helper.np_dtype_to_tensor_dtype(chunks.numpy().dtype)
    ends = [helper.make_tensor_value_info(end, kind, [1, *chunks.shape[1:]]) for end in (name, FEATURES)]
    node = helper.make_node("Identity", [name], [FEATURES])
    graph = helper.make_graph([node], "network", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])


def join(
    front: onnx.ModelProto,
    networks: Sequence[onnx.ModelProto],
    judge: onnx.ModelProto,
    rows: Sequence[int | None],
) -> onnx.ModelProto:
    """One graph of the parts: network i between the front's "chunks i j" and the judge's "features i".

    `rows` are the chunks that each network gets of a clip; None: as many as the clip has.
    """
    model = compose.add_prefix(front, "front/", rename_inputs=False, rename_outputs=False)
    for i, (network, count) in enumerate(zip(networks, rows, strict=True)):
        prefix = f"network {i}/"
        own = (
            looped(network, prefix) if count is None else compose.add_prefix(clipwise(network, count), prefix)
        )
        own.ir_version = model.ir_version
        ends = [(f"chunks {i} {j}", f"{prefix}{chunks_name(j)}") for j in range(len(network.graph.input))]
        model = compose.merge_models(model, own, ends)
    judge = compose.add_prefix(judge, "judge/", rename_inputs=True, rename_outputs=False)
    joints = [(f"network {i}/{FEATURES}", f"judge/features {i}") for i in range(len(networks))]
    model = compose.merge_models(model, judge, joints)
    opsets = {opset.domain: opset.version for opset in model.opset_import}  # each part has brought its own
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, number) for domain, number in opsets.items())
    return model


def clipwise(network: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """The graph of a network's one chunk as one of all of a clip: inputs [count, …] to features [count, k].

    The chunks go through copies of its nodes, one after the other, which share the weights. In a batch they
    would take as many operations and a quarter more time: the feature maps of one chunk alone stay in a
    processor's cache.
    """
    graph = network.graph
    inputs = [end.name for end in graph.input]
    made = {*inputs, *(name for node in graph.node for name in node.output)}
    nodes = []
    for j, name in enumerate(inputs):
        chunks = [f"{name}@{i}" for i in range(count)]
        nodes.append(
            helper.make_node("Split", [chunks_name(j)], chunks, name=chunks_name(j), num_outputs=count)
        )
    for i in range(count):
        for node in graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{node.name}@{i}"
            copy.input[:] = [f"{name}@{i}" if name in made else name for name in node.input]
            copy.output[:] = [f"{name}@{i}" for name in node.output]
            nodes.append(copy)
    features = [f"{FEATURES}@{i}" for i in range(count)]
    nodes.append(helper.make_node("Concat", features, [FEATURES], name=FEATURES, axis=0))
    names = [*(chunks_name(j) for j in range(len(inputs))), FEATURES]
    ends = []
    for name, end in zip(names, (*graph.input, graph.output[0]), strict=True):
        info = onnx.ValueInfoProto()
        info.CopyFrom(end)
        info.name = name
        info.type.tensor_type.shape.dim[0].dim_value = count
        ends.append(info)
    repeated = helper.make_graph(nodes, "network", ends[:-1], ends[-1:], graph.initializer)
    return helper.make_model(repeated, opset_imports=network.opset_import, ir_version=network.ir_version)


def looped(network: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """The graph of a network's one chunk as a loop over those of a clip: inputs [c, …] to features [c, …].

    Its names begin with the prefix, those of the loop's body too: a network from outside may call its own
    what others do.
    """
    inputs = {end.name: len(end.type.tensor_type.shape.dim) for end in network.graph.input}
    given, rank = f"one {FEATURES}", len(network.graph.output[0].type.tensor_type.shape.dim)
    axis = "axis of chunks"
    body = onnx.GraphProto(name="network")
    body.initializer.append(numpy_helper.from_array(np.array([0]), axis))
    body.initializer.extend(network.graph.initializer)
    for name, axes in inputs.items():
        body.input.append(_end(f"one {name}", axes - 1))
        body.node.append(helper.make_node("Unsqueeze", [f"one {name}", axis], [name]))
    body.node.extend(network.graph.node)
    body.node.append(helper.make_node("Squeeze", [FEATURES, axis], [given]))
    body.output.append(_end(given, rank - 1))
    names = {tensor.name: prefix + tensor.name for tensor in body.initializer}
    body = compose.add_prefix_graph(body, prefix, name_map=names)
    chunks = [_end(f"{prefix}{chunks_name(j)}", axes) for j, axes in enumerate(inputs.values())]
    features = _end(f"{prefix}{FEATURES}", rank)
    scan = helper.make_node(
        "Scan",
        [end.name for end in chunks],
        [features.name],
        name=f"{prefix}loop",
        body=body,
        num_scan_inputs=len(chunks),
    )
    graph = helper.make_graph([scan], "network", chunks, [features])
    return helper.make_model(graph, opset_imports=network.opset_import)


def _end(name: str, rank: int) -> onnx.ValueInfoProto:
    """An input or output of floats with so many axes of any length."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)


def chunks_name(j: int) -> str:
    """What the graph of all chunks of a clip calls its input j."""
    return f"chunks {j}"


@torch.no_grad()
def _chunks(graph: Graph, waveform: Tensor) -> tuple[Tensor, ...]:
    """A clip's chunks, for their shapes."""
    frontend = graph.frontend.eval()
    return frontend.chunks(frontend.whole(waveform[None]))


@torch.no_grad()
def _features(graph: Graph, chunks: Sequence[Tensor]) -> Tensor:
    """A clip's features, for their shape."""
    features: Tensor = graph.network.eval()(*(some[:1] for some in chunks))
    return features.new_zeros(len(chunks[0]), *features.shape[1:])


def _export(
    module: nn.Module,
    *example: Tensor,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic: Any = None,  # lengths of the inputs
) -> onnx.ModelProto:
    """A module as a graph that doesn't say where its source lies."""
    lowerings: dict[Any, Callable[..., Any]] = {
        torch.ops.aten.scalar_tensor.default: _scalar,
        torch.ops.aten.stft.default: _stft,
    }
    with quiet(), kept_operators(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic,
            custom_translation_table=lowerings,
        )
    assert program is not None
    model = program.model
    for node in model.graph.all_nodes():
        node.metadata_props.clear()  # where in whose source tree the node came from
    model.metadata_props.clear()
    return ir.to_proto(model)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's talk about itself from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _scalar(s: Any, dtype: int = ir.DataType.FLOAT, *_: Any, **__: Any) -> Any:
    """torch.scalar_tensor in the precision asked for: the exporter's own goes by way of float32."""
    if isinstance(s, bool | int | float):
        return op.Constant(value=ir.tensor(s, dtype=ir.DataType(dtype)))
    return op.Cast(s, to=dtype)


def _stft(
    self: ir.Value, n_fft: int, hop_length: int, win_length: int, window: ir.Value, *_: Any, **__: Any
) -> Any:
    """torch.stft of float64 samples [n, samples]: [n, bins, frames, 2].

    Where n_fft is a power of two, onnxruntime's own operator is fast and needs no matrix in the file.
    Elsewhere it goes by Bluestein's algorithm, ten times slower, and off by decibels in the quiet bins: there
    the transform is a product with the Fourier matrix.
    """
    if win_length not in (None, n_fft):
        raise ValueError(f"windows of {win_length} in a transform of {n_fft}")
    if n_fft.bit_count() == 1:
        spectrum = op.STFT(
            op.Unsqueeze(self, op.Constant(value_ints=[2])),
            op.Constant(value_int=hop_length),
            window,
            op.Constant(value_int=n_fft),
        )
        return op.Transpose(spectrum, perm=[0, 2, 1, 3])
    angle = 2 * np.pi * (np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1)) % n_fft) / n_fft
    matrix = np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)
    one = op.Constant(value_ints=[1])
    zero, hop, end = (op.Constant(value_int=value) for value in (0, hop_length, 1 - n_fft))
    starts = op.Range(zero, op.Add(op.Squeeze(op.Shape(self, start=1, end=2)), end), hop)
    index = op.Add(op.Unsqueeze(starts, one), op.Constant(value_ints=list(range(n_fft))))
    frames = op.Gather(self, index, axis=1)  # [n, frames, n_fft]
    spectrum = op.MatMul(op.Mul(frames, window), op.Constant(value=ir.tensor(matrix)))
    parts = op.Reshape(spectrum, op.Constant(value_ints=[0, -1, 2, n_fft // 2 + 1]))
    return op.Transpose(parts, perm=[0, 3, 1, 2])
