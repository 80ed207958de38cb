"""Export every machine of a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from humtune.errors import HumtuneError, UsageError
from humtune.export.blueprint import measure_exportable
from humtune.export.check import Beside
from humtune.export.choice import Chosen, Kind, choose_model
from humtune.export.model import Exported, build_model, check_replaceable, model_files, write_folder
from humtune.export.quantised import in_int8
from humtune.ledger import Ledger
from humtune.metrics.calibration import FALSE_ALARMS
from humtune.names import twin
from humtune.results.students import find_students
from humtune.runtime.info import INFO, INT8, read_info
from humtune.sounds.parallel import tracked


@dataclass(frozen=True)
class Exports:
    """What came of exporting a search's machines, in the order of the plan."""

    models: tuple[Exported, ...]
    skipped: tuple[str, ...]  # a sentence for each machine that has no best trial yet
    failed: tuple[str, ...]  # a sentence for each machine whose model could not be made


def export_search(
    ledger: Ledger,
    out: Path,
    *,
    machines: Sequence[str] | None = None,
    false_alarms: float = FALSE_ALARMS,
    product: Kind | None = None,
    ms: float | None = None,
    int8: bool = False,
) -> Exports:
    """Write each machine's model to `out`/<machine>, and show how far it is.

    It is what `choose_product` takes, or the best single or joined `product`, and scores a clip within `ms`;
    with `int8` a folder in it holds the same model with int8 networks, and stands after it. `false_alarms`
    (0…1) is the share of new normal clips that the threshold may flag. A machine that can't be exported does
    not keep the others from theirs. UsageError for an unknown machine or a folder that holds something else;
    HumtuneError where no machine has a complete trial.
    """
    wanted = _chosen(ledger, machines)
    if not 0 < false_alarms < 1:
        raise UsageError(f"--false-alarms lies between 0 and 1, got {false_alarms:g}")
    if ms is not None and not ms > 0:
        raise UsageError(f"--ms {ms:g}: a clip takes more than 0")
    for machine in wanted:
        check_replaceable(out / machine)
        _check_own(out / machine, ledger)
    models: list[Exported] = []
    skipped: list[str] = []
    failed: list[str] = []
    for machine in tracked(wanted, total=len(wanted), title="exporting"):
        try:
            measured = measure_exportable(ledger, machine)
            if measured.best is None:
                skipped.append("; ".join(measured.notes))
                continue
            place = out / machine
            chosen = choose_model(ledger, measured, place, false_alarms=false_alarms, product=product, ms=ms)
            built, files = _machine(chosen, place, false_alarms=false_alarms, int8=int8)
            write_folder(place, files)
            models += built
        except HumtuneError as error:
            failed.append(str(error))
    if not models and not failed:
        ledger.check_complete()
        missing = "a trial that ran its whole budget"
        raise HumtuneError(f"search '{ledger.name}': no machine has {missing} yet; {'; '.join(skipped)}")
    if not models:
        raise HumtuneError("; ".join(failed))
    return Exports(tuple(models), tuple(skipped), tuple(failed))


def export_machine(
    ledger: Ledger,
    machine: str,
    folder: Path,
    *,
    false_alarms: float = FALSE_ALARMS,
    product: Kind | None = None,
    int8: bool = False,
    keep: bool = False,
) -> Exported:
    """Write one machine's model into a folder of any name; as `export_search` otherwise.

    With `keep` the model that lies there is kept in it, to go back to. HumtuneError where it has no complete
    trial.
    """
    measured = measure_exportable(ledger, machine)
    chosen = choose_model(ledger, measured, folder, false_alarms=false_alarms, product=product)
    models, files = _machine(chosen, folder, false_alarms=false_alarms, int8=int8)
    write_folder(folder, files, keep=keep)
    return models[0]


def _machine(
    chosen: Chosen, folder: Path, *, false_alarms: float, int8: bool
) -> tuple[list[Exported], dict[str, bytes]]:
    """A machine's model, the int8 one after it where that is wanted, and the files of both."""
    ledger, model, graph, plan = chosen.ledger, chosen.model, chosen.graph, chosen.plan
    models, files, beside = [model], {}, [*chosen.beside]
    if int8:
        small, small_graph, small_plan = build_model(
            ledger, in_int8(plan), folder / INT8, false_alarms=false_alarms
        )
        models.append(small)
        beside.insert(0, Beside(f"in int8 (`{INT8}/`)", small.cost, small.info.omega))
        full = Beside("in float32 (the folder above)", model.cost, model.info.omega)
        own = model_files(small, small_graph, small_plan, ledger, beside=[full])
        files = {f"{INT8}/{name}": content for name, content in own.items()}
    return models, files | model_files(model, graph, plan, ledger, beside=beside)


def _check_own(folder: Path, ledger: Ledger) -> None:
    """UsageError where another search's model lies in the place of one, or nobody knows whose."""
    if not (folder / INFO).exists():
        return
    try:
        search = read_info(folder).search
    except UsageError as error:
        why = str(error).rpartition("; ")[0]
        raise UsageError(f"{why}: it may be another search's; choose another --out, or delete it") from error
    students = find_students(ledger)
    if search not in (ledger.name, students and students.name, ledger.plan.asked.taught_by):
        raise UsageError(
            f"{folder}: the model of the search '{search}' lies there; choose another --out, or delete it"
        )


def _chosen(ledger: Ledger, machines: Sequence[str] | None) -> tuple[str, ...]:
    known = tuple(ledger.plan.machines)
    machines = [twin(machine, known) for machine in machines or ()]
    for machine in machines:
        if machine not in known:
            raise UsageError(f"search '{ledger.name}' has no machine '{machine}'; it has {', '.join(known)}")
    return tuple(machines) if machines else known
