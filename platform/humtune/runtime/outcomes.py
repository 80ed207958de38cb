"""What comes of a recording: a score and a decision, or a reason why there is none; counted, and as files.

The files are in the format of a DCASE submission.
"""

import csv
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from humtune.dcase.files import KINDS, file_name, make_folder
from humtune.errors import UsageError
from humtune.runtime.timeline import Timeline, write_timeline
from humtune.sounds.clip import Clip

FINE, FAILED, ANOMALOUS = 0, 1, 3  # exit codes; 2 is for wrong use
STRANGEST = 20  # recordings that a tally remembers


@dataclass(frozen=True)
class Scored:
    """One recording's score and decision."""

    path: Path
    score: float  # of a long recording: of its strangest window
    is_anomaly: bool
    seconds: float  # of sound
    notes: tuple[str, ...] = ()  # what was done to it, and what is odd about it
    timeline: Timeline | None = None  # of a long recording


@dataclass(frozen=True)
class Failed:
    """What could not be scored, and why."""

    path: Path
    reason: str


@dataclass
class Tally:
    """What came of many recordings, in numbers: it stays small however many they are."""

    scored: int = 0
    anomalies: int = 0
    failed: int = 0
    sound: float = 0.0  # seconds
    notes: Counter[str] = field(default_factory=Counter)
    _heap: list[tuple[float, int, Scored]] = field(default_factory=list)
    _began: float = field(default_factory=perf_counter)
    _ended: float | None = None

    def add(self, outcome: Scored | Failed) -> None:
        """Count a recording."""
        if isinstance(outcome, Failed):
            self.failed += 1
            return
        self.scored += 1
        self.anomalies += outcome.is_anomaly
        self.sound += outcome.seconds
        self.notes.update(outcome.notes)
        entry = (outcome.score, -self.scored, outcome)
        if len(self._heap) < STRANGEST:
            heappush(self._heap, entry)
        else:
            heappushpop(self._heap, entry)

    def end(self) -> None:
        """Stop the clock."""
        self._ended = perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of work."""
        return (perf_counter() if self._ended is None else self._ended) - self._began

    @property
    def strangest(self) -> list[Scored]:
        """The recordings of the highest scores, highest first."""
        return [outcome for *_, outcome in sorted(self._heap, reverse=True)]

    @property
    def clips_per_second(self) -> float:
        """Recordings scored in a second of work."""
        return self.scored / self.seconds

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work in a second of sound; None where nothing was scored."""
        return self.seconds / self.sound if self.sound else None

    @property
    def exit_code(self) -> int:
        """3 where something was anomalous, else 1 where something could not be scored, else 0."""
        if self.anomalies:
            return ANOMALOUS
        return FAILED if self.failed else FINE


class ResultFiles:
    """Writes scores and decisions, `file,value` a line, as they come: what is scored is in the files.

    Test clips named by the DCASE grammars go to `anomaly_score_<machine>_section_<SS>_test.csv` and
    `decision_result_…`, a pair a section; all others to `anomaly_score_<machine>.csv` and its pair. Files of
    these names are replaced. Recordings stand by name, or by path where one of the same name, out of another
    folder, stands there already.
    """

    def __init__(self, folder: Path, machine: str, threshold: float) -> None:
        """Make the folder; UsageError where that can't be. The threshold is drawn into plots."""
        make_folder(folder)
        self.folder, self.machine, self.threshold = folder, machine, threshold
        self._open = ExitStack()
        self._pairs: dict[int | None, tuple[Any, Any]] = {}  # csv writers
        self._home: Path | None = None  # the first recording's folder
        self._names: set[str] = set()  # out of other folders

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._open.close()
        except OSError as full:
            raise self._failure(full) from full

    @property
    def files(self) -> list[Path]:
        """The files written, by section."""
        sections = sorted(self._pairs, key=lambda section: (section is not None, section))
        return [self.folder / file_name(kind, self.machine, s) for s in sections for kind in KINDS]

    def write(self, scored: Scored) -> list[Path]:
        """Write a recording's score and decision; a long one's table and plot too, which are returned."""
        section = _section(scored.path, self.machine)
        if section not in self._pairs:
            scores, decisions = (self._begin(file_name(kind, self.machine, section)) for kind in KINDS)
            self._pairs[section] = scores, decisions
        name = self._name(scored.path)
        for writer, value in zip(self._pairs[section], (scored.score, int(scored.is_anomaly)), strict=True):
            try:
                writer.writerow((name, value))
            except OSError as error:
                raise self._failure(error) from error
        return write_timeline(self.folder, name, scored.timeline, self.threshold) if scored.timeline else []

    def _begin(self, name: str) -> Any:
        path = self.folder / name
        try:
            stream = path.open("w", encoding="utf-8", errors="surrogateescape", newline="", buffering=1)
        except OSError as error:
            raise UsageError(f"{path}: can't be written ({error.strerror or error})") from error
        return csv.writer(self._open.enter_context(stream), lineterminator="\n")

    def _failure(self, error: OSError) -> UsageError:
        return UsageError(f"{self.folder}: can't be written to ({error.strerror or error})")

    def _name(self, path: Path) -> str:
        """By name where no other has it: those of one folder differ anyway, and needn't be remembered."""
        self._home = self._home or path.parent
        if path.parent == self._home:
            return path.name
        taken = path.name in self._names or (self._home / path.name).exists()
        self._names.add(path.name)
        return path.as_posix() if taken else path.name


def _section(path: Path, machine: str) -> int | None:
    try:
        return Clip.parse(path, machine=machine, part="dev", split="test").section
    except UsageError:
        return None
