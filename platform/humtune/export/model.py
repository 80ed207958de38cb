"""One ready-to-run model per machine: a folder of graph, settings and card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from humtune import __version__
from humtune.config import SAMPLE_RATE
from humtune.evaluation.calibration import Fit, threshold_from
from humtune.evaluation.cells import Array
from humtune.export.alarms import gather_evidence
from humtune.export.blueprint import Blueprint
from humtune.export.card import model_card
from humtune.export.cost import Beside, Cost, measure_cost
from humtune.export.graph import least_samples
from humtune.export.onnx import OPSET, export_onnx
from humtune.export.parity import CLIPS, INT8_TOLERANCE, TOLERANCE, check_parity
from humtune.formatting.html import to_html
from humtune.ledger import Ledger
from humtune.results.rows import machine_row
from humtune.runtime.info import CARD, FULL, INFO, MODEL, PAGE, Alarms, ModelInfo
from humtune.runtime.scorer import Scorer
from humtune.sounds.table import Role


@dataclass(frozen=True, eq=False)
class Exported:
    """A machine's model, as it lies in its folder."""

    folder: Path
    info: ModelInfo
    alarms: tuple[Alarms, ...]
    cost: Cost
    parity: float  # largest difference to the detectors, in the spread of the scores
    scores: Array  # [N], of the ledger's scored clips
    left_out: str | None  # a sentence about a better trial that can't be exported


def build_model(
    ledger: Ledger, plan: Blueprint, folder: Path, *, false_alarms: float, fit: Fit
) -> tuple[Exported, bytes]:
    """A machine's model, checked against its detectors, and its graph."""
    measured, scores = plan.measured, plan.scores
    clips, held_out = measured.clips, measured.clips.having(Role.HELD_OUT)
    threshold = threshold_from(scores[held_out], false_alarms=false_alarms, fit=fit)
    kept_out = plan.bank.table.having(Role.HELD_OUT)
    usual = int(np.median(plan.bank.lengths[kept_out]))
    evidence = gather_evidence(clips, scores, clip_samples=usual)
    alarms = evidence.alarms(threshold.value)
    info = ModelInfo(
        machine=measured.machine,
        score_type=plan.score_type,
        precision=plan.precision,
        threshold=threshold,
        sample_rate=SAMPLE_RATE,
        channel=ledger.plan.asked.channel,
        least_samples=least_samples(plan.members),
        search=ledger.name,
        trial=plan.name,
        configuration=plan.configuration,
        figures=_figures(plan, alarms),
        evidence=evidence,
        versions=_versions(),
    )
    graph = export_onnx(plan.members, _metadata(info))
    scorer = Scorer(info, graph)
    few = np.unique(np.linspace(0, len(held_out) - 1, CLIPS).astype(np.intp))
    parity = check_parity(
        scorer,
        plan.members,
        plan.bank,
        kept_out[few],
        recorded=scores[held_out[few]],
        spread=float(scores[clips.role != str(Role.PROBE)].std()),
        tolerance=TOLERANCE if plan.precision == FULL else INT8_TOLERANCE,
    )
    cost = measure_cost(scorer, graph)
    return Exported(folder, info, alarms, cost, parity, scores, plan.left_out), graph


def model_files(
    model: Exported, graph: bytes, plan: Blueprint, ledger: Ledger, *, beside: Sequence[Beside] = ()
) -> dict[str, bytes]:
    """What lies in a model's folder; models `beside` it stand with it on its card."""
    own = Beside("this model", model.cost, model.info.omega)
    card = model_card(model.info, plan, model.alarms, [own, *beside], ledger=ledger.plan, parity=model.parity)
    info = model.info.model_dump_json(indent=1)
    return {MODEL: graph, INFO: info.encode(), CARD: card.encode(), PAGE: to_html(card, {}).encode()}


def _figures(plan: Blueprint, alarms: Sequence[Alarms]) -> dict[str, float]:
    row = vars(machine_row(plan.measured))
    kinds = ("omega_", "auc_", "pauc", *(["pseudo"] if plan.precision == FULL else []))
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
