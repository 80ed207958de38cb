"""Model folders made by hand: the score is the recording's root mean square."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from humtune.detectors.classifier.recipe import Classifier
from humtune.metrics.calibration import Threshold
from humtune.runtime.info import INFO, MODEL, ModelInfo

RATE = 16_000


def make_info(**changes) -> ModelInfo:
    info = ModelInfo(
        machine="fan",
        score_type="cosine",
        threshold=Threshold(value=0.1, false_alarms=0.1, clips=50),
        sample_rate=RATE,
        least_samples=4_000,
        search="fans",
        trial="fan-00003",
        configuration=Classifier().model_dump(mode="json"),
        metrics={"omega_select_official": 0.7},
        versions={"humtune": "0.1.0"},
    )
    return info.model_copy(update=changes)


def make_graph(info: ModelInfo, *, log: bool = False) -> bytes:
    """Root mean square of the waveform, or the logarithm of its mean: NaN where that is negative."""
    nodes = [helper.make_node("Mul", ["waveform", "waveform"], ["square"])]
    nodes += [helper.make_node("ReduceMean", ["waveform" if log else "square"], ["mean"], keepdims=0)]
    nodes += [helper.make_node("Log" if log else "Sqrt", ["mean"], ["score"])]
    graph = helper.make_graph(
        nodes,
        "loudness",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["samples"])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    names = ("machine", "search", "trial", "score_type")
    onnx.helper.set_model_props(model, {name: getattr(info, name) for name in names})
    return model.SerializeToString()


def write_model(folder: Path, info: ModelInfo, graph: bytes | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(make_graph(info) if graph is None else graph)
    (folder / INFO).write_text(info.model_dump_json())


def scorer(graph: bytes) -> Callable[[np.ndarray], float]:
    """A graph at work: to load one takes longer than to score a clip."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # more would wait for one another, and for other tests, in a loop
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda waveform: float(session.run(None, {"waveform": waveform})[0])
