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
import onnxruntime
import torch
from onnx import compose, helper
from onnxscript import ir
from onnxscript import opset20 as op
from torch import Tensor, nn

from humtune.detectors.encoder import Graph
from humtune.export.graph import FrontEnds, Judge, Member, least_samples
from humtune.runtime.scorer import INPUT, OUTPUT

FEATURES = "features"  # the end of a network's graph

OPSET = 20


def export_onnx(members: Sequence[Member], metadata: Mapping[str, str]) -> bytes:
    """A self-contained ONNX file of one detector or several; `metadata` becomes its properties.

    Its score is the sum of weight × calibrated score over the members: of a single one, its score.
    """
    judge, least = Judge(members), least_samples(members)
    graphs, fronts = judge.graphs, FrontEnds(judge.graphs)
    example = torch.zeros(2 * least + 1)
    chunks = [_chunks(graph, example) for graph in graphs]
    model = join(
        _export(
            fronts,
            example,
            inputs=[INPUT],
            outputs=[f"chunks {i} {j}" for i, own in enumerate(chunks) for j in range(len(own))],
            dynamic=torch.export.Dim("samples", min=least),
        ),
        [export_network(graph, own) for graph, own in zip(graphs, chunks, strict=True)],
        _export(
            judge,
            *(_features(graph, own) for graph, own in zip(graphs, chunks, strict=True)),
            inputs=[f"features {i}" for i in range(len(graphs))],
            outputs=[OUTPUT],
        ),
        rows=[len(own[0]) for own in chunks],
    )
    onnx.helper.set_model_props(model, dict(metadata))
    model.producer_name, model.producer_version = "humtune", metadata.get("humtune", "")
    return bytes(model.SerializeToString())


def export_network(graph: Graph, chunks: Sequence[Tensor]) -> onnx.ModelProto:
    """A network as a graph of one chunk [1, …] of each of its inputs; one that is a graph, as it is."""
    if isinstance(graph.network, GraphNetwork):
        return graph.network.model
    inputs = [chunk_name(j) for j in range(len(chunks))]
    return _export(graph.network, *(some[:1] for some in chunks), inputs=inputs, outputs=[FEATURES])


class GraphNetwork(nn.Module):
    """A network's graph in the place of the network that it was made of."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        self.model = model
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()  # as the network that it stands for
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Features [B, k] of a network's inputs [B, …], a chunk at a time."""
        chunks = zip(*(value.contiguous().numpy() for value in inputs), strict=True)
        feeds = ({chunk_name(i): x[None] for i, x in enumerate(chunk)} for chunk in chunks)
        return torch.from_numpy(np.concatenate([self._session.run(None, feed)[0] for feed in feeds]))


def join(
    front: onnx.ModelProto, networks: Sequence[onnx.ModelProto], judge: onnx.ModelProto, rows: Sequence[int]
) -> onnx.ModelProto:
    """One graph of the parts: network i between the front's "chunks i j" and the judge's "features i".

    `rows` are the chunks that each network gets of a clip.
    """
    model = compose.add_prefix(front, "front/", rename_inputs=False, rename_outputs=False)
    for i, (network, count) in enumerate(zip(networks, rows, strict=True)):
        own = compose.add_prefix(clipwise(network, count), f"network {i}/")
        ends = [(f"chunks {i} {j}", f"network {i}/{chunks_name(j)}") for j in range(len(network.graph.input))]
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


def chunk_name(j: int) -> str:
    """What a network's graph calls the chunk that is its input j."""
    return f"chunk {j}"


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
    features: Tensor = graph.network.eval()(*chunks)
    return torch.zeros_like(features)


def _export(
    module: nn.Module,
    *example: Tensor,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic: Any = None,  # the length of the only input
) -> onnx.ModelProto:
    """A module as a graph that doesn't say where its source lies."""
    lowerings: dict[Any, Callable[..., Any]] = {
        torch.ops.aten.scalar_tensor.default: _scalar,
        torch.ops.aten.stft.default: _stft,
    }
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=({0: dynamic},) if dynamic else None,
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
    """torch.stft of float64 samples [1, n]: [1, bins, frames, 2].

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
    frames = op.Gather(self, index, axis=1)  # [1, frames, n_fft]
    spectrum = op.MatMul(op.Mul(frames, window), op.Constant(value=ir.tensor(matrix)))
    parts = op.Reshape(spectrum, op.Constant(value_ints=[1, -1, 2, n_fft // 2 + 1]))
    return op.Transpose(parts, perm=[0, 3, 1, 2])
