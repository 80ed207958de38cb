"""What became of recordings that came to a machine's later, in plain words."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from humtune.runtime.labels import Reviewed
    from humtune.search.continued import Intake
    from humtune.sounds.added import Grown


def read_labels(path: Path | None) -> "Reviewed | None":
    """What a person said of recordings, after saying what of it is of no use."""
    from humtune.names import console, count, join_names, shown
    from humtune.runtime.labels import read_reviewed

    if path is None:
        return None
    found = read_reviewed(path)
    if found.unsure:
        left = count(len(found.unsure), "recording")
        console().print(f"{shown(path)}: {left} unsure, and left aside", soft_wrap=True)
    if found.gone:
        names = join_names(map(str, found.gone))
        mend = "bring them back and run this again, or take their lines out"
        console(stderr=True).print(f"{shown(path)}: there no more: {shown(names)}; {mend}", soft_wrap=True)
    return found


def print_grown(machine: str, grown: "Grown") -> None:
    """What was added and what for; what was left out to standard error."""
    from humtune.names import console, count, shown
    from humtune.sounds.added import Given
    from humtune.sounds.importing import spell
    from humtune.sounds.survey import few

    screen, errors = console(), console(stderr=True)
    for left in grown.left_out:
        errors.print(f"left out: {shown(left)}", soft_wrap=True)
    purposes = {
        Given.NEW: "healthy, to learn from",
        Given.HEALTHY: "called healthy, to learn from; they set no limit",
        Given.BAD: "called bad, to choose detectors by",
    }
    lines = [
        f"{count(grown.recordings(given), 'new recording')}, {spell(grown.seconds(given))}, {what}"
        for given, what in purposes.items()
        if grown.recordings(given)
    ]
    if grown.relabelled:
        lines.append(f"called otherwise than before, and no more what they were: {few(grown.relabelled)}")
    if grown.known:
        lines.append(f"{count(len(grown.known), 'recording')} taken in before")
    for line in (*grown.notes, *lines):
        screen.print(f"{machine}: {shown(line)}", soft_wrap=True)


def print_brought(machine: str, counts: "Mapping[Intake, int]", grown: "Grown") -> None:
    """How far an earlier search's detectors took new recordings in."""
    from humtune.names import console, count
    from humtune.search.continued import Intake

    said = {
        Intake.WHOLE: "learned everything anew",
        Intake.COMPARED: "can compare with the new recordings too, with networks as they were",
        Intake.SCALE: "can't learn more, with scales set anew",
    }
    parts = [f"{counts[how]} {what}" for how, what in said.items() if counts[how]]
    total = count(sum(counts.values()), "detector")
    screen = console()
    screen.print(f"{machine}: of {total}, {', '.join(parts)}", soft_wrap=True)
    if grown.relabelled and (kept := counts[Intake.COMPARED] + counts[Intake.SCALE]):
        what = f"{count(kept, 'network')} once learned from what is called otherwise now"
        screen.print(f"{machine}: {what}; only to learn anew with --reviewed forgets that", soft_wrap=True)
