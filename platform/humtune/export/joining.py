"""Graphs put together: pictures, a network for each chunk of them, and the judge of what the networks say."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import compose, helper
from torch import Tensor, nn

from humtune.config import TEST_CHUNKS

CHUNK, FEATURES = "chunk", "features"  # the ends of a network's graph


class GraphBackbone(nn.Module):
    """A network's graph in the place of the backbone that it was made of."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        self.model = model
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()  # as the network that it stands for
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Features [B, k] of pictures [B, 1, bins, frames], a chunk at a time."""
        chunks = [picture[None].contiguous().numpy() for picture in pictures]
        return torch.from_numpy(np.concatenate([self._session.run(None, {CHUNK: c})[0] for c in chunks]))


def join(
    pictures: onnx.ModelProto, networks: Sequence[onnx.ModelProto], judge: onnx.ModelProto
) -> onnx.ModelProto:
    """One graph of the parts, network i between "chunks i" of the pictures and "features i" of the judge."""
    model = compose.add_prefix(pictures, "pictures/", rename_inputs=False, rename_outputs=False)
    ends = [f"features {i}" for i in range(len(networks))]
    for i, network in enumerate(networks):
        own = compose.add_prefix(clipwise(network), f"network {i}/")
        model = compose.merge_models(model, own, [(f"chunks {i}", f"network {i}/chunks")])
    judge = compose.add_prefix(judge, "judge/", rename_inputs=True, rename_outputs=False)
    joints = [(f"network {i}/{FEATURES}", f"judge/{end}") for i, end in enumerate(ends)]
    model = compose.merge_models(model, judge, joints)
    opsets = {opset.domain: opset.version for opset in model.opset_import}  # each part has brought its own
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, number) for domain, number in opsets.items())
    return model


def clipwise(network: onnx.ModelProto) -> onnx.ModelProto:
    """The graph of a network's one chunk as one of all five of a clip: [5, 1, bins, frames] to [5, k].

    The chunks go through copies of its nodes, one after the other, which share the weights. In a batch they
    would take as many operations and a quarter more time: the feature maps of one chunk alone stay in a
    processor's cache.
    """
    graph = network.graph
    made = {CHUNK, *(name for node in graph.node for name in node.output)}
    chunks, features = ([f"{name}@{i}" for i in range(TEST_CHUNKS)] for name in (CHUNK, FEATURES))
    nodes = [helper.make_node("Split", ["chunks"], chunks, name="chunks", num_outputs=TEST_CHUNKS)]
    for i in range(TEST_CHUNKS):
        for node in graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{node.name}@{i}"
            copy.input[:] = [f"{name}@{i}" if name in made else name for name in node.input]
            copy.output[:] = [f"{name}@{i}" for name in node.output]
            nodes.append(copy)
    nodes.append(helper.make_node("Concat", features, [FEATURES], name=FEATURES, axis=0))
    ends = []
    for name, end in (("chunks", graph.input[0]), (FEATURES, graph.output[0])):
        whole = onnx.ValueInfoProto()
        whole.CopyFrom(end)
        whole.name = name
        whole.type.tensor_type.shape.dim[0].dim_value = TEST_CHUNKS
        ends.append(whole)
    repeated = helper.make_graph(nodes, "network", ends[:1], ends[1:], graph.initializer)
    return helper.make_model(repeated, opset_imports=network.opset_import, ir_version=network.ir_version)
