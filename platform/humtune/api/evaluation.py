"""Evaluate anomaly scores against the truth: a folder of score files, or arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from humtune.dcase.evaluate import Evaluation, PartFigures, evaluate_folder
from humtune.errors import UsageError
from humtune.metrics.cells import Cells
from humtune.metrics.omega import evaluate as figures
from humtune.sounds.table import UNKNOWN, ClipTable, Role

MACHINE = "machine"  # whose clips arrays are of


def evaluate(
    scores: str | Path | ArrayLike,
    truth: str | Path | ArrayLike | None = None,
    *,
    machines: Sequence[str] | None = None,
    section: ArrayLike | None = None,
    domain: ArrayLike | None = None,
) -> Evaluation:
    """AUC and pAUC of each section and domain, and Ω over all of them; `to_frame()` is the table.

    `scores` are a folder of the challenge's score files, of all or some `machines`, anyone's; `truth` then is
    a folder of ground truth or the data set, or None where the files' clips tell their labels by their names.
    Or they are an array [N], higher is stranger, and `truth` has a label [N] for each, 0 normal and 1
    anomalous; `section` [N] and `domain` [N] (0 source, 1 target) may say more. UsageError for scores that
    are missing, HumtuneError for one that is not finite or a section and domain that lacks one of the labels.
    """
    if isinstance(scores, str | Path):
        if truth is not None and not isinstance(truth, str | Path):
            raise UsageError("truth: of a folder of score files it is a folder too")
        return evaluate_folder(Path(scores), truth=Path(truth) if truth else None, machines=machines)
    if truth is None or isinstance(truth, str | Path):
        raise UsageError("truth: of an array of scores it is an array of labels, 0 normal and 1 anomalous")
    values = np.asarray(scores, np.float64)
    columns = {
        "label": np.asarray(truth, np.int64),
        "section": np.zeros(values.shape, np.int64) if section is None else np.asarray(section),
        "domain": np.full(values.shape, UNKNOWN) if domain is None else np.asarray(domain),
    }
    for name, column in columns.items():
        if values.ndim != 1 or column.shape != values.shape:
            raise UsageError(
                f"scores of shape {list(values.shape)}, {name} of {list(column.shape)}: want [N]"
            )
    if not np.isin(columns["label"], (0, 1)).all():
        raise UsageError("truth: its labels should be 0, normal, or 1, anomalous")
    table = ClipTable.from_columns(
        machine=MACHINE,
        name=[f"clip {i}" for i in range(len(values))],
        part="dev",
        split="test",
        attributes="",
        role=str(Role.SELECT),
        **{name: column.tolist() for name, column in columns.items()},
    )
    return Evaluation((PartFigures(MACHINE, "dev", figures(values, Cells.of(table, Role.SELECT)), ()),), ())
