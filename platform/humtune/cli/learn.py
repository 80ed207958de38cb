"""learn: from a folder of healthy recordings to a model, in one command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.data import print_imported
from humtune.cli.options import (
    DEFAULT_STORAGE,
    BadFolder,
    Channel,
    HealthyFolder,
    MachineName,
    StorageUri,
    loading,
    read_channel,
    read_share,
)

if TYPE_CHECKING:
    from humtune.ledger import Ledger


def learn(
    folder: HealthyFolder,
    out: Annotated[Path, typer.Option(metavar="MODEL", help="A new folder for the model.")],
    bad: BadFolder = None,
    machine: MachineName = None,
    hours: Annotated[
        float, typer.Option(help="By the clock, that the search may take; the model comes after it.")
    ] = 0.25,
    false_alarms: Annotated[
        str, typer.Option(metavar="SHARE", help="Of healthy recordings that may be called strange.")
    ] = "1%",
    channel: Channel = None,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Learn how a machine sounds when it is well, from any folder of recordings, and write a model.

    Killed at any moment, the same command goes on. Below it is a search like any other.
    Example: humtune learn pump --bad pump-bad --out models/pump
    """
    share, read = read_share(false_alarms), read_channel(channel)
    from humtune.names import console
    from humtune.sounds.parallel import waiting

    with loading():
        from humtune import learn as steps
        from humtune.export.outlook import outlook
        from humtune.storage import Storage
    steps.check_wish(out, hours, share)
    screen, place = console(), Storage(storage)
    imported = steps.take_in(folder, place, machine=machine, bad=bad, channel=read)
    print_imported(imported)
    ledger, left_out = steps.begin(imported, place, hours=hours, channel=read)
    if left_out:
        kinds = ", ".join(left_out)
        screen.print(f"kinds of detectors that can't learn from these recordings: {kinds}", soft_wrap=True)
    trials = sum(ledger.plan.quota(study) for study in ledger.plan.studies)
    screen.print(f"search {ledger.name}: {trials} detectors, {60 * hours:.0f} min at most", soft_wrap=True)
    limit = steps.search(ledger, hours=hours)
    if limit.signal:
        screen.print("ended; the same command goes on", soft_wrap=True)
        raise typer.Exit(limit.exit_code)
    with waiting("joining detectors"):
        way = steps.join(ledger)
    model = steps.write_model(ledger, way, out, false_alarms=share)
    clips = ledger.clips(imported.machine)
    screen.print()
    screen.print(" ".join(outlook(imported.record, model, clips, detectors=steps.members(ledger, way))))
    _print_next(ledger, out)


def _print_next(ledger: "Ledger", out: Path) -> None:
    from humtune.names import command, console

    screen = console()
    screen.print()
    screen.print(f"{command('score', out, 'NEW')}   what it says of new recordings", soft_wrap=True)
    watch = command("score", out, watch="INCOMING")
    screen.print(f"{watch}   of what arrives in a folder", soft_wrap=True)
    again = command("threshold", out, healthy="NEW-HEALTHY")
    screen.print(f"{again}   another limit, by new healthy recordings", soft_wrap=True)
    report = command("report", ledger.name, storage=ledger.storage.option)
    screen.print(f"{report}   the search behind it", soft_wrap=True)
