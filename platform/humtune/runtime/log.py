"""The log of a folder of results: a line a recording, in the order of scoring, never rewritten.

It is the only truth there: CSV files and the page are made of it, whole, and can be made again. A kill costs
at most the line that was being written. It has a file a day, `log-2026-11-30.jsonl`.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from humtune.errors import UsageError
from humtune.runtime.scale import Scale

FIRST = "log.jsonl"  # of before there was a file a day
_DATED = re.compile(r"log-\d{4}-\d\d-\d\d\.jsonl")


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
    size: int | None = None  # bytes of the file; None where nobody knows
    model: str = ""  # the digest of its graph; empty in earlier ones

    @property
    def scale(self) -> Scale:
        """What the score is held against."""
        return Scale(self.limit, self.usual)

    @property
    def times_limit(self) -> float | None:
        """The score as a multiple of the limit."""
        return self.scale.times(self.score)


@dataclass(frozen=True)
class Refusal:
    """A recording that could not be scored, and never will be as it is, as that is logged."""

    time: float
    recorded: float
    machine: str
    trial: str
    file: str
    size: int
    reason: str
    model: str = ""


class Log:
    """Appends to the log of a folder, in a file a day; several processes may do so at once."""

    def __init__(self, folder: Path) -> None:
        """Open the log; UsageError where it can't be written."""
        self.path = log_path(folder)
        self._stream = _open(self.path)
        self._torn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def append(self, line: Entry | Refusal) -> None:
        """Write a line; UsageError where the disk is full."""
        today = _today(self.path.parent)
        if today > self.path:
            stream = _open(today)
            self._stream.close()
            self.path, self._stream, self._torn = today, stream, False
        data = f"{json.dumps(asdict(line))}\n".encode()
        try:
            if self._torn:  # a line that is left half written would take the next one with it
                self._stream.write(b"\n")
            self._torn = self._stream.write(data) != len(data)
            if self._torn:
                raise OSError("no space left on device")
        except OSError as error:
            raise UsageError(f"{self.path}: can't be written to ({error.strerror or error})") from error


def log_path(folder: Path) -> Path:
    """The file that a folder's log goes on in: today's, or the last one where the clock was set back.

    So the files' order is that of the scoring, whatever the clock says.
    """
    return max([_today(folder), *_dated(folder)])


class LogReader:
    """Reads the log of a folder, each time from where it ended the last time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends: dict[Path, int] = {}  # bytes of each file that were read
        self._inodes: dict[Path, int] = {}  # of the files that these were read of

    def rewind(self) -> bool:
        """Begin anew where a file that was read is gone, shorter, or another by now; whether that is so."""
        if all(self._is_there(path) for path in self._ends):
            return False
        self._ends.clear()
        return True

    def _is_there(self, path: Path) -> bool:
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        except OSError:  # reading tells it
            return True
        return found.st_ino == self._inodes[path] and found.st_size >= self._ends[path]

    def results(self) -> Iterator[Entry]:
        """The results that came since, oldest first; what is no whole line is passed over."""
        names = {field.name for field in fields(Entry)}
        for found in self.lines():
            try:
                known = {name: value for name, value in found.items() if name in names}
                yield Entry(**{**known, "notes": tuple(known.get("notes", ()))})
            except (TypeError, AttributeError):  # of another kind, a refusal for one
                continue

    def lines(self) -> Iterator[Any]:
        """The same, as they are written, and what else there is."""
        for path in [self._folder / FIRST, *sorted(_dated(self._folder))]:
            try:
                with path.open("rb") as stream:
                    self._inodes[path] = os.fstat(stream.fileno()).st_ino
                    stream.seek(self._ends.get(path, 0))
                    for line in stream:
                        try:
                            found = json.loads(line)
                        except ValueError:
                            if not line.endswith(b"\n"):
                                break  # it is being written
                            found = None
                        self._ends[path] = self._ends.get(path, 0) + len(line)
                        if found is not None:
                            yield found
            except FileNotFoundError:
                continue
            except OSError as error:
                raise UsageError(f"{path}: can't be read ({error.strerror or error})") from error


def read_log(folder: Path) -> Iterator[Entry]:
    """All of the log's results, oldest first; none without a log."""
    return LogReader(folder).results()


def read_seen(folder: Path, machine: str, trial: str, model: str) -> Iterator[tuple[str, int, float]]:
    """The recordings that a model has scored or refused, as they were: path, bytes, last change."""
    for found in LogReader(folder).lines():
        try:
            if (found["machine"], found["trial"], found.get("model") or model) == (machine, trial, model):
                yield str(found["file"]), int(found["size"]), float(found["recorded"])
        except (TypeError, KeyError, ValueError):  # of before sizes were logged, or of a file that was gone
            continue


def _today(folder: Path) -> Path:
    return folder / time.strftime("log-%Y-%m-%d.jsonl")


def _dated(folder: Path) -> list[Path]:
    return [path for path in folder.glob("log-*.jsonl") if _DATED.fullmatch(path.name)]


def _open(path: Path) -> FileIO:
    try:
        stream = path.open("ab+", buffering=0)
        if stream.tell() and _last_byte(stream) != b"\n":
            stream.write(b"\n")  # behind the line of a process that was killed
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror or error})") from error
    return stream


def _last_byte(stream: FileIO) -> bytes:
    stream.seek(-1, os.SEEK_END)
    return bytes(stream.read(1))
