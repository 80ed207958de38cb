"""Scores and decisions of new recordings as files, in the format of a DCASE submission."""

import csv
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from humtune.errors import UsageError
from humtune.evaluation.scorefiles import KINDS, file_name, make_folder
from humtune.runtime.outcomes import Scored
from humtune.runtime.timeline import write_timeline
from humtune.sounds.clip import Clip


class ResultFiles:
    """Writes scores and decisions, `file,value` a line, as they come: what is scored is in the files.

    Test clips named by the DCASE grammars go to `anomaly_score_<machine>_section_<SS>_test.csv` and
    `decision_result_…`, a pair a section; all others to `anomaly_score_<machine>.csv` and its pair. Files of
    these names are replaced. Recordings stand by name, or by path where one of the same name, out of another
    folder, stands there already.
    """

    def __init__(self, folder: Path, machine: str, threshold: float) -> None:
        """Make the folder; UsageError where that can't be. The threshold is drawn into pictures."""
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
            raise self._told(full) from full

    @property
    def files(self) -> list[Path]:
        """The files written, by section."""
        sections = sorted(self._pairs, key=lambda section: (section is not None, section))
        return [self.folder / file_name(kind, self.machine, s) for s in sections for kind in KINDS]

    def write(self, scored: Scored) -> list[Path]:
        """Write a recording's score and decision; a long one's table and picture too, which are returned."""
        section = _section(scored.path, self.machine)
        if section not in self._pairs:
            scores, decisions = (self._begin(file_name(kind, self.machine, section)) for kind in KINDS)
            self._pairs[section] = scores, decisions
        name = self._name(scored.path)
        for writer, value in zip(self._pairs[section], (scored.score, int(scored.is_anomaly)), strict=True):
            try:
                writer.writerow((name, value))
            except OSError as error:
                raise self._told(error) from error
        return write_timeline(self.folder, name, scored.timeline, self.threshold) if scored.timeline else []

    def _begin(self, name: str) -> Any:
        path = self.folder / name
        try:
            stream = path.open("w", encoding="utf-8", errors="surrogateescape", newline="", buffering=1)
        except OSError as error:
            raise UsageError(f"{path}: can't be written ({error.strerror or error})") from error
        return csv.writer(self._open.enter_context(stream), lineterminator="\n")

    def _told(self, error: OSError) -> UsageError:
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
