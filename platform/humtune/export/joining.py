"""Graphs put together: front ends, a network for each chunk, and the judge of what the networks give."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import compose, helper
from torch import Tensor, nn

FEATURES = "features"  # the end of a network's graph


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
