"""One ready-to-run model per machine: a folder of graph, settings and card.

It is written whole or not at all, and never over what is no model.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from humtune import __version__
from humtune.config import SAMPLE_RATE
from humtune.detectors.graph_network import OPSET
from humtune.drafts import drafted, replace_folder, write_through
from humtune.errors import UsageError
from humtune.export.blueprint import Blueprint
from humtune.export.card import model_card
from humtune.export.check import CLIPS, INT8_TOLERANCE, TOLERANCE, Beside, Cost, check_parity, clip_cost
from humtune.export.evidence import gather_evidence, score_left_out
from humtune.export.graph import least_samples
from humtune.export.healthy import healthy_files
from humtune.export.onnx import export_onnx
from humtune.export.windows import in_windows, window_of
from humtune.formatting.text import to_html
from humtune.ledger import Ledger
from humtune.metrics.cells import Array
from humtune.names import command, shown
from humtune.results.rows import machine_row
from humtune.runtime.before import BEFORE, keep_before
from humtune.runtime.healthy import HEALTHY
from humtune.runtime.info import (
    CARD,
    FULL,
    INFO,
    INT8,
    MODEL,
    NEEDS,
    PAGE,
    REQUIREMENTS,
    Alarms,
    ModelInfo,
    read_info,
)
from humtune.runtime.promises import HealthyScores
from humtune.runtime.scorer import Scorer
from humtune.sounds.table import ClipTable, Role

logger = logging.getLogger(__name__)

FEW = 20  # scored clips: fewer may be alike by chance


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
    why: str | None = None  # it was chosen of the machine's products


def build_model(
    ledger: Ledger, plan: Blueprint, folder: Path, *, false_alarms: float
) -> tuple[Exported, bytes, Blueprint]:
    """A machine's model, checked against its detectors, its graph, and the plan with the model's scores."""
    window = window_of(plan.members, plan.bank.lengths[plan.bank.table.having(Role.HELD_OUT)])
    left_out = score_left_out(plan, window=window)
    describe = partial(_describe, ledger, window=window, left_out=left_out, false_alarms=false_alarms)
    info = describe(plan)
    graph = export_onnx(plan.members, _metadata(info))
    scorer = Scorer(info, graph)
    clips, scores = plan.measured.clips, plan.scores
    held_out, kept_out = clips.having(Role.HELD_OUT), plan.bank.table.having(Role.HELD_OUT)
    few = np.unique(np.linspace(0, len(held_out) - 1, CLIPS).astype(np.intp))
    parity = check_parity(
        scorer,
        plan.members,
        plan.bank,
        kept_out[few],
        recorded=scores[held_out[few]],
        spread=_spread(clips, scores),
        tolerance=TOLERANCE if plan.precision == FULL else INT8_TOLERANCE,
    )
    plan = in_windows(plan, scorer)
    info = describe(plan)
    cost = clip_cost(graph, window)
    alarms = info.kept_evidence().alarms(info.threshold.value)
    return Exported(folder, info, alarms, cost, parity, plan.scores, plan.left_out), graph, plan


def _spread(clips: ClipTable, scores: Array) -> float:
    """How far scores [N] differ, to hold a difference against; of a handful of clips, with their probes."""
    recorded = clips.role != str(Role.PROBE)
    return float(scores[recorded].std() if np.count_nonzero(recorded) >= FEW else scores.std())


def _describe(
    ledger: Ledger, plan: Blueprint, *, window: int, left_out: HealthyScores, false_alarms: float
) -> ModelInfo:
    """What stands in the model.json of a blueprint, by the scores that it has."""
    measured = plan.measured
    evidence = gather_evidence(plan, left_out)
    threshold = evidence.threshold(false_alarms)
    alarms = evidence.alarms(threshold.value)
    return ModelInfo(
        machine=measured.machine,
        score_type=plan.score_type,
        precision=plan.precision,
        threshold=threshold,
        sample_rate=SAMPLE_RATE,
        channel=ledger.plan.asked.channel,
        least_samples=least_samples(plan.members),
        window=window,
        search=ledger.name,
        trial=plan.name,
        configuration=plan.configuration,
        metrics=_metrics(plan, alarms),
        evidence=evidence,
        versions=_versions(),
    )


def model_files(
    model: Exported, graph: bytes, plan: Blueprint, ledger: Ledger, *, beside: Sequence[Beside] = ()
) -> dict[str, bytes]:
    """What lies in a model's folder; models `beside` it stand with it on its card."""
    own = Beside("this model", model.cost, model.info.omega)
    costs, where = [own, *beside], model.folder
    card = model_card(
        model.info, plan, model.alarms, costs, folder=where, ledger=ledger.plan, parity=model.parity
    )
    info = model.info.model_dump_json(indent=1)
    needs = "".join(f"{package}=={version(package)}\n" for package in NEEDS)
    texts = {INFO: info, CARD: card, PAGE: to_html(card, {}), REQUIREMENTS: needs}
    return {MODEL: graph, **{name: text.encode() for name, text in texts.items()}, **healthy_files(plan.bank)}


def _metrics(plan: Blueprint, alarms: Sequence[Alarms]) -> dict[str, float]:
    metrics = machine_row(plan.measured).to_fractions()
    metrics.pop("false_alarms", None)  # the alarms have them by domain
    if plan.precision != FULL:
        metrics.pop("pseudo", None)  # of the trial's own network
    for part in alarms:
        metrics |= part.to_metrics()
    return metrics


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


def check_replaceable(folder: Path) -> None:
    """UsageError where something else than a model lies in the place of one."""
    if folder.is_dir():
        own = {MODEL, INFO, CARD, PAGE, REQUIREMENTS, HEALTHY, INT8, BEFORE}
        others = sorted({entry.name for entry in folder.iterdir()} - own)
        if others:
            raise UsageError(
                f"{folder}: holds {others[0]}, which is no part of a model; choose another --out"
            )
    elif folder.exists():
        raise UsageError(f"{folder}: a file lies where the model's folder goes; choose another --out")


def write_folder(folder: Path, files: Mapping[str, bytes], *, keep: bool = False) -> None:
    """Write a folder of files by way of a draft beside it, in the place of what was there.

    With `keep` the model there is kept in it, to go back to. A warning names new healthy recordings that its
    threshold was chosen by.
    """
    check_replaceable(folder)
    gone = list(_recalibrations(folder))
    try:
        with drafted(folder) as draft:
            for name, content in files.items():
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                write_through(draft / name, content)
            if keep:
                keep_before(folder, draft)
            replace_folder(draft, folder)
    except OSError as error:
        raise UsageError(f"{folder}: can't be written ({error.strerror or error})") from error
    for sentence in gone:
        logger.warning(sentence)


def _recalibrations(folder: Path) -> Iterator[str]:
    """What is lost of the thresholds that were chosen after the export of the models in a folder."""
    for place in (folder, folder / INT8):
        try:
            info = read_info(place)
        except UsageError:  # no model, or one that can't be read
            continue
        if info.recalibrations:
            healthy, wanted = info.recalibrations[-1].recordings, f"{100 * info.threshold.false_alarms:g}%"
            again = command("threshold", place, **{"healthy": healthy, "false-alarms": wanted})
            yield (
                f"{place}: its threshold by {shown(healthy)} went with the model that was there; "
                f"{again} chooses the new one's by them"
            )
