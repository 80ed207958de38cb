"""What comes of a recording: a score and a decision, or a reason why there is none; and of many, counted."""

from collections import Counter
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from pathlib import Path
from stat import S_ISREG
from time import perf_counter, time
from typing import Any, NamedTuple, Self

from humtune.runtime.scale import Scale
from humtune.runtime.timeline import Timeline

FINE, FAILED, ANOMALOUS = 0, 1, 3  # exit codes; 2 is for wrong use
STRANGEST = 20  # recordings that a tally remembers


class Look(NamedTuple):
    """What a file looked like before it was read: a later one may be another recording."""

    size: int  # bytes
    changed: float  # seconds since 1970

    @classmethod
    def at(cls, path: Path) -> Self | None:
        """How a file looks now; None where there is none."""
        try:
            status = path.stat()
        except (OSError, ValueError):  # a zero byte in its name
            return None
        return cls(status.st_size, status.st_mtime) if S_ISREG(status.st_mode) else None


@dataclass(frozen=True)
class Scored:
    """One recording's score and decision."""

    path: Path
    score: float  # of a long recording: of its strangest window
    scale: Scale  # of recordings as long
    seconds: float  # of sound
    notes: tuple[str, ...] = ()  # what was done to it, and what is odd about it
    timeline: Timeline | None = None  # of a long recording
    look: Look | None = field(default=None, compare=False)

    @property
    def is_anomaly(self) -> bool:
        """The decision."""
        return self.scale.is_above(self.score)

    @property
    def times_limit(self) -> float | None:
        """The score as a multiple of the limit."""
        return self.scale.times(self.score)

    @property
    def level(self) -> str:
        """The score as a person reads it: "1.20 × limit"."""
        return self.scale.shown(self.score)

    def to_dict(self) -> dict[str, Any]:
        """The result in plain types, for JSON and tables."""
        return {
            "file": str(self.path),
            "score": self.score,
            "limit": self.scale.limit,
            "times_limit": self.times_limit,
            "anomaly": self.is_anomaly,
            "seconds": self.seconds,
            "notes": self.notes,
        }

    @property
    def strangeness(self) -> float:
        """By which recordings are ordered."""
        return self.scale.strangeness(self.score)


@dataclass(frozen=True)
class Failed:
    """What could not be scored, and why."""

    path: Path
    reason: str
    look: Look | None = field(default=None, compare=False)  # None where another try may end better

    def to_dict(self) -> dict[str, Any]:
        """The reason in plain types, for JSON and tables."""
        return {"file": str(self.path), "error": self.reason}


@dataclass
class Tally:
    """What came of many recordings, in numbers: it stays small however many they are."""

    scored: int = 0
    anomalies: int = 0
    failed: int = 0
    sound: float = 0.0  # seconds
    longest: float = 0.0  # seconds
    last: tuple[float, Path] | None = None  # when a recording was counted, seconds since 1970, and which
    notes: Counter[str] = field(default_factory=Counter)
    _heap: list[tuple[float, int, Scored]] = field(default_factory=list)
    _began: float = field(default_factory=perf_counter)
    _ended: float | None = None

    def add(self, outcome: Scored | Failed) -> None:
        """Count a recording."""
        self.last = time(), outcome.path
        if isinstance(outcome, Failed):
            self.failed += 1
            return
        self.scored += 1
        self.anomalies += outcome.is_anomaly
        self.sound += outcome.seconds
        self.longest = max(self.longest, outcome.seconds)
        self.notes.update(outcome.notes)
        entry = (outcome.strangeness, -self.scored, outcome)
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
        """The strangest recordings, strangest first."""
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
