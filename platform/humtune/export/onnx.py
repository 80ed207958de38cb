"""From a detector to one ONNX graph: waveform in, anomaly score out."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from onnxscript import ir
from onnxscript import opset20 as op
from torch import Tensor, nn

from humtune.config import FUSION, TEST_CHUNKS, Spectrogram
from humtune.detector.detector import Detector
from humtune.detector.head import Embeddings
from humtune.detector.scores import ClipScore
from humtune.errors import HumtuneError
from humtune.evaluation.fusion import Fusion
from humtune.runtime.scorer import INPUT, OUTPUT

OPSET = 20


class Deployed(nn.Module):
    """A detector with one score type as a function of a whole clip: samples [n] in [-1, 1] to its score.

    The clip's spectrogram is made once and its chunks are cut out of it: the same frames that `Detector`
    gets, which transforms each chunk's samples by themselves. Nobody tells the graph a clip's section: it
    scores as the detector does a clip whose section is unknown.
    """

    def __init__(self, detector: Detector, score_type: str) -> None:
        super().__init__()
        if detector.reference is None:
            raise HumtuneError(f"the detector of {detector.machine} has no reference embeddings to export")
        self.spectrogram = detector.config.spectrogram
        self.frontend, self.backbone, self.head = detector.frontend, detector.backbone, detector.head
        self.score = _score(detector, replace(detector.reference, section=None), score_type)

    def forward(self, waveform: Tensor) -> Tensor:
        """The anomaly score, float64 []; at least `least_samples` samples."""
        picture = self.frontend.standardise(self.frontend.centred(waveform[None]))[0]
        length = self.spectrogram.chunk_frames
        room = self.spectrogram.frames(waveform.shape[0]) - length
        starts = torch.arange(TEST_CHUNKS) * room // (TEST_CHUNKS - 1)
        chunks = picture[:, starts[:, None] + torch.arange(length)].transpose(0, 1).unsqueeze(1)
        embedding, _ = self.head.embed(self.backbone(chunks))
        scores: Tensor = self.score(embedding)
        return scores.squeeze(0)


class Fused(nn.Module):
    """A detector's fusion as a function of embeddings [5, k]: of the same arithmetic as `Fusion`."""

    centre: Tensor
    spread: Tensor

    def __init__(self, fusion: Fusion, scores: Mapping[str, ClipScore]) -> None:
        super().__init__()
        self.scores = nn.ModuleList(scores[name] for name in fusion.centre)
        for name, constants in (("centre", fusion.centre), ("spread", fusion.spread)):
            values = [constants[of] for of in fusion.centre]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64)[:, None])

    def forward(self, embedding: Tensor) -> Tensor:
        """The fusion score, float64 [1]."""
        scores = torch.stack([score(embedding) for score in self.scores])
        return ((scores - self.centre) / self.spread).amin(dim=0)


def _score(detector: Detector, reference: Embeddings, score_type: str) -> nn.Module:
    """What maps the embeddings of a clip to its score."""
    scoring, classify = detector.config.scoring, detector.head.classify
    if score_type != FUSION:
        return ClipScore(score_type, reference, scoring, classify)
    if detector.fusion is None:
        raise HumtuneError(f"the detector of {detector.machine} does not know how to join its score types")
    parts = {name: ClipScore(name, reference, scoring, classify) for name in detector.fusion.centre}
    return Fused(detector.fusion, parts)


def least_samples(spectrogram: Spectrogram) -> int:
    """Samples of the shortest clip with a whole chunk in its centred spectrogram."""
    return (spectrogram.chunk_frames - 1) * spectrogram.hop


def export_onnx(detector: Detector, score_type: str, metadata: Mapping[str, str]) -> bytes:
    """A self-contained ONNX file of the detector with one score type; `metadata` becomes its properties."""
    deployed = Deployed(detector, score_type).eval()
    least = least_samples(detector.config.spectrogram)
    example = torch.zeros(2 * least + 1)
    samples = torch.export.Dim("samples", min=least)
    lowerings: dict[Any, Callable[..., Any]] = {torch.ops.aten.scalar_tensor.default: _scalar}
    if detector.config.spectrogram.n_fft.bit_count() > 1:  # not a power of two
        lowerings[torch.ops.aten.stft.default] = _stft
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            deployed,
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: samples},),
            custom_translation_table=lowerings,
        )
    assert program is not None
    model = program.model
    for node in model.graph.all_nodes():
        node.metadata_props.clear()  # where in whose source tree the node came from
    model.metadata_props.clear()
    model.metadata_props.update(metadata)
    model.producer_name, model.producer_version = "humtune", metadata.get("humtune")
    return bytes(ir.to_proto(model).SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
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
    """torch.stft of float64 samples [1, n] as a product with the Fourier matrix: [1, bins, frames, 2].

    Where n_fft is a power of two, onnxruntime's own operator is as fast and needs no matrix in the file.
    Elsewhere it goes by Bluestein's algorithm: ten times slower, and off by decibels in the quiet bins.
    Windows overlap by half, so a frame is two blocks of a hop side by side.
    """
    if n_fft != 2 * hop_length or win_length not in (None, n_fft):
        raise ValueError(f"windows of {n_fft} with a hop of {hop_length}")
    angle = 2 * np.pi * (np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1)) % n_fft) / n_fft
    matrix = np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)
    hop = op.Constant(value_ints=[hop_length])
    zero, one = op.Constant(value_ints=[0]), op.Constant(value_ints=[1])
    whole = op.Mul(op.Div(op.Shape(self, start=1, end=2), hop), hop)
    blocks = op.Reshape(op.Slice(self, zero, whole, one), op.Constant(value_ints=[1, -1, hop_length]))
    last, end = op.Constant(value_ints=[-1]), op.Constant(value_ints=[2**62])
    frames = op.Concat(op.Slice(blocks, zero, last, one), op.Slice(blocks, one, end, one), axis=2)
    spectrum = op.MatMul(op.Mul(frames, window), op.Constant(value=ir.tensor(matrix)))
    parts = op.Reshape(spectrum, op.Constant(value_ints=[1, -1, 2, n_fft // 2 + 1]))
    return op.Transpose(parts, perm=[0, 3, 1, 2])
