"""distill: a machine's ensemble taught to one small network."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.options import DEFAULT_STORAGE, SearchName, StorageUri, loading
from humtune.names import command, console, shown, split_names

if TYPE_CHECKING:
    from humtune.ledger import Ledger


def distill(
    name: SearchName,
    machines: Annotated[
        str | None, typer.Option("--machines", "--machine", help="Only these, with commas between them.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=2, help="Of a student; 40.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Of a student, such as backbone.width=0.5."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Students of a machine; the best one counts.")] = 1,
    lessons: Annotated[
        int, typer.Option(min=1, help="Clips of each kind, disturbed and mixed, to make and have scored.")
    ] = 300,
    as_name: Annotated[
        str | None, typer.Option("--name", help="What to call the students' search; NAME-distilled.")
    ] = None,
    slots: Annotated[int, typer.Option(min=0, help="Students at a time; 0: as many as fit.")] = 0,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster to run on; `auto` on one of its nodes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Teach each machine's ensemble to one small network, and tell what that is worth and saves.

    Students are trials of a search of their own, NAME-distilled, which every other command knows; the same
    call goes on with what was killed. `humtune export NAME --distilled` hands them over.
    Example: humtune distill first --machines fan --seeds 3
    """
    with loading():
        from humtune.ledger import Ledger
        from humtune.search.space.overrides import read_settings
        from humtune.storage import Storage

    ledger = Ledger.open(Storage(storage), name)
    said = read_settings(settings or [])
    with loading():
        from humtune.distillation.begin import begin
        from humtune.distillation.worth import measure_students
        from humtune.search.run import run
        from humtune.search.stop import Interruption

    students, skipped = begin(
        ledger,
        name=as_name,
        machines=split_names(machines),
        epochs=epochs,
        settings=said,
        seeds=seeds,
        lessons=lessons,
    )
    with Interruption() as interruption:
        studies = run(students, address=address, slots=slots, interruption=interruption)
    if interruption.asked:
        left = sum(study.left for study in studies.machines.values())
        if left:
            console().print(f"{left} left: {students.resume}", soft_wrap=True)
        raise typer.Exit(interruption.exit_code)
    students.check_complete()
    failed = measure_students(ledger, students)
    _print(students, [*skipped, *failed], as_json=as_json)
    raise typer.Exit(1 if failed else 0)


def _print(students: "Ledger", sentences: list[str], *, as_json: bool) -> None:
    from humtune.report.students import LEGEND, to_table
    from humtune.results.students import comparisons

    found = comparisons(students)
    if as_json:
        machines = {one.machine: one.model_dump(mode="json", exclude={"machine"}) for one in found}
        typer.echo(
            json.dumps({"search": students.name, "machines": machines, "skipped": sentences}, indent=1)
        )
        return
    screen, errors = console(), console(stderr=True)
    if found:
        screen.print(to_table(found))
        for line in LEGEND:
            screen.print(line, style="dim", soft_wrap=True)
    for line in sentences:
        errors.print(shown(line), soft_wrap=True)
    export = command("export", students.name, storage=students.storage.option, out="models")
    screen.print(f"{export}   one small model per machine", soft_wrap=True)
