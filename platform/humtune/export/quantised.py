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
from torch import Tensor

from humtune.detectors.detector import Detector
from humtune.detectors.encoder import ENCODE_BATCH, ChunkEncoder, scoring_chunks
from humtune.detectors.graph_network import GraphNetwork, chunk_name
from humtune.errors import HumtuneError
from humtune.export.blueprint import Blueprint
from humtune.export.graph import Member
from humtune.export.onnx import export_network, quiet
from humtune.results.reading import labelled_clips
from humtune.runtime.info import INT8
from humtune.scores.encoded import Encoded
from humtune.sounds.bank import ClipBank
from humtune.sounds.parallel import tracked
from humtune.sounds.table import SCORED, Role

CALIBRATING = 32  # training clips, five chunks each, that say how far each feature map reaches
KEPT = 4  # convolutions that stay in float32
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
    encoded = {twin: _encode(twin, plan.bank, scored, "scores") for twin in twins.values()}
    members: list[Member] = []
    scores = np.full(len(clips), np.nan)
    scores[recorded] = 0.0
    for member in plan.members:
        twin = twins[member.detector]
        own = twin.score(encoded[twin])[member.score_type]
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
    """A detector whose network is an int8 graph, with references and joint scores of its own.

    HumtuneError for a family whose networks have no front end to be quantised behind, or no convolutions.
    """
    encoder = detector.encoder
    if not isinstance(encoder, ChunkEncoder):
        raise _unfit(detector)
    train = bank.table.having(Role.TRAIN)
    few = train[:: max(1, len(train) // CALIBRATING)][:CALIBRATING]
    encoder.eval()
    example = next(_inputs(encoder, bank, few[:1]))
    network = export_network(encoder.graph(), example)
    if sum(node.op_type == "Conv" for node in network.graph.node) <= KEPT:
        raise _unfit(detector)
    network = _quantised(network, Chunks(_inputs(encoder, bank, few)))
    twin = Detector(detector.recipe, detector.recipe.build(encoder.classes), machine=detector.machine)
    twin.encoder.load_state_dict(encoder.state_dict())
    twin.encoder.replace_network(GraphNetwork(network))
    twin.reference = _encode(twin, bank, train, "reference")
    twin.join(bank, bank.table.having(Role.HELD_OUT))
    return twin


def _unfit(detector: Detector) -> HumtuneError:
    return HumtuneError(
        f"{detector.machine}: {detector.recipe.giver} has no network to quantise, which int8 wants of "
        "convolutions; export it without --int8"
    )


def _encode(detector: Detector, bank: ClipBank, clips: NDArray[np.intp], what: str) -> Encoded:
    """What a detector gives of clips, with progress."""
    blocks = [clips[i : i + BLOCK] for i in range(0, len(clips), BLOCK)]
    title = f"{detector.machine} in int8: {what}"
    return Encoded.joined(
        [detector.encode(bank, some) for some in tracked(blocks, total=len(blocks), title=title)]
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

    The first ones get the spectrogram, whose power spans decades; the last ones make the features. They take
    little time, and there a rounding would cost most.
    """
    convolutions = [i for i, node in enumerate(graph.node) if node.op_type == "Conv"]
    ends = [*graph.node[: convolutions[2]], *(graph.node[i] for i in convolutions[-2:])]
    return [node.name for node in ends]


class Chunks(CalibrationDataReader):  # type: ignore[misc]
    """The chunks that quantisation looks at."""

    def __init__(self, chunks: Iterator[tuple[Tensor, ...]]) -> None:
        self._chunks = chunks

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The inputs [1, …] of the next one; None after the last."""
        chunk = next(self._chunks, None)
        return None if chunk is None else {chunk_name(j): x.numpy() for j, x in enumerate(chunk)}


@torch.no_grad()
def _inputs(encoder: ChunkEncoder, bank: ClipBank, clips: NDArray[np.intp]) -> Iterator[tuple[Tensor, ...]]:
    """What the network gets of each chunk of some clips, [1, …] each."""
    for samples in scoring_chunks(bank, clips, encoder.settings, ENCODE_BATCH):
        for inputs in zip(*encoder.frontend(samples), strict=True):
            yield tuple(x[None] for x in inputs)
