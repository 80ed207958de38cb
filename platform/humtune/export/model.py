"""One ready-to-run model per machine: its best trial as a folder of graph, settings and card."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from humtune import __version__
from humtune.config import SAMPLE_RATE
from humtune.detector.detector import Detector, load_tensors
from humtune.detector.head import Embeddings
from humtune.errors import HumtuneError
from humtune.evaluation.calibration import threshold_from
from humtune.export.alarms import Alarms, count_alarms
from humtune.export.card import model_card
from humtune.export.choice import left_out_note
from humtune.export.onnx import OPSET, export_onnx, least_samples
from humtune.export.parity import CLIPS, check_parity
from humtune.ledger import Ledger, TrialRecord
from humtune.report.best import Measured
from humtune.report.rows import machine_row
from humtune.runtime.info import CARD, INFO, MODEL, ModelInfo
from humtune.runtime.scorer import Scorer
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import Role


@dataclass(frozen=True)
class Exported:
    """A machine's model, as it lies in its folder."""

    folder: Path
    info: ModelInfo
    alarms: tuple[Alarms, ...]
    size: int  # bytes of the graph
    parity: float  # largest difference to the detector, in the spread of the scores
    left_out: str | None  # a sentence about a better trial that can't be exported


def build_model(
    ledger: Ledger, measured: Measured, folder: Path, *, false_alarms: float
) -> tuple[Exported, dict[str, bytes]]:
    """The model of a machine's best trial, checked against its detector, and the files to write."""
    best, scores, clips = measured.best, measured.scores, measured.clips
    if best is None or scores is None:
        raise HumtuneError(f"{measured.machine}: no trial has run its whole budget yet")
    bank = ledger.bank(measured.machine)
    detector = load_detector(ledger, best, bank)
    held_out = clips.having(Role.HELD_OUT)
    threshold = threshold_from(scores[held_out], false_alarms=false_alarms)
    alarms = count_alarms(clips, scores, threshold.value)
    info = ModelInfo(
        machine=measured.machine,
        score_type=best.best_score,
        threshold=threshold,
        sample_rate=SAMPLE_RATE,
        least_samples=least_samples(best.config.spectrogram),
        search=ledger.name,
        trial=best.id,
        configuration=best.config.model_dump(mode="json"),
        figures=_figures(measured, alarms),
        versions=_versions(),
    )
    graph = export_onnx(detector, info.score_type, _metadata(info))
    few = np.unique(np.linspace(0, len(held_out) - 1, CLIPS).astype(np.intp))
    parity = check_parity(
        Scorer(info, graph),
        detector,
        bank,
        bank.table.having(Role.HELD_OUT)[few],
        recorded=scores[held_out[few]],
        spread=float(scores[clips.role != str(Role.PROBE)].std()),
    )
    exported = Exported(folder, info, tuple(alarms), len(graph), parity, left_out_note(measured))
    card = model_card(
        exported.info, measured, exported.alarms, plan=ledger.plan, parity=parity, left_out=exported.left_out
    )
    files = {MODEL: graph, INFO: info.model_dump_json(indent=1).encode(), CARD: card.encode()}
    return exported, files


def load_detector(ledger: Ledger, record: TrialRecord, bank: ClipBank) -> Detector:
    """A trial's detector with its reference embeddings: read where they were kept, else made again."""
    name = ledger.file(record.id, "detector.pt")
    try:
        detector = Detector.from_bytes(ledger.storage.read(name))
    except FileNotFoundError:
        place = f"{ledger.storage.uri}/{name}"
        raise HumtuneError(f"{place} is missing: the trial's weights are gone") from None
    try:
        content = ledger.storage.read(ledger.file(record.id, "reference.pt"))
    except FileNotFoundError:
        detector.reference = detector.embed(bank, bank.table.having(Role.TRAIN))
    else:
        detector.reference = Embeddings(**load_tensors(content, what="reference"))
    return detector


def _figures(measured: Measured, alarms: list[Alarms]) -> dict[str, float]:
    row = vars(machine_row(measured))
    kinds = ("omega_", "auc_", "pauc", "pseudo")
    figures = {k: float(v) for k, v in row.items() if k.startswith(kinds) and v is not None}
    for part in alarms:
        figures |= part.to_figures()
    return figures


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("torch", "onnx", "onnxruntime")}
    return {"humtune": __version__, **packages, "opset": str(OPSET)}


def _metadata(info: ModelInfo) -> Mapping[str, str]:
    return {
        "machine": info.machine,
        "search": info.search,
        "trial": info.trial,
        "score_type": info.score_type,
        "humtune": __version__,
    }
