"""threshold: what thresholds an exported model could have, and what each is worth."""

from typing import TYPE_CHECKING

from humtune.cli.score import FalseAlarms, FitName, ModelFolder

if TYPE_CHECKING:
    from humtune.evaluation.calibration import Threshold
    from humtune.runtime.evidence import Alarms


def threshold(model: ModelFolder, false_alarms: FalseAlarms = None, fit: FitName = None) -> None:
    """Show the thresholds for a false-alarm rate, and what each does on labelled test clips.

    `humtune score` takes the same two options. Example: humtune threshold models/fan --false-alarms 0.05
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from humtune.evaluation.calibration import FITS
    from humtune.runtime.info import read_info

    info = read_info(model).with_threshold(false_alarms, fit)
    evidence, used = info.kept_evidence(), info.threshold
    choices = [evidence.threshold(used.false_alarms, kind) for kind in FITS]
    console = Console(highlight=False)
    console.print(
        f"{info.machine}: {used.false_alarms:.2%} false alarms wanted; {used.clips} held-out normal clips",
        soft_wrap=True,
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("fit")
    columns = ["threshold", "held out"]
    for test in evidence.tested:
        columns += [f"{test.part} {test.domain}\nfalse alarms", f"{test.part} {test.domain}\ncaught"]
    for column in columns:
        table.add_column(column, justify="right")
    for choice in choices:
        table.add_row(*_row(choice, evidence.held_out, evidence.alarms(choice.value)))
    console.print(table)
    for line in (f"{choice.fit}: {choice.note}" for choice in choices if choice.note):
        console.print(line, soft_wrap=True)
    console.print(
        "in percent, of the clips above the threshold; false alarms: of normal clips, caught: of anomalies",
        style="dim",
        soft_wrap=True,
    )
    if not evidence.tested:
        console.print("there were no labelled test clips to try a threshold on", soft_wrap=True)


def _row(choice: "Threshold", held_out: tuple[float, ...], alarms: tuple["Alarms", ...]) -> list[str]:
    from humtune.evaluation.calibration import false_alarm_rate

    shares = [false_alarm_rate(held_out, choice.value)]
    shares += [share for alarm in alarms for share in (alarm.false_alarms, alarm.caught)]
    return [choice.fit, f"{choice.value:.6g}", *(f"{100 * share:.1f}" for share in shares)]
