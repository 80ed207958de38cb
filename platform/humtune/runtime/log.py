"""The log of a folder of results: a line a recording, in the order of scoring, never rewritten.

It is the only truth there: CSV files and the page are made of it, whole, and can be made again. A kill costs
at most the line that was being written.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from humtune.errors import UsageError

LOG = "log.jsonl"


@dataclass(frozen=True)
class Entry:
    """A recording's result, as it is logged."""

    time: float  # when it was scored, seconds since 1970
    recorded: float | None  # when the file was last changed; None where nobody knows
    machine: str
    trial: str
    file: str  # its absolute path
    seconds: float  # of sound
    score: float
    limit: float  # the threshold
    usual: float | None  # the score of a usual healthy clip; None where the model doesn't tell
    anomaly: bool
    start: float = 0.0  # s, of the strangest window
    window: float = 0.0  # s
    windows: int = 1
    notes: tuple[str, ...] = ()

    @property
    def times_limit(self) -> float | None:
        """The score as a multiple of the limit."""
        return times_limit(self.score, usual=self.usual, limit=self.limit)


def times_limit(score: float, *, usual: float | None, limit: float) -> float | None:
    """A score on a scale on which a usual healthy clip is 0 and the limit is 1; None where there is none.

    Scores have units and offsets of their own, and may be negative: their plain ratio to a threshold says
    nothing. This scale is straight, so that it orders recordings as their scores do.
    """
    return None if usual is None or not limit > usual else (score - usual) / (limit - usual)


def in_limits(times: float) -> str:
    """A multiple of the limit, as it is shown."""
    return f"{times:.2f} × limit" if abs(times) < 9.995 else f"{times:.0f} × limit"


class Log:
    """Appends to the log of a folder; several processes may do so at once."""

    def __init__(self, folder: Path) -> None:
        """Open the log; UsageError where it can't be written."""
        self.path = folder / LOG
        try:
            self._stream = self.path.open("ab+", buffering=0)
            if self._stream.tell() and _last_byte(self._stream) != b"\n":
                self._stream.write(b"\n")  # behind the line of a process that was killed
        except OSError as error:
            raise UsageError(f"{self.path}: can't be written ({error.strerror or error})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def append(self, entry: Entry) -> None:
        """Write a line; UsageError where the disk is full."""
        line = f"{json.dumps(asdict(entry))}\n".encode()
        try:
            if self._stream.write(line) != len(line):
                raise OSError("no space left on device")
        except OSError as error:
            raise UsageError(f"{self.path}: can't be written to ({error.strerror or error})") from error


def read_log(folder: Path) -> Iterator[Entry]:
    """The log's entries, oldest first; what is no whole line is passed over. None without a log."""
    names = {field.name for field in fields(Entry)}
    try:
        with (folder / LOG).open("rb") as stream:
            for line in stream:
                try:
                    found: dict[str, Any] = json.loads(line)
                    known = {name: value for name, value in found.items() if name in names}
                    yield Entry(**{**known, "notes": tuple(known.get("notes", ()))})
                except (ValueError, TypeError, AttributeError):
                    continue
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{folder / LOG}: can't be read ({error.strerror or error})") from error


def _last_byte(stream: Any) -> bytes:
    stream.seek(-1, os.SEEK_END)
    return bytes(stream.read(1))
