"""Model folders made by hand: the score is the recording's root mean square."""

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper

from humtune.config import TrialConfig
from humtune.evaluation.calibration import Threshold
from humtune.runtime.info import INFO, MODEL, ModelInfo

RATE = 16_000
NOBODY = 65_534  # a user id that owns nothing


def make_info(**changes) -> ModelInfo:
    info = ModelInfo(
        machine="fan",
        score_type="cosine",
        threshold=Threshold(value=0.1, false_alarms=0.1, clips=50),
        sample_rate=RATE,
        least_samples=4_000,
        search="fans",
        trial="fan-00003",
        configuration=TrialConfig().model_dump(mode="json"),
        figures={"omega_select_official": 0.7},
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


@pytest.fixture
def model(tmp_path) -> Path:
    """A model folder with the threshold 0.1."""
    folder = tmp_path / "models" / "fan"
    write_model(folder, make_info())
    return folder


def write_model(folder: Path, info: ModelInfo, graph: bytes | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(make_graph(info) if graph is None else graph)
    (folder / INFO).write_text(info.model_dump_json())


@pytest.fixture
def tools():
    """The makers above, for tests that need another model."""
    return {"info": make_info, "graph": make_graph, "write": write_model}


@pytest.fixture
def record(tmp_path):
    """Write a square wave of that loudness, whose root mean square it is; the file."""

    def write(name, loudness, *, samples=8_000, rate=RATE, channels=1) -> Path:
        path = tmp_path / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = loudness * np.where(np.arange(samples) % 2, 1.0, -1.0)
        soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate, subtype="PCM_16")
        return path

    return write


@pytest.fixture
def as_nobody(tmp_path):
    """Be a user whom permissions bind, for a while: root may read everything. Others are it already."""

    @contextmanager
    def change():
        if os.geteuid():
            yield
            return
        for folder in [tmp_path, *tmp_path.parents[:3]]:  # pytest's own folders are root's alone
            before.append((folder, folder.stat().st_mode))
            folder.chmod(folder.stat().st_mode | 0o055)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    before: list[tuple[Path, int]] = []
    yield change
    for folder, mode in before:
        folder.chmod(mode)
