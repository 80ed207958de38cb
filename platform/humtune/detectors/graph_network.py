"""A network that is an ONNX graph of one chunk, run by onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

OPSET = 20  # of a network's graph, and so of a model
FEATURES = "features"  # the end of a network's graph


def chunk_name(j: int) -> str:
    """What a network's graph calls the chunk that is its input j."""
    return f"chunk {j}"


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
        chunks = zip(*(value.cpu().contiguous().numpy() for value in inputs), strict=True)
        feeds = ({chunk_name(i): x[None] for i, x in enumerate(chunk)} for chunk in chunks)
        found = np.concatenate([self._session.run(None, feed)[0] for feed in feeds])
        return torch.from_numpy(found).to(inputs[0].device)
