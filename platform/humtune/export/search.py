"""Export every machine of a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from humtune.ensemble.record import find_ensemble
from humtune.errors import HumtuneError, UsageError
from humtune.evaluation.calibration import FALSE_ALARMS
from humtune.export.blueprint import Blueprint, single
from humtune.export.choice import measure_exportable
from humtune.export.ensemble import joined
from humtune.export.folders import check_replaceable, write_folder
from humtune.export.model import Exported, build_model
from humtune.ledger import Ledger
from humtune.sounds.parallel import tracked


@dataclass(frozen=True)
class Exports:
    """What came of exporting a search's machines, in the order of the plan."""

    models: tuple[Exported, ...]
    skipped: tuple[str, ...]  # a sentence for each machine that has no best trial, or no ensemble, yet
    failed: tuple[str, ...]  # a sentence for each machine whose model could not be made


def export_search(
    ledger: Ledger,
    out: Path,
    *,
    machines: Sequence[str] | None = None,
    false_alarm_rate: float = FALSE_ALARMS,
    ensemble: bool = False,
) -> Exports:
    """Write the model of each machine's best exportable trial to `out`/<machine>, and show how far it is.

    With `ensemble` it is the model of the machine's ensemble. `false_alarm_rate` (0…1) is the share of
    held-out normal clips that the threshold may flag. A machine that can't be exported does not keep the
    others from it. UsageError for an unknown machine or a folder that holds something else; HumtuneError
    where no machine has a complete trial, or an ensemble.
    """
    wanted = _chosen(ledger, machines)
    if not 0 < false_alarm_rate < 1:
        raise UsageError(f"--false-alarm-rate lies between 0 and 1, got {false_alarm_rate:g}")
    for machine in wanted:
        check_replaceable(out / machine)
    models: list[Exported] = []
    skipped: list[str] = []
    failed: list[str] = []
    for machine in tracked(wanted, total=len(wanted), title="exporting"):
        try:
            found = _blueprint(ledger, machine, ensemble=ensemble)
            if isinstance(found, str):
                skipped.append(found)
                continue
            plan, beside = found
            exported, files = build_model(
                ledger, plan, out / machine, false_alarms=false_alarm_rate, beside=beside
            )
            write_folder(exported.folder, files)
            models.append(exported)
        except HumtuneError as error:
            failed.append(str(error))
    if not models and not failed:
        missing = "an ensemble" if ensemble else "a trial that ran its whole budget"
        raise HumtuneError(f"search {ledger.name!r}: no machine has {missing} yet; {'; '.join(skipped)}")
    if not models:
        raise HumtuneError("; ".join(failed))
    return Exports(tuple(models), tuple(skipped), tuple(failed))


def _blueprint(ledger: Ledger, machine: str, *, ensemble: bool) -> tuple[Blueprint, Blueprint | None] | str:
    """What to build and what to compare it with, or a sentence about what is missing."""
    best = measure_exportable(ledger, machine)
    if best.best is None:
        return "; ".join(best.notes)
    if not ensemble:
        return single(ledger, best), None
    record = find_ensemble(ledger, machine)
    if record is None:
        return f"{machine}: no ensemble yet; humtune ensemble {ledger.name} makes it"
    return joined(ledger, record), single(ledger, best)


def _chosen(ledger: Ledger, machines: Sequence[str] | None) -> tuple[str, ...]:
    known = ledger.plan.machines
    for machine in machines or ():
        if machine not in known:
            raise UsageError(f"search {ledger.name!r} has no machine {machine!r}; it has {', '.join(known)}")
    return tuple(machines) if machines else known
