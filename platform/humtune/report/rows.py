"""Row: a line of the report's table, one per machine and one over all of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from humtune.evaluation.metrics import Figures, pool
from humtune.evaluation.selection import CrossFitted, cross_fit_machines
from humtune.ledger import TrialState
from humtune.report.best import Measured

ALL = "all"

_FRACTIONS = ("omega_", "auc_", "pauc", "pseudo", "false_alarms")


@dataclass(frozen=True)
class Row:
    """One machine's best configuration and its figures, fractions 0…1; None where there is none."""

    machine: str
    trial: str | None = None
    n_fft: int | None = None
    chunk_frames: int | None = None
    n_mels: int | None = None  # None for the linear bins too
    db: bool | None = None
    head: str | None = None
    mu: float | None = None  # of a variational head, as the next two
    sigma2: float | None = None
    beta_class: float | None = None
    score: str | None = None
    judged_by: str | None = None  # what chose trial and score: omega or pseudo
    pseudo: float | None = None  # pseudo-Ω: held-out clips against probes
    omega_cross_fitted: float | None = None  # official, selecting clips that did not choose
    omega_cross_fitted_spread: float | None = None
    omega_select_official: float | None = None  # the labelled dev clips; those that chose, if Ω did
    omega_select_paper: float | None = None
    omega_eval_official: float | None = None  # test clips that are only reported
    omega_eval_paper: float | None = None
    auc_source: float | None = None  # selecting clips, as the next two
    auc_target: float | None = None
    pauc: float | None = None
    false_alarms: float | None = None  # of selecting normals, with the threshold from held-out clips
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    seconds: float = 0.0  # of work, all trials
    note: str = ""

    def to_percent(self) -> dict[str, Any]:
        """The row by plain column names, with every fraction in percent."""
        return {
            name: round(100 * value, 4) if value is not None and name.startswith(_FRACTIONS) else value
            for name, value in asdict(self).items()
        }


def machine_row(measured: Measured) -> Row:
    """The row of one machine; without a complete trial it holds the counts and a note."""
    configuration: dict[str, Any] = {}
    if best := measured.best:
        picture, head = best.config.spectrogram, best.config.head
        configuration = {
            "trial": best.id,
            "n_fft": picture.n_fft,
            "chunk_frames": picture.chunk_frames,
            "n_mels": picture.n_mels,
            "db": picture.db,
            "head": head.kind,
            **{name: getattr(head, name, None) for name in ("mu", "sigma2", "beta_class")},
            "score": best.best_score,
            "judged_by": best.judged_by,
            "pseudo": best.pseudo.get(best.best_score),
            "false_alarms": measured.false_alarms,
        }
    return Row(
        machine=measured.machine,
        **configuration,
        **_figures(measured.cross_fitted, measured.select, measured.report),
        **_work([measured]),
        note="; ".join(measured.notes),
    )


def overall_row(machines: Sequence[Measured]) -> Row:
    """The row over all machines, as the challenge averages: harmonic means over all values of all sections.

    The cross-fitted Ω is, for each split, the harmonic mean of the machines' Ω; its mean and spread over the
    splits follow from that. Machines without a figure are left out of it, and the note names them.
    """
    selects = [m.select for m in machines if m.select]
    reports = [m.report for m in machines if m.report]
    fitted = [m.cross_fitted for m in machines if m.cross_fitted]
    return Row(
        machine=ALL,
        **_figures(
            cross_fit_machines(fitted) if fitted else None,
            pool(selects) if selects else None,
            pool(reports) if reports else None,
        ),
        **_work(machines),
        note="; ".join(_left_out(machines)),
    )


def _figures(
    cross_fitted: CrossFitted | None, select: Figures | None, report: Figures | None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if cross_fitted:
        found |= {"omega_cross_fitted": cross_fitted.mean, "omega_cross_fitted_spread": cross_fitted.spread}
    if select:
        found |= {
            "omega_select_official": select.omega_official,
            "omega_select_paper": select.omega_paper,
            "auc_source": select.auc_source,
            "auc_target": select.auc_target,
            "pauc": select.pauc,
        }
    if report:
        found |= {"omega_eval_official": report.omega_official, "omega_eval_paper": report.omega_paper}
    return {name: float(value) for name, value in found.items() if value == value}  # NaN: no such domain


def _work(machines: Sequence[Measured]) -> dict[str, Any]:
    records = [r for m in machines for r in m.records]
    states = [r.state for r in records]
    return {
        "complete": states.count(TrialState.COMPLETE),
        "pruned": states.count(TrialState.PRUNED),
        "failed": states.count(TrialState.FAILED),
        "seconds": sum(r.seconds for r in records),
    }


def _left_out(machines: Sequence[Measured]) -> list[str]:
    kinds = (("Ω", "select"), ("cross-fitted Ω", "cross_fitted"), ("Ω on eval", "report"))
    notes = []
    for label, name in kinds:
        without = [m.machine for m in machines if getattr(m, name) is None]
        if without and len(without) < len(machines):
            notes.append(f"{label} over all is without {', '.join(without)}")
    return notes
