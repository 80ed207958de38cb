"""Score many recordings: those that can't be read are named, the rest is scored."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from humtune.errors import HumtuneError, UsageError
from humtune.runtime.scorer import Scorer
from humtune.sounds.audio import read_recording, to_waveform
from humtune.sounds.clip import is_recording
from humtune.sounds.parallel import map_in_order


@dataclass(frozen=True)
class Scored:
    """One recording's score and decision."""

    path: Path
    score: float
    is_anomaly: bool
    seconds: float  # of sound
    changes: tuple[str, ...]  # what had to be done to it: mixed down, resampled, repeated


@dataclass(frozen=True)
class Failed:
    """A recording that could not be scored, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class ScoringRun:
    """What came of many recordings, in their order."""

    scored: tuple[Scored, ...]
    failed: tuple[Failed, ...]
    seconds: float  # it took

    @property
    def clips_per_second(self) -> float:
        """Recordings scored in a second."""
        return len(self.scored) / self.seconds

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of work in a second of sound; None where nothing was scored."""
        sound = sum(s.seconds for s in self.scored)
        return self.seconds / sound if sound else None

    @property
    def changes(self) -> dict[str, int]:
        """What had to be done to recordings, and to how many."""
        found = [change for s in self.scored for change in s.changes]
        return {change: found.count(change) for change in dict.fromkeys(found)}


def find_recordings(paths: Iterable[Path]) -> list[Path]:
    """The files named, and the wav and flac files of the folders named; each once.

    UsageError for a folder without any. A named file that isn't there is told when it is scored.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            found[path] = None
            continue
        recordings = sorted(file for file in path.iterdir() if file.is_file() and is_recording(file))
        if not recordings:
            folders = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
            mend = f"; did you mean one of its folders ({', '.join(folders)})?" if folders else ""
            raise UsageError(f"{path}: no wav or flac files in it{mend}")
        found.update(dict.fromkeys(recordings))
    return list(found)


def score_files(scorer: Scorer, paths: Sequence[Path], *, workers: int | None = None) -> ScoringRun:
    """Score recordings, several at a time (`workers`; None: as many as there are cores), with progress."""

    def score(path: Path) -> Scored | Failed:
        try:
            return score_file(scorer, path)
        except HumtuneError as error:
            return Failed(path, str(error).removeprefix(f"{path}: "))

    began = time.perf_counter()
    results = list(map_in_order(score, paths, title=f"scoring {scorer.info.machine}", workers=workers))
    return ScoringRun(
        scored=tuple(r for r in results if isinstance(r, Scored)),
        failed=tuple(r for r in results if isinstance(r, Failed)),
        seconds=time.perf_counter() - began,
    )


def score_file(scorer: Scorer, path: Path) -> Scored:
    """Score one recording; UsageError where it can't be read."""
    rate = scorer.info.sample_rate
    recording = read_recording(path, rate)
    changes = recording.changes
    if scorer.is_short(len(recording.samples)):
        changes = (*changes, f"repeated to the model's shortest, {scorer.info.least_samples / rate:.2f} s")
    score = scorer.score(to_waveform(recording.samples))
    return Scored(path, score, scorer.decide(score), len(recording.samples) / rate, changes)
