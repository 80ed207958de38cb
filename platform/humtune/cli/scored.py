"""How `score` tells what came of recordings: lines, JSON lines or a table."""

import io
import json
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import typer

from humtune.names import console, count, shown
from humtune.runtime.drift import Drift
from humtune.runtime.info import ModelInfo
from humtune.runtime.limits import Limits
from humtune.runtime.outcomes import Failed, Scored, Tally
from humtune.runtime.promises import HealthyScores
from humtune.runtime.recordings import Listener
from humtune.runtime.sources import STDIN, counted, find_recordings
from humtune.runtime.timeline import clock, stretches
from humtune.sounds.parallel import tracked

Outcome = Scored | Failed
LONGER = 1.5  # times as long as the recordings that the threshold was measured on: worth a word
_SPANS = 6  # stretches named in a line; all are in the table


def outcomes(
    listener: Listener, words: list[str], arriving: Iterator[Path | Failed] | None
) -> Iterator[Outcome]:
    """What comes of the recordings named and then of those that arrive; progress where there is an end."""
    listed = _stdin() if STDIN in words else ()
    found = find_recordings(words, listed)
    if arriving is not None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a service is asked to end
        yield from listener.listen(chain(found, arriving))
        return
    total = None
    if STDIN not in words:
        found, total = counted(found)
    title = f"scoring {listener.scorer.info.machine}"
    yield from tracked(listener.listen(found), total=total, title=title)


def _stdin() -> Iterable[bytes]:
    """The lines of standard input, by a reader of its own.

    An interrupted process could not close Python's own reader while a thread waits in it, and would abort.
    """
    stream = typer.get_binary_stream("stdin")
    try:
        return os.fdopen(stream.fileno(), "rb", closefd=False)
    except io.UnsupportedOperation:  # no file behind it
        return stream


class Teller:
    """Tells of recordings as they are scored, and of all of them at the end.

    Results go to standard output, a line each: JSON, or score, decision, recording and notes. On a terminal a
    table of the strangest comes at the end in their place, unless `live`. All else goes to standard error.
    A line has those notes that the one before didn't have: recordings of one kind share most of them.
    """

    def __init__(self, info: ModelInfo, *, as_json: bool, live: bool) -> None:
        self.info, self.as_json, self.live = info, as_json, live
        self.errors = console(stderr=True)
        self.at_end = not (as_json or live) and console().is_terminal
        self.noted: tuple[str, ...] = ()
        self.drift = Drift(HealthyScores(()))
        if info.keeps_scores:
            self.drift = Drift(info.healthy, windows=info.windows_of_a_score)

    def begin(self, own: ModelInfo) -> None:
        """Warn where the window is not the model's `own`, on which its threshold was measured."""
        used, measured = (info.window_samples / info.sample_rate for info in (self.info, own))
        if used != measured:
            self._say(
                f"--window {used:g}: the threshold was measured on windows of {measured:g} s, and promises "
                "nothing about others"
            )

    def warn(self, line: str) -> None:
        """Tell of what went wrong beside the recordings."""
        self._say(shown(line))

    def tell(self, outcome: Outcome, files: Sequence[Path]) -> None:
        """Tell of one recording; `files` are those of its timeline."""
        if self.as_json:
            typer.echo(json.dumps(_to_json(outcome, files)))
        elif isinstance(outcome, Failed):
            self._say(f"{shown(outcome.path)}: {shown(outcome.reason)}")
        else:
            if not self.at_end:
                fresh = [note for note in outcome.notes if note not in self.noted]
                self.noted = outcome.notes
                notes = f" ({'; '.join(fresh)})" if fresh else ""
                typer.echo(f"{outcome.level} {_decision(outcome)} {shown(outcome.path)}{notes}")
            if outcome.timeline is not None:
                self._say(_course(outcome))
        if isinstance(outcome, Scored) and (moved := self.drift.add(outcome)):
            self._say(moved)

    def end(self, tally: Tally, files: Sequence[Path]) -> None:
        """Tell of all of them."""
        tally.end()
        if self.as_json:
            typer.echo(json.dumps(_summary(self.info, tally, files)))
            return
        if self.at_end and tally.scored:
            _print_table(tally)
        if tally.failed:
            self._say(f"{count(tally.failed, 'recording')} could not be scored")
        if not tally.scored:
            return
        for note, number in tally.notes.items():
            self._say(f"{count(number, 'recording')}: {note}")
        threshold, scored = self.info.threshold, count(tally.scored, "recording")
        pace = "" if self.live else f"; {tally.clips_per_second:.1f} recordings a second"  # most of it waited
        self._say(
            f"{tally.anomalies} of {scored} above the limit {threshold.value:.6g} "
            f"({threshold.false_alarms:.2%} false alarms wanted, by {threshold.clips} healthy clips){pace}"
        )
        if threshold.note:
            self._say(threshold.note)
        if longer := _longer(self.info, tally.longest):
            self._say(longer)
        if files:
            self._say(f"written: {count(len(files), 'file')} in {shown(files[0].parent)}")

    def _say(self, line: str) -> None:
        self.errors.print(line, soft_wrap=True)


def _to_json(outcome: Outcome, files: Sequence[Path]) -> dict[str, Any]:
    result = outcome.to_dict()
    if isinstance(outcome, Scored) and outcome.timeline is not None:
        result["windows"] = len(outcome.timeline.scores)
        result["windows_above"] = int(outcome.timeline.above.sum())
        result["stretches"] = list(stretches(outcome.timeline))
        result["files"] = [str(file) for file in files]
    return result


def _summary(info: ModelInfo, tally: Tally, files: Sequence[Path]) -> dict[str, Any]:
    """The last line: the only one without a "file"."""
    return {
        "machine": info.machine,
        "trial": info.trial,
        "score_type": info.score_type,
        "threshold": info.threshold.value,
        "false_alarms": info.threshold.false_alarms,
        "fit": info.threshold.fit,
        "scored": tally.scored,
        "anomalies": tally.anomalies,
        "failed": tally.failed,
        "notes": dict(tally.notes),
        "clips_per_second": tally.clips_per_second,
        "real_time_factor": tally.real_time_factor,
        "files": [str(file) for file in files],
    }


def _course(outcome: Scored) -> str:
    """A long recording in a line: how much of it was above the threshold, and when."""
    timeline = outcome.timeline
    assert timeline is not None
    spans = [f"{clock(start)}–{clock(end)}" for start, end in stretches(timeline)]
    text = f"{shown(outcome.path)}: {timeline.above.sum()} of {len(timeline.scores)} windows above the limit"
    if spans:
        text += f", at {', '.join(spans[:_SPANS])}" + (" …" if len(spans) > _SPANS else "")
    return text


def _print_table(tally: Tally) -> None:
    from rich import box
    from rich.table import Table

    strangest = tally.strangest
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("recording", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("decision")
    for clip in strangest:
        style = "red" if clip.is_anomaly else None
        table.add_row(shown(clip.path), clip.level, _decision(clip), style=style)
    screen = console()
    screen.print(table)
    if len(strangest) < tally.scored:
        screen.print(f"the {len(strangest)} strangest of {tally.scored} are shown")


def _longer(info: ModelInfo, longest: float) -> str | None:
    """A sentence where recordings are much longer than those that the threshold makes its promise for."""
    usual, rate = info.promised_seconds, info.threshold.false_alarms
    if usual is None or longest < LONGER * usual:
        return None
    if info.keeps_scores:
        limit = Limits(info).scale(round(longest * info.sample_rate)).limit
        return (
            f"the threshold is for recordings of {usual:.3g} s; longer ones have a higher one, {limit:.6g} "
            f"at {longest:.0f} s, so that {rate:.2%} of the healthy ones are above it too"
        )
    times = longest / usual
    return (
        f"the threshold is for recordings of {usual:.3g} s: a healthy one of {longest:.0f} s has {times:.1f} "
        "times as many chances of a false alarm, "
        f"which makes {1 - (1 - rate) ** times:.0%} where {rate:.2%} are wanted; export the model again"
    )


def _decision(clip: Scored) -> str:
    return "anomaly" if clip.is_anomaly else "normal"
