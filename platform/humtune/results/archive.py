"""The score archive: all records and scores of a machine's trials in one file, for thousands of trials.

A cache of the ledger and nothing more: every trial in it carries the modification times and sizes of the
files it was read from. One listing of the ledger tells which trials changed; those are read again, so it is
never trusted when stale, and may be deleted at any time.
"""

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from humtune.config import SHARED
from humtune.errors import DamagedScores, HumtuneError
from humtune.ledger import Ledger
from humtune.metrics.cells import Array
from humtune.records import TrialRecord, TrialState, machine_of
from humtune.results.candidates import Candidate, candidates
from humtune.sounds.parallel import map_in_order

Stamps = Mapping[str, str]  # trial -> what changes whenever its record or scores do

_FORMAT = {b"humtune.archive": b"2"}


@dataclass(frozen=True, eq=False)
class Archive:
    """A machine's trials, and the scores of the complete ones."""

    records: tuple[TrialRecord, ...]  # of their epochs the last alone, in the order of their numbers
    keys: tuple[tuple[str, str], ...]  # trial and score type of each row of scores
    scores: Array  # [K, N], in the order of the ledger's clips
    lost: Mapping[str, str]  # complete trial -> why its scores can't be read: it can't be chosen

    @cached_property
    def _row(self) -> dict[tuple[str, str], int]:
        return {key: row for row, key in enumerate(self.keys)}

    @property
    def notes(self) -> list[str]:
        """A sentence about each trial whose scores are lost."""
        return [f"{trial} is left out: {reason}" for trial, reason in self.lost.items()]

    def usable(self, records: Iterable[TrialRecord]) -> list[TrialRecord]:
        """The records of the trials whose scores aren't lost."""
        return [record for record in records if record.id not in self.lost]

    def candidates(self, *, exportable: bool = False) -> list[Candidate]:
        """Every score type of the trials that the search chose from: see `results.candidates`."""
        return candidates(self.usable(self.records), exportable=exportable)

    def of(self, chosen: Sequence[Candidate]) -> Array:
        """Scores [K, N] of some candidates; HumtuneError for one that is not complete, or lost."""
        return self.rows([(c.trial.id, c.score_type) for c in chosen])

    def rows(self, keys: Sequence[tuple[str, str]]) -> Array:
        """Scores [K, N] by trial and score type; HumtuneError for one that is not complete, or lost."""
        try:
            return self.scores[[self._row[key] for key in keys]]
        except KeyError as error:
            trial, score_type = error.args[0]
            reason = self.lost.get(trial, f"there are no scores of type {score_type!r}")
            raise HumtuneError(f"{trial}: {reason}") from None


@dataclass(frozen=True, eq=False)
class _Trial:
    stamp: str
    record: str  # JSON, of the epochs the last alone
    scores: Mapping[str, Array]  # [N], by score type
    lost: str = ""  # why they can't be read


def trial_stamps(ledger: Ledger) -> Stamps:
    """The stamp of every trial of a search that has a record, out of one listing of its files."""
    layout, files = ledger.layout, defaultdict[str, dict[str, str]](dict)
    for name, (modified, size) in ledger.storage.stamps(layout.trials).items():
        trial, _, file = name.partition("/")
        machine = PurePath(file).parts[1:2] if file.startswith("machines/") else ()
        folder = "/".join((trial, "machines", *machine)) if machine else trial
        path = f"{layout.trials}/{name}"
        records = (layout.record(trial), layout.progress(trial))
        if path in (*records, layout.score(folder, PurePath(file).stem)):
            files[trial][path] = f"{file} {modified} {size}"
    return {
        trial: hashlib.md5("\n".join(sorted(found.values())).encode(), usedforsecurity=False).hexdigest()
        for trial, found in files.items()
        if found.keys() & {layout.record(trial), layout.progress(trial)}
    }


def read_archive(ledger: Ledger, machine: str, *, stamps: Stamps | None = None) -> Archive:
    """All trials of a machine with their scores, brought up to date with the ledger first.

    `stamps`, where several machines share one listing of the ledger. A complete trial with a score file that
    is missing, torn or not of the machine's clips is lost, and keeps no other from being read.
    """
    stamps = trial_stamps(ledger) if stamps is None else stamps
    studies = (machine,) if SHARED in ledger.plan.machines else (machine, SHARED)
    wanted = sorted(
        (t for t in stamps if machine_of(t) in studies),
        key=lambda t: (machine_of(t) != machine, t.rpartition("-")),
    )
    known, scores = _load(ledger, machine)
    stale = [t for t in wanted if t not in known or known[t].stamp != stamps[t]]
    if stale or len(known) != len(wanted):
        clips = len(ledger.clips(machine))

        def read(trial: str) -> _Trial:
            return _read_trial(ledger, trial, machine, stamps[trial], clips)

        fresh = map_in_order(read, stale, title=f"reading {machine}")
        known |= dict(zip(stale, fresh, strict=True))
        known = {trial: known[trial] for trial in wanted}
        rows = [vector for found in known.values() for vector in found.scores.values()]
        scores = np.stack(rows) if rows else np.zeros((0, 0))
        with suppress(OSError):  # somebody else's storage: what can't be kept is read again
            ledger.storage.write(ledger.layout.archive(machine), _to_parquet(known))
    try:
        records = tuple(TrialRecord.model_validate_json(t.record) for t in known.values())
    except ValidationError:  # of another version: the ledger itself says what is wrong
        ledger.storage.delete(ledger.layout.archive(machine))
        records = tuple(ledger.trials_of(machine))
    keys = tuple((trial, name) for trial, found in known.items() for name in found.scores)
    return Archive(records, keys, scores, {name: found.lost for name, found in known.items() if found.lost})


def _read_trial(ledger: Ledger, trial: str, machine: str, stamp: str, clips: int) -> _Trial:
    whole = ledger.read(trial)
    record = whole.of(machine)
    if record is None:
        raise HumtuneError(f"{trial} is a trial of {', '.join(whole.machines)}, not of {machine}")
    kept = record.model_copy(update={"epochs": record.epochs[-1:]}).model_dump_json()
    names = record.judged if record.state == TrialState.COMPLETE else ()
    try:
        return _Trial(stamp, kept, {name: ledger.scores(record.folder, name, clips=clips) for name in names})
    except DamagedScores as error:
        return _Trial(stamp, kept, {}, str(error))


def _load(ledger: Ledger, machine: str) -> tuple[dict[str, _Trial], Array]:
    """What the file holds by trial, and all of its scores; nothing where it can't be read."""
    nothing: tuple[dict[str, _Trial], Array] = {}, np.zeros((0, 0))
    try:
        table = pq.read_table(io.BytesIO(ledger.storage.read(ledger.layout.archive(machine))))
    except (OSError, pa.ArrowException):
        return nothing
    if (table.schema.metadata or {}).get(b"humtune.archive") != _FORMAT[b"humtune.archive"]:
        return nothing
    trials, stamps, records, lost, types = (
        table[c].to_pylist() for c in ("trial", "stamp", "record", "lost", "score_type")
    )
    vectors = _vectors(table["scores"], sum(name is not None for name in types))
    rows = iter(vectors)
    found: dict[str, _Trial] = {}
    for trial, stamp, record, why, score_type in zip(trials, stamps, records, lost, types, strict=True):
        if record is not None:
            scores: dict[str, Array] = {}
            found[trial] = _Trial(stamp, record, scores, why)
        if score_type is not None:
            scores[score_type] = next(rows)
    return found, vectors


def _vectors(column: pa.ChunkedArray, count: int) -> Array:
    """The column's vectors [count, N], not copied: they lie in one buffer, one after the other."""
    joined = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.large_binary())
    data = joined.buffers()[2] if count else None
    return np.frombuffer(data or b"", np.float64).reshape(count, -1 if count else 0)


def _to_parquet(trials: Mapping[str, _Trial]) -> bytes:
    """A row a trial and score type; the record stands in the trial's first row only."""
    rows = [
        (
            name,
            trial.stamp,
            None if i else trial.record,
            trial.lost,
            score_type,
            None if vector is None else vector.tobytes(),
        )
        for name, trial in trials.items()
        for i, (score_type, vector) in enumerate(trial.scores.items() or [(None, None)])
    ]
    trial, stamp, record, lost, score_type, scores = zip(*rows, strict=True) if rows else ((),) * 6
    table = pa.table(
        {
            "trial": pa.array(trial, pa.string()),
            "stamp": pa.array(stamp, pa.string()),
            "record": pa.array(record, pa.string()),
            "lost": pa.array(lost, pa.string()),
            "score_type": pa.array(score_type, pa.string()),
            "scores": pa.array(scores, pa.large_binary()),
        },
        metadata=_FORMAT,
    )
    stream = io.BytesIO()
    pq.write_table(
        table,
        stream,
        compression={"scores": "none", **dict.fromkeys(table.column_names[:5], "zstd")},
        use_dictionary=["trial", "stamp", "score_type"],
    )
    return stream.getvalue()
