"""Export every machine of a search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from humtune.errors import HumtuneError, UsageError
from humtune.export.blueprint import Blueprint, joined, measure_exportable, single
from humtune.export.check import Beside
from humtune.export.model import Exported, build_model, check_replaceable, model_files, write_folder
from humtune.export.quantised import in_int8
from humtune.formatting.text import escaped
from humtune.ledger import Ledger
from humtune.metrics.calibration import FALSE_ALARMS
from humtune.names import command, twin
from humtune.results.ensembles.record import find_ensemble
from humtune.runtime.info import INFO, INT8, read_info
from humtune.sounds.parallel import tracked

Build = Callable[[Blueprint, Path], tuple[Exported, bytes, Blueprint]]


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
    false_alarms: float = FALSE_ALARMS,
    ensemble: bool = False,
    int8: bool = False,
) -> Exports:
    """Write the model of each machine's best exportable trial to `out`/<machine>, and show how far it is.

    With `ensemble` it is the model of the machine's ensemble; with `int8` a folder in it holds the same model
    with int8 networks, and stands after it. `false_alarms` (0…1) is the share of new normal clips that the
    threshold may flag. A machine that can't be exported does not keep the
    others from theirs. UsageError for an unknown machine or a folder that holds something else; HumtuneError
    where no machine has a complete trial, or an ensemble.
    """
    wanted = _chosen(ledger, machines)
    if not 0 < false_alarms < 1:
        raise UsageError(f"--false-alarms lies between 0 and 1, got {false_alarms:g}")
    for machine in wanted:
        check_replaceable(out / machine)
        _check_own(out / machine, ledger)
    build = partial(build_model, ledger, false_alarms=false_alarms)
    models: list[Exported] = []
    skipped: list[str] = []
    failed: list[str] = []
    for machine in tracked(wanted, total=len(wanted), title="exporting"):
        try:
            found = _blueprint(ledger, machine, ensemble=ensemble)
            if isinstance(found, str):
                skipped.append(found)
                continue
            plan, other = found
            built, files = _machine(ledger, plan, out / machine, build=build, int8=int8, other=other)
            write_folder(out / machine, files)
            models += built
        except HumtuneError as error:
            failed.append(str(error))
    if not models and not failed:
        ledger.check_complete()
        missing = "an ensemble" if ensemble else "a trial that ran its whole budget"
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
    ensemble: bool = False,
    int8: bool = False,
    keep: bool = False,
) -> Exported:
    """Write one machine's model into a folder of any name; as `export_search` otherwise.

    With `keep` the model that lies there is kept in it, to go back to. HumtuneError where it has no complete
    trial, or no ensemble.
    """
    found = _blueprint(ledger, machine, ensemble=ensemble)
    if isinstance(found, str):
        raise HumtuneError(found)
    build = partial(build_model, ledger, false_alarms=false_alarms)
    models, files = _machine(ledger, found[0], folder, build=build, int8=int8, other=None)
    write_folder(folder, files, keep=keep)
    return models[0]


def _machine(
    ledger: Ledger, plan: Blueprint, folder: Path, *, build: Build, int8: bool, other: Blueprint | None
) -> tuple[list[Exported], dict[str, bytes]]:
    """A machine's model, the int8 one after it where that is wanted, and the files of both."""
    model, graph, plan = build(plan, folder)
    models, files, beside = [model], {}, []
    if int8:
        small, small_graph, small_plan = build(in_int8(plan), folder / INT8)
        models.append(small)
        beside.append(Beside(f"in int8 (`{INT8}/`)", small.cost, small.info.omega))
        full = Beside("in float32 (the folder above)", model.cost, model.info.omega)
        own = model_files(small, small_graph, small_plan, ledger, beside=[full])
        files = {f"{INT8}/{name}": content for name, content in own.items()}
    if other is not None:
        single_model, *_ = build(other, folder)
        name = f"the best single, {escaped(other.name)} {other.score_type}"
        beside.append(Beside(name, single_model.cost, single_model.info.omega))
    return models, files | model_files(model, graph, plan, ledger, beside=beside)


def _blueprint(ledger: Ledger, machine: str, *, ensemble: bool) -> tuple[Blueprint, Blueprint | None] | str:
    """What to build and what to compare it with, or a sentence about what is missing."""
    best = measure_exportable(ledger, machine)
    if best.best is None:
        return "; ".join(best.notes)
    if not ensemble:
        return single(ledger, best), None
    record = find_ensemble(ledger, machine)
    if record is None:
        ensembles = command("ensemble", ledger.name, storage=ledger.storage.option)
        return f"{machine}: no ensemble yet; {ensembles} makes it"
    return joined(ledger, record), single(ledger, best)


def _check_own(folder: Path, ledger: Ledger) -> None:
    """UsageError where another search's model lies in the place of one, or nobody knows whose."""
    if not (folder / INFO).exists():
        return
    try:
        search = read_info(folder).search
    except UsageError as error:
        why = str(error).rpartition("; ")[0]
        raise UsageError(f"{why}: it may be another search's; choose another --out, or delete it") from error
    if search != ledger.name:
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
