"""search, resume, stop: start a search, go on with it, end it."""

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.cost import print_cost
from humtune.cli.grown import print_brought, print_grown, read_labels
from humtune.cli.options import (
    DEFAULT_STORAGE,
    Channel,
    ReviewedFile,
    SearchName,
    StorageUri,
    loading,
    read_channel,
)
from humtune.cli.running import run_and_tell
from humtune.names import command, console, count, split_names

if TYPE_CHECKING:
    from humtune.ledger import Ledger

Address = Annotated[str | None, typer.Option(help="A Ray cluster to run on; `auto` on one of its nodes.")]
Slots = Annotated[int, typer.Option(min=0, help="Trials at a time; 0: as many as fit.")]
Trials = Annotated[int | None, typer.Option(min=0, help="Trials per machine; of a grid or list, the first.")]
SharedTrials = Annotated[
    int | None, typer.Option(min=0, help="Trials that train one network on all machines together.")
]
Hours = Annotated[
    float | None,
    typer.Option(help="By the clock, that all of it may take, over all runs; the ensembles are in it."),
]
Holdout = Annotated[
    float, typer.Option(help="Share of the labelled clips that nothing is chosen by, to be reported on.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Fix a setting whatever the space says, such as training.epochs=5."
    ),
]


def search(
    space: Annotated[
        str, typer.Argument(metavar="SPACE", help="A YAML file, or a name: quick, paper, paper/mu_sigma2.")
    ],
    data: Annotated[Path, typer.Option(help="Folder of recordings, in the DCASE layout.")],
    name: Annotated[str | None, typer.Option(help="What to call the search; the space's name.")] = None,
    machines: Annotated[str | None, typer.Option(help="Only these, with commas between them.")] = None,
    trials: Trials = None,
    shared_trials: SharedTrials = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Times that each point of a grid or list is run.")
    ] = None,
    hours: Hours = None,
    channel: Channel = None,
    labels: Annotated[
        str | None,
        typer.Option(help="What classes are: auto (sections, else attributes), section, attributes or both."),
    ] = None,
    settings: Settings = None,
    holdout: Holdout = 0.0,
    earlier: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="An earlier search whose trials this one starts from."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    cpus: Annotated[float, typer.Option(min=0.1, help="Processors per trial.")] = 1.0,
    gpus: Annotated[float | None, typer.Option(min=0, help="GPUs per trial, also parts of one.")] = None,
    slots: Slots = 0,
    hours_per_trial: Annotated[
        float, typer.Option(help="Work after which a trial has failed, in hours.")
    ] = 24.0,
    checkpoint_seconds: Annotated[
        float, typer.Option(min=0, help="Seconds of work that a kill may cost a trial, at most.")
    ] = 5.0,
    precision: Annotated[
        str, typer.Option(help="Of the network: fp32, bf16, or auto, which is bf16 on a GPU.")
    ] = "auto",
    compiled: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Compile the network; unsaid, where it is faster."),
    ] = None,
    address: Address = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would cost.")] = False,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Search for each machine's best detector.

    Example: humtune search quick --data recordings --machines fan,bearing --trials 20
    Example: humtune search systems/tiny --data recordings --hours 2
    """
    began = monotonic()
    with loading():
        from humtune.search.space import read_space
        from humtune.search.space.overrides import override, read_settings
        from humtune.storage import Storage

        space_name, chosen = read_space(space)  # before more imports: a misspelt space fails at once
        read = read_channel(channel)
        said = read_settings([*(settings or []), *([f"labels={labels}"] if labels else [])])
        chosen = override(chosen, trials=trials, shared_trials=shared_trials, seeds=seeds, settings=said)
        from humtune.ledger import Ledger
        from humtune.plan import Resources
        from humtune.search import run
        from humtune.search.clock import check_hours
        from humtune.search.connection import check_address, check_device, check_temporary
        from humtune.search.space import planned_space
        from humtune.search.space.fit import remarks
        from humtune.search.warm import notes

    check_hours(hours)
    place = Storage(storage)
    wanted = split_names(machines)
    check_device(device, address)
    check_address(address)
    check_temporary(address)
    resources = Resources(
        device=device,
        cpus=cpus,
        gpus=gpus,
        hours_per_trial=hours_per_trial,
        checkpoint_seconds=checkpoint_seconds,
        precision=precision,
        compiled=compiled,
    )
    if dry_run:
        print_cost(chosen, data, place, wanted, resources, slots, holdout, read)
        return
    search_name = name or run.free_name(place, space_name)
    ledger = run.prepare(
        chosen,
        name=search_name,
        data=data,
        storage=place,
        machines=wanted,
        resources=resources,
        holdout=holdout,
        channel=read,
        hours=hours,
        earlier=Ledger.open(place, earlier) if earlier else None,
    )
    plan = ledger.plan
    left_out = [f"left out: {kind}: {why}" for kind, why in plan.left_out.items()]
    for line in (*notes(ledger), *left_out, *remarks(planned_space(plan), plan.studies)):
        console().print(line, soft_wrap=True)
    run_and_tell(ledger, address, slots, is_new=True, began=began)


def resume(
    name: SearchName,
    trials: Trials = None,
    shared_trials: SharedTrials = None,
    confirm: Annotated[
        int | None, typer.Option(min=1, help="Train so many of each machine's best again, with new seeds.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="New seeds for each that --confirm trains again.")] = 3,
    hours: Hours = None,
    reviewed: ReviewedFile = None,
    slots: Slots = 0,
    address: Address = None,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Go on with a search that was killed or stopped, or that shall have more trials or its best confirmed.

    Example: humtune resume quick --confirm 3 --seeds 5
    """
    began = monotonic()
    with loading():
        from humtune.ledger import Ledger
        from humtune.search.clock import check_hours
        from humtune.search.run import want
        from humtune.storage import Storage

    check_hours(hours)
    ledger = Ledger.open(Storage(storage), name)
    if reviewed is not None:
        ledger = _with_reviewed(ledger, reviewed)
    want(ledger, trials=trials, shared_trials=shared_trials, hours=hours)
    plan = ledger.plan
    for study in plan.studies:
        wanted = plan.asked.shared_trials if plan.is_shared(study) else plan.asked.trials
        if plan.quota(study) < wanted:
            console().print(f"{study}: the space holds {count(plan.quota(study), 'trial')}, not {wanted}")
    if confirm is not None:
        ledger.write_plan(ledger.plan.asking(confirm=confirm, confirm_seeds=seeds))
    run_and_tell(ledger, address, slots, began=began)


def _with_reviewed(ledger: "Ledger", reviewed: Path) -> "Ledger":
    """The search of its recordings and reviewed ones; itself where it knows all of them."""
    from humtune import learn
    from humtune.search.continued import only_machine

    machine, labels = only_machine(ledger), read_labels(reviewed)
    grown = learn.add(ledger, None, labels)
    print_grown(machine, grown)
    if not grown.is_new:
        return ledger
    more, counts = learn.go_on(ledger, grown)
    print_brought(machine, counts, grown)
    console().print(f"search {more.name}: that is {ledger.name} with these recordings", soft_wrap=True)
    return more


def stop(name: SearchName, storage: StorageUri = DEFAULT_STORAGE) -> None:
    """End a running search cleanly; it can be resumed.

    Example: humtune stop quick
    """
    from humtune.ledger import Ledger
    from humtune.storage import Storage

    ledger = Ledger.open(Storage(storage), name)
    ledger.request_stop()
    again = command("resume", name, storage=ledger.storage.option)
    console().print(f"{name} ends within seconds; {again} goes on with it", soft_wrap=True)
