"""export: one ready-to-run model per machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.options import DEFAULT_STORAGE, SearchName, StorageUri, loading, read_share
from humtune.errors import UsageError
from humtune.names import command, console, shown, split_names

if TYPE_CHECKING:
    from humtune.export.search import Exports
    from humtune.ledger import Ledger


def export(
    name: SearchName,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets a folder per machine.")] = Path("models"),
    machines: Annotated[str | None, typer.Option(help="Only these, with commas between them.")] = None,
    false_alarms: Annotated[
        str, typer.Option(metavar="SHARE", help="Of normal recordings, that the threshold may flag.")
    ] = "10%",
    ms: Annotated[
        float | None,
        typer.Option(metavar="TIME", help="Of one core here, that a clip of 10 s may take at most."),
    ] = None,
    single: Annotated[
        bool, typer.Option("--single", help="The best detector alone, whatever several joined are worth.")
    ] = False,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="The machine's ensemble, whatever it costs.")
    ] = False,
    distilled: Annotated[
        bool, typer.Option("--distilled", help="The ensemble's student, as `humtune distill` taught it.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="The same in int8 too: smaller, faster; scores all clips once.")
    ] = False,
    register: Annotated[
        bool, typer.Option(help="Also in MLflow's registry, as SEARCH-MACHINE; the better one is champion.")
    ] = True,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Write what is best of each machine as one ONNX file, with its threshold and a model card.

    That is the best detector, or several joined in one file where they are surely better, or a student, of
    what scores a clip within --ms. --single, --ensemble and --distilled name one.
    Example: humtune export first --out models --ms 20
    """
    with loading():
        from humtune.ledger import Ledger
        from humtune.storage import Storage

    ledger = Ledger.open(Storage(storage), name)  # before the slow imports: misspelt words fail at once
    rate = read_share(false_alarms)
    with loading():
        from humtune.export.search import export_search
        from humtune.results.students import open_students

    flags = {"--single": single, "--ensemble": ensemble, "--distilled": distilled}
    asked = [flag for flag, is_set in flags.items() if is_set]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)}: a model is the one or the other; leave one out")
    if distilled:
        ledger = open_students(ledger)
    exports = export_search(
        ledger,
        out,
        machines=split_names(machines),
        false_alarms=rate,
        product="ensemble" if ensemble else "single" if asked else None,
        ms=ms,
        int8=int8,
    )
    _print(exports)
    complete = _register(ledger, exports) if register else True
    raise typer.Exit(0 if complete and not exports.failed else 1)


def _register(ledger: "Ledger", exports: "Exports") -> bool:
    """Put the models into MLflow's registry and say what became of each; whether all are in it."""
    from humtune.errors import HumtuneError
    from humtune.ledger import Ledger
    from humtune.runtime.info import FULL
    from humtune.sounds.parallel import tracked
    from humtune.tracking.registry import register

    models, complete = [m for m in exports.models if m.info.precision == FULL], True
    for model in tracked(models, total=len(models), title="registering"):
        try:
            typer.echo(str(register(Ledger(ledger.storage, model.info.search), model.folder, model.scores)))
        except HumtuneError as error:
            complete = False
            typer.echo(f"{model.info.machine}: not registered: {error}", err=True)
    return complete


def _print(exports: "Exports") -> None:
    from rich import box
    from rich.table import Table

    from humtune.export.check import SECONDS
    from humtune.formatting.text import percent

    screen, errors = console(), console(stderr=True)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for name in ("machine", "trial", "score", "net"):
        table.add_column(name, overflow="fold")
    for column in ("Ω select", "cross-fitted", "threshold", "MB", "ms"):
        table.add_column(column, justify="right")
    for model in exports.models:
        info = model.info
        omegas = (info.metrics.get(name) for name in ("omega_select_official", "omega_cross_fitted"))
        table.add_row(
            info.machine,
            info.trial,
            info.score_type,
            info.precision,
            *map(percent, omegas),
            f"{info.threshold.value:.4g}",
            f"{model.cost.size / 1e6:.1f}",
            f"{1e3 * model.cost.seconds:.0f}",
        )
    screen.print(table)
    screen.print(f"ms: one core, a clip of {SECONDS:g} s")
    notes = [f"{m.info.machine}: {m.why}" for m in exports.models if m.why]
    notes += [f"{m.info.machine}: {m.info.threshold.note}" for m in exports.models if m.info.threshold.note]
    notes += [f"{m.info.machine}: {m.left_out}" for m in exports.models if m.left_out]
    for line in notes:
        screen.print(shown(line), soft_wrap=True)
    for line in (*exports.skipped, *exports.failed):
        errors.print(shown(line), soft_wrap=True)
    next_one = command("score", exports.models[0].folder, "some.wav")
    screen.print(f"{next_one}   the next thing to try", soft_wrap=True)
