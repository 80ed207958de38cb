"""learn: from a folder of healthy recordings to a model, in one command."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.data import print_imported
from humtune.cli.grown import print_brought, print_grown, read_labels
from humtune.cli.options import (
    DEFAULT_STORAGE,
    BadFolder,
    Channel,
    MachineName,
    ReviewedFile,
    StorageUri,
    loading,
    read_channel,
    read_share,
)
from humtune.errors import UsageError

if TYPE_CHECKING:
    from humtune.export.model import Exported
    from humtune.ledger import Ledger


def learn(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Healthy recordings of one machine, however they lie."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="MODEL", help="A new folder for the model.")] = None,
    model: Annotated[
        Path | None,
        typer.Option("--continue", metavar="MODEL", help="A model that shall know these recordings too."),
    ] = None,
    bad: BadFolder = None,
    reviewed: ReviewedFile = None,
    machine: MachineName = None,
    hours: Annotated[
        float | None,
        typer.Option(
            help="By the clock, that the search may take; the model comes after it.", show_default="0.25"
        ),
    ] = None,
    false_alarms: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="Of healthy recordings that may be called strange.",
            show_default="1%, or the model's",
        ),
    ] = None,
    channel: Channel = None,
    storage: StorageUri = DEFAULT_STORAGE,
) -> None:
    """Learn how a machine sounds when it is well, from any folder of recordings, and write a model.

    Killed at any moment, the same command goes on. Below it is a search like any other.
    Example: humtune learn pump --bad pump-bad --out models/pump
    Example: humtune learn pump-in-may --continue models/pump
    """
    share = None if false_alarms is None else read_share(false_alarms)
    if model is not None:
        given = {"out": out, "bad": bad, "machine": machine, "hours": hours, "channel": channel}
        if extra := next((name for name, value in given.items() if value is not None), None):
            raise UsageError(f"--{extra}: a model that is continued has its own; leave it out")
        if folder is None and reviewed is None:
            raise UsageError(
                "name the folder of new healthy recordings: humtune learn FOLDER --continue MODEL"
            )
        _go_on(model, folder, reviewed, share, storage)
        return
    if folder is None or out is None:
        raise UsageError("name the recordings and the model: humtune learn FOLDER --out MODEL")
    asked = _Asked(folder, out, bad, machine, 0.25 if hours is None else hours, share or 0.01)
    _learn(asked, reviewed, read_channel(channel), storage)


@dataclass(frozen=True)
class _Asked:
    """What a new model shall be made of, and where."""

    folder: Path
    out: Path
    bad: Path | None
    machine: str | None
    hours: float
    share: float


def _learn(asked: _Asked, reviewed: Path | None, channel: int | None, storage: str) -> None:
    from humtune.names import console, count

    with loading():
        from humtune import learn as steps
        from humtune.export.outlook import sound_imported, sound_of
        from humtune.records import TrialState
        from humtune.storage import Storage
    steps.check_wish(asked.out, asked.hours, asked.share)
    labels = read_labels(reviewed)
    screen, place = console(), Storage(storage)
    imported = steps.take_in(asked.folder, place, machine=asked.machine, bad=asked.bad, channel=channel)
    print_imported(imported)
    ledger, grown = steps.begin(imported, place, hours=asked.hours, channel=channel, reviewed=labels)
    if grown:
        print_grown(imported.machine, grown)
    if left_out := ledger.plan.left_out:
        why = (
            "these recordings don't do for it" if imported.record.classes else "no sub-folders to tell apart"
        )
        screen.print(f"left out: {', '.join(left_out)} ({why})", soft_wrap=True)
    trials = sum(ledger.plan.quota(study) for study in ledger.plan.studies)
    minutes = f"{60 * asked.hours:.0f} min at most"
    screen.print(f"search {ledger.name}: {count(trials, 'detector')}, {minutes}", soft_wrap=True)
    limit = steps.search(ledger, hours=asked.hours)
    if limit.signal:
        screen.print("ended; the same command goes on", soft_wrap=True)
        raise typer.Exit(limit.exit_code)
    states = [record.state for record in ledger.records()]
    if len(states) - states.count(TrialState.RUNNING) < trials:
        trained = states.count(TrialState.COMPLETE)
        screen.print(f"the time is over: {trained} of {count(trials, 'detector')}; more --hours train more")
    is_plain = grown is None or not grown.is_new
    sound = sound_imported(imported.record) if is_plain else sound_of(ledger.bank(imported.machine))
    made = _write(ledger, asked.out, asked.share, sound)
    _print_next(ledger, asked.out, made)


def _go_on(
    model: Path, folder: Path | None, reviewed: Path | None, share: float | None, storage: str
) -> None:
    from humtune.names import command, console, count

    with loading():
        from humtune import learn as steps
        from humtune.export.outlook import sound_of
        from humtune.storage import Storage
    info, earlier = steps.model_search(model, Storage(storage))
    screen, labels = console(), read_labels(reviewed)
    grown = steps.add(earlier, folder, labels, without=model)
    print_grown(info.machine, grown)
    if not grown.is_new:
        screen.print(f"{info.machine}: nothing new; {model} stays as it is", soft_wrap=True)
        return
    strange, healthy = steps.called_strange(model, grown)
    ledger, counts = steps.go_on(earlier, grown)
    print_brought(info.machine, counts, grown)
    wished = info.threshold.false_alarms if share is None else share
    made = _write(ledger, model, wished, sound_of(ledger.bank(info.machine)), replaced=True)
    if healthy:
        called = f"{strange} of {count(healthy, 'new healthy recording')}"
        screen.print(f"The model before called {called} strange.", soft_wrap=True)
    was, now = info.threshold.value, made.info.threshold.value
    screen.print(f"The limit was {was:.4g} and is {now:.4g}, on a scale that was set anew.", soft_wrap=True)
    _print_next(ledger, model, made)
    screen.print(f"{command('threshold', model)} --undo   back to the model before", soft_wrap=True)


def _write(ledger: "Ledger", out: Path, share: float, sound: str, *, replaced: bool = False) -> "Exported":
    from humtune import learn as steps
    from humtune.export.outlook import outlook
    from humtune.names import console
    from humtune.sounds.parallel import waiting

    with waiting("joining detectors"):
        way = steps.join(ledger)
    made = steps.write_model(ledger, way, out, false_alarms=share, replaced=replaced)
    clips = ledger.clips(made.info.machine)
    console().print()
    told = outlook(sound, made.info, made.scores, clips, detectors=steps.members(ledger, way))
    console().print(" ".join(told))
    return made


def _print_next(ledger: "Ledger", out: Path, made: "Exported") -> None:
    from humtune.export.outlook import least_share
    from humtune.names import command, console

    screen = console()
    screen.print()
    screen.print(f"{command('score', out, 'NEW')}   what it says of new recordings", soft_wrap=True)
    if share := least_share(made.info):
        kept = command("score", out, "NEW", **{"false-alarms": f"{share:.0%}"})
        screen.print(
            f"{kept}   by the limit with the fewest false alarms that it can promise", soft_wrap=True
        )
    watch = command("score", out, watch="INCOMING")
    screen.print(f"{watch}   of what arrives in a folder", soft_wrap=True)
    again = command("threshold", out, healthy="NEW-HEALTHY")
    screen.print(f"{again}   another limit, by new healthy recordings", soft_wrap=True)
    more = command("learn", "NEW-HEALTHY", **{"continue": out})
    screen.print(f"{more}   learn from them too", soft_wrap=True)
    report = command("report", ledger.name, storage=ledger.storage.option)
    screen.print(f"{report}   the search behind it", soft_wrap=True)
