"""threshold: what a model's healthy recordings can promise, and another threshold by new ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from humtune.cli.options import FalseAlarms, ModelFolder, loading, read_share
from humtune.names import count

if TYPE_CHECKING:
    from humtune.runtime.info import ModelInfo
    from humtune.runtime.outcomes import Failed
    from humtune.runtime.promises import Promise


LENGTHS = (10, 60, 300, 3600)  # seconds of the recordings whose limits are shown


def threshold(
    model: ModelFolder,
    false_alarms: FalseAlarms = None,
    healthy: Annotated[
        Path | None, typer.Option(metavar="DIR", help="New healthy recordings to choose the threshold by.")
    ] = None,
    undo: Annotated[
        bool,
        typer.Option("--undo", help="Go back to what was before the last --healthy, or `learn --continue`."),
    ] = False,
) -> None:
    """Choose a threshold by new healthy recordings, or show what those there are can promise.

    With --healthy or --undo the model is changed; else it only shows, and `humtune score` takes the same
    --false-alarms. Example: humtune threshold models/fan --healthy new-healthy/ --false-alarms 1%
    """
    from humtune.errors import UsageError
    from humtune.names import console, shown

    with loading():
        from humtune.runtime.before import undo as take_back
        from humtune.runtime.info import read_info
        from humtune.runtime.recalibration import recalibrate

    rate = None if false_alarms is None else read_share(false_alarms)
    errors = console(stderr=True)
    failed: tuple[Failed, ...] = ()
    if undo:
        if healthy or rate:
            raise UsageError("--undo goes alone")
        info = take_back(model)
    elif healthy:
        info, failed = recalibrate(model, healthy, false_alarms=rate)
    else:
        info = read_info(model).with_threshold(rate)
    for failure in failed:
        errors.print(f"{shown(failure.path)}: {shown(failure.reason)}", soft_wrap=True)
    _show(info)
    if healthy:
        before = info.recalibrations[-1].before.value
        console().print(
            f"before it was {before:.6g}: humtune threshold {shown(model)} --undo", soft_wrap=True
        )
    raise typer.Exit(1 if failed else 0)


def _show(info: "ModelInfo") -> None:
    from rich import box
    from rich.table import Table

    from humtune.names import console, shown
    from humtune.runtime.promises import promises

    screen, used, healthy = console(), info.threshold, info.healthy
    parts = promises(healthy, used.false_alarms)
    of = f" by {shown(info.recalibrations[-1].recordings)}" if info.recalibrations else ""
    screen.print(
        f"{info.machine}: the threshold for {used.false_alarms:.2%} false alarms{of} is {used.value:.6g}",
        soft_wrap=True,
    )
    table = Table("healthy clips", box=box.SIMPLE_HEAD)
    for column in ("clips", "groups", "least promise %", "threshold", "above it %"):
        table.add_column(column, justify="right")
    for part in parts:
        scores, _ = healthy.highest(healthy.domains[part.domain], healthy.length)
        above = sum(score > used.value for score in scores) / len(scores)
        table.add_row(
            part.domain,
            str(len(scores)),
            str(part.groups),
            _percent(part.least),
            f"{part.threshold.value:.6g}",
            _percent(above),
        )
    screen.print(table)
    for part in parts:
        screen.print(_needs(info, part, several=len(parts) > 1), soft_wrap=True)
    _show_lengths(info)
    _show_tested(info)


def _show_lengths(info: "ModelInfo") -> None:
    """The limits of recordings that are longer or shorter than those of the promise."""
    from humtune.names import console
    from humtune.runtime.limits import Limits

    limits = Limits(info)
    found = [(limits.scale(seconds * info.sample_rate).limit, seconds) for seconds in LENGTHS]
    several = ", ".join(f"{limit:.6g} for {seconds} s" for limit, seconds in found)
    console().print(f"the limit of recordings by their length: {several}", soft_wrap=True)


def _needs(info: "ModelInfo", part: "Promise", *, several: bool) -> str:
    """What rate a domain's healthy clips can promise, in a sentence."""
    wanted, there = part.threshold.false_alarms, part.threshold.clips
    where = f"{part.domain}: " if several else ""
    seconds = info.promised_seconds or info.window_samples / info.sample_rate
    if part.threshold.fit == "quantile":
        return f"{where}{count(there, 'clip')} can promise {wanted:.2%}, and no less than {part.least:.2%}"
    more = part.needed - there
    least, until = f"{part.least:.1%} is the least that can be promised", "is an estimate"
    if part.threshold.fit == "single":
        least, until = "that promises nothing", "is its score, a mere guess"
    return (
        f"{where}{wanted:.2%} needs {count(part.needed, 'clip')} of {seconds:.3g} s; here are {there}: "
        f"{least}. It takes {more} more ({more * seconds / 60:.0f} min); until then the threshold {until}"
    )


def _show_tested(info: "ModelInfo") -> None:
    from rich import box
    from rich.table import Table

    from humtune.names import console
    from humtune.runtime.limits import Limits

    if not info.evidence or not info.evidence.tested:
        console().print("there were no labelled test clips to try it on")
        return
    alarms = info.evidence.alarms(Limits(info).scale(info.evidence.clip_samples).limit)
    table = Table("labelled test clips", box=box.SIMPLE_HEAD)
    for column in ("promised %", "false alarms %", "caught %"):
        table.add_column(column, justify="right")
    for found in alarms:
        promised = _percent(info.threshold.false_alarms)
        table.add_row(
            f"{found.part} {found.domain}", promised, _percent(found.false_alarms), _percent(found.caught)
        )
    console().print(table)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
