"""threshold: what thresholds an exported model could have, and what each is worth."""

from itertools import chain

from humtune.cli.score import FalseAlarms, FitName, ModelFolder


def threshold(model: ModelFolder, false_alarms: FalseAlarms = None, fit: FitName = None) -> None:
    """Show the thresholds for a false-alarm rate, and what each does on labelled test clips.

    `humtune score` takes the same two options. Example: humtune threshold models/fan --false-alarms 0.05
    """
    from rich import box
    from rich.table import Table

    from humtune.evaluation.calibration import FITS, false_alarm_rate
    from humtune.names import console
    from humtune.runtime.info import read_info

    info = read_info(model).with_threshold(false_alarms, fit)
    evidence, used = info.kept_evidence(), info.threshold
    choices = [evidence.threshold(used.false_alarms, kind) for kind in FITS]
    table = Table("clips", box=box.SIMPLE_HEAD)
    for choice in choices:
        for column in ("false alarms %", "caught %"):
            table.add_column(f"{choice.fit}\n{choice.value:.6g}\n{column}", justify="right")
    held_out = (_percent(false_alarm_rate(evidence.held_out, choice.value)) for choice in choices)
    table.add_row("held out", *chain.from_iterable((share, "") for share in held_out))
    for alarms in zip(*(evidence.alarms(choice.value) for choice in choices), strict=True):
        shares = chain.from_iterable((_percent(a.false_alarms), _percent(a.caught)) for a in alarms)
        table.add_row(f"{alarms[0].part} {alarms[0].domain}", *shares)
    screen = console()
    screen.print(
        f"{info.machine}: {used.false_alarms:.2%} false alarms wanted; {used.clips} held-out normal clips"
    )
    screen.print(table)
    for choice in choices:
        if choice.note:
            screen.print(f"{choice.fit}: {choice.note}", soft_wrap=True)
    if not evidence.tested:
        screen.print("there were no labelled test clips to try a threshold on")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
