"""A folder of results: the log, and what is made of it in the format of a DCASE submission."""

import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self
from zlib import crc32

from humtune.dcase.files import KINDS, file_name, make_folder, one_spelling, read_file, write_file
from humtune.errors import UsageError
from humtune.runtime.info import ModelInfo
from humtune.runtime.log import Entry, Log, Refusal, read_log, read_seen
from humtune.runtime.outcomes import Failed, Scored
from humtune.runtime.timeline import write_timeline
from humtune.sounds.clip import Clip

DETAILS = "exhibits"  # the folder of what there is of single recordings
_KEPT = re.compile(r".+\.\w+-[0-9a-f]{8}(\.healthy)?\.(png|flac|json)")  # beside the tables of windows
_ROOM = 200  # bytes of a file's name, before what is added to it


class ResultFiles:
    """Logs results as they come, and makes the tables at the end; nothing that was there before is lost."""

    def __init__(self, folder: Path, info: ModelInfo, *, model: str = "") -> None:
        """Make the folder and open its log; UsageError where that can't be.

        `model` is the digest that its scorer has; results of another one of the same trial are not its own.
        """
        make_folder(folder)
        self.folder, self.info, self.model = folder, info, model
        self._log = Log(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.__exit__(kind, error, trace)

    def write(self, outcome: Scored | Failed) -> list[Path]:
        """Log what came of a recording; of a long one its windows are written too, into the file returned."""
        return self._write(outcome) if isinstance(outcome, Scored) else self._refuse(outcome)

    def seen(self) -> Iterator[tuple[str, int, float]]:
        """The recordings that this model has scored or refused, as they were: path, bytes, last change."""
        return read_seen(self.folder, self.info.machine, self.info.trial, self.model)

    def _refuse(self, failed: Failed) -> list[Path]:
        if failed.look is not None:
            refusal = Refusal(
                time=time.time(),
                recorded=failed.look.changed,
                machine=self.info.machine,
                trial=self.info.trial,
                file=os.path.abspath(failed.path),  # noqa: PTH100 - as below
                size=failed.look.size,
                reason=failed.reason,
                model=self.model,
            )
            self._log.append(refusal)
        return []

    def _write(self, scored: Scored) -> list[Path]:
        info, timeline, look = self.info, scored.timeline, scored.look
        strangest = 0 if timeline is None else int(timeline.scores.argmax())
        entry = Entry(
            time=time.time(),
            recorded=None if look is None else look.changed,
            machine=info.machine,
            trial=info.trial,
            file=os.path.abspath(scored.path),  # noqa: PTH100 - links stay as they are
            seconds=scored.seconds,
            score=scored.score,
            limit=scored.scale.limit,
            usual=scored.scale.usual,
            anomaly=scored.is_anomaly,
            start=0.0 if timeline is None else float(timeline.starts[strangest]),
            window=scored.seconds if timeline is None else timeline.window,
            windows=1 if timeline is None else len(timeline.scores),
            notes=scored.notes,
            size=None if look is None else look.size,
            model=self.model,
        )
        files = []
        if timeline is not None:
            files = [
                write_timeline(
                    self.folder / DETAILS / f"{detail_name(entry.file, self.model)}.windows.csv", timeline
                )
            ]
        self._log.append(entry)
        return files

    def write_tables(self) -> list[Path]:
        """Write the tables of the recordings in the log, the last result of each; the files."""
        return write_tables(self.folder, read_log(self.folder))


def write_tables(folder: Path, entries: Iterable[Entry]) -> list[Path]:
    """Write scores and decisions, `recording,value` a line, in files of their machine and section.

    Test clips named by the DCASE grammars go to `anomaly_score_<machine>_section_<SS>_test.csv` and
    `decision_result_…`, all others to `anomaly_score_<machine>.csv` and its pair. Recordings stand by name,
    or by path where one of the same name, out of another folder, stands there already. Lines of such files
    that the log knows nothing of stay. UsageError where one can't be read or written.
    """
    last: dict[tuple[str, str], tuple[float, bool]] = {}
    for entry in entries:
        last[entry.machine, entry.file] = entry.score, entry.anomaly
    tables: dict[tuple[str, int | None], dict[str, tuple[float, bool]]] = {}
    taken: dict[tuple[str, int | None], set[str]] = {}
    for (machine, file), result in last.items():
        place = machine, _section(Path(file), machine)
        name = os.path.basename(file)  # noqa: PTH119 - a million of them
        names, key = taken.setdefault(place, set()), one_spelling(name)
        tables.setdefault(place, {})[file if key in names else name] = result
        names.add(key)
    written = []
    for machine, section in sorted(tables, key=lambda key: (key[0], key[1] is not None, key[1])):
        table = tables[machine, section]
        for kind, values in zip(KINDS, zip(*table.values(), strict=True), strict=True):
            path = folder / file_name(kind, machine, section)
            before = read_file(path, binary=kind != KINDS[0]) if path.exists() else {}
            both = before | dict(zip(table, map(float, values), strict=True))
            written.append(
                write_file(folder, kind, machine=machine, section=section, names=both, values=both.values())
            )
    return written


def detail_name(file: str, model: str = "") -> str:
    """How the files begin that there are of a recording and a model's digest.

    It is the recording's name in plain letters, and a number for its path and the model.
    """
    name = re.sub(r"[^\w.-]", "_", os.path.basename(file))  # noqa: PTH119
    return (
        f"{os.fsencode(name)[:_ROOM].decode(errors='ignore')}-{crc32(os.fsencode(file) + model.encode()):08x}"
    )


def is_detail(path: Path) -> bool:
    """Whether a file is what is kept to look and listen, and no recording of the user's."""
    return path.parent.name == DETAILS and _KEPT.fullmatch(path.name) is not None


def _section(path: Path, machine: str) -> int | None:
    try:
        return Clip.parse(path, machine=machine, part="dev", split="test").section
    except UsageError:
        return None
