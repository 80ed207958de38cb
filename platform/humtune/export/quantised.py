"""A model in int8: networks quantised on training clips; references, fusions, calibrations made anew."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from humtune.detector.detector import EMBED_BATCH, Detector, scoring_chunks
from humtune.detector.head import Embeddings
from humtune.export.blueprint import Blueprint
from humtune.export.graph import Member
from humtune.export.joining import CHUNK, GraphBackbone
from humtune.export.onnx import export_backbone, quiet
from humtune.results.labelled import labelled_clips
from humtune.runtime.info import INT8
from humtune.sounds.bank import ClipBank
from humtune.sounds.parallel import tracked
from humtune.sounds.table import SCORED, Role

CALIBRATING = 32  # training clips, five chunks each, that say how far each feature map reaches
BLOCK = 8  # clips embedded between two looks at the progress
_TYPES = ("Conv", "Add", "Relu", "LeakyRelu")


def in_int8(plan: Blueprint) -> Blueprint:
    """The same model with its networks in int8: references, fusions, calibrations and scores are made again.

    The spectrogram before them and the heads and distances after them stay as they are. Takes a pass of all
    the machine's clips but the probes, whose scores become NaN.
    """
    twins = {m.detector: quantise(m.detector, plan.bank) for m in plan.members}
    clips = plan.measured.clips
    recorded = np.flatnonzero(clips.role != str(Role.PROBE))
    scored = plan.bank.table.having(*SCORED)
    embedded = {twin: _embed(twin, plan.bank, scored, "scores") for twin in twins.values()}
    members: list[Member] = []
    scores = np.full(len(clips), np.nan)
    scores[recorded] = 0.0
    for member in plan.members:
        twin = twins[member.detector]
        own = twin.score(embedded[twin])[member.score_type]
        calibration = member.calibration
        if calibration is not None:
            calibration = type(calibration).of(own[clips.having(Role.HELD_OUT)])
            own = calibration(own)
        members.append(replace(member, detector=twin, calibration=calibration))
        scores[recorded] += member.weight * own
    measured = replace(
        plan.measured,
        scores=scores,
        reading=labelled_clips(clips).read(scores),
        cross_fitted=None,  # of choosing among trials, and these were none of them
        confirmed=None,
    )
    return replace(plan, members=tuple(members), scores=scores, measured=measured, precision=INT8)


def quantise(detector: Detector, bank: ClipBank) -> Detector:
    """A detector whose backbone is an int8 graph, with references and fusion of its own."""
    train = bank.table.having(Role.TRAIN)
    few = train[:: max(1, len(train) // CALIBRATING)][:CALIBRATING]
    network = _quantised(export_backbone(detector), _pictures(detector, bank, few))
    twin = Detector(detector.config, machine=detector.machine, classes=detector.classes)
    twin.load_state_dict(detector.state_dict())
    twin.backbone = GraphBackbone(network)
    twin.reference = _embed(twin, bank, train, "reference")
    if detector.fusion is not None:
        twin.fuse(twin.embed(bank, bank.table.having(Role.HELD_OUT)))
    return twin


def _embed(detector: Detector, bank: ClipBank, clips: NDArray[np.intp], what: str) -> Embeddings:
    """Embeddings of clips, with progress."""
    blocks = [clips[i : i + BLOCK] for i in range(0, len(clips), BLOCK)]
    title = f"{detector.machine} in int8: {what}"
    return Embeddings.joined(
        [detector.embed(bank, some) for some in tracked(blocks, total=len(blocks), title=title)]
    )


def _quantised(network: onnx.ModelProto, chunks: "Chunks") -> onnx.ModelProto:
    """A network with int8 weights, a scale a channel, and uint8 feature maps.

    Weights use seven of their eight bits: where a processor has no VNNI, products are summed in pairs in
    16 bits, and two large ones of eight would be cut off there.
    """
    with tempfile.TemporaryDirectory(prefix="humtune-") as folder, quiet():
        file = Path(folder) / "network.onnx"
        quantize_static(
            network,
            file,
            chunks,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(_TYPES),
            nodes_to_exclude=_kept(network.graph),
        )
        return onnx.load(file)


def _kept(graph: onnx.GraphProto) -> list[str]:
    """The nodes that stay in float32: the first two convolutions with their activations, and the last two.

    The first ones hear the spectrogram, whose power spans decades; the last ones make the features. They take
    little time, and there a rounding would cost most.
    """
    convolutions = [i for i, node in enumerate(graph.node) if node.op_type == "Conv"]
    ends = [*graph.node[: convolutions[2]], *(graph.node[i] for i in convolutions[-2:])]
    return [node.name for node in ends]


class Chunks(CalibrationDataReader):  # type: ignore[misc]
    """The chunks that quantisation looks at."""

    def __init__(self, pictures: Iterator[NDArray[np.float32]]) -> None:
        self._pictures = pictures

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next one [1, 1, bins, frames]; None after the last."""
        picture = next(self._pictures, None)
        return None if picture is None else {CHUNK: picture}


@torch.no_grad()
def _pictures(detector: Detector, bank: ClipBank, clips: NDArray[np.intp]) -> Chunks:
    detector.eval()
    batches = scoring_chunks(bank, clips, detector.config, EMBED_BATCH)
    return Chunks(picture[None].numpy() for samples in batches for picture in detector.frontend(samples))
