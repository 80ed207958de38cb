"""The ledger: the record of every trial of a search, and the only truth about it.

What lies where says `layout`. Every file is written whole or not at all, so a search may be killed at any
moment.
"""

import io
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from humtune.config import SHARED, Stored
from humtune.errors import DamagedScores, HumtuneError, Superseded, TooNew, UsageError
from humtune.layout import Layout
from humtune.names import command, twin
from humtune.plan import Plan
from humtune.records import TrialRecord, TrialState, machine_of, of_machine, why_none
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import ClipTable
from humtune.storage import Storage

READERS = 16  # requests at a time to a distant storage
READINGS = 5  # of a distant record that grows between the two requests for its size and for so many bytes

Kept = TypeVar("Kept", bound=Stored)


class Ledger:
    """Reads and writes one search's record."""

    def __init__(self, storage: Storage, name: str, *, lease: str = "") -> None:
        self.storage = storage
        self.name = name
        self.layout = Layout(name)
        self.lease = lease
        self._claims: dict[str, bytes] = {}  # file -> what it holds as long as the trial is ours

    @classmethod
    def open(cls, storage: Storage, name: str) -> "Ledger":
        """The ledger of a search that exists; a UsageError that lists the searches where it doesn't."""
        ledger = cls(storage, name)
        if "/" in name or name in ("", ".", "..") or not storage.exists(ledger.layout.plan):
            known = searches(storage)
            if (meant := twin(name, known)) != name:
                return cls(storage, meant)
            names = ", ".join(known) or "none yet"
            raise UsageError(f"no search named '{name}' in {storage.uri}; there are: {names}")
        return ledger

    def create(self, plan: Plan, clips: Mapping[str, ClipTable]) -> None:
        """Write the plan and each machine's scored clips; refused where the name is taken."""
        if self.storage.exists(self.layout.plan):
            raise UsageError(f"there is a search named '{self.name}' already: {self.resume}")
        for machine, table in clips.items():
            self.storage.write(self.layout.clips(machine), table.to_json())
        self.write_plan(plan)

    @property
    def resume(self) -> str:
        """The command that goes on with the search."""
        return command("resume", self.name, storage=self.storage.option)

    def remove(self) -> None:
        """Remove a search of which no trial has begun, its plan first: from then on its name is free.

        Only what a search writes goes: its folder may have been there before it, with other things.
        """
        layout, studies = self.layout, self.plan.studies
        written = [name(study) for name in (layout.clips, layout.warm) for study in studies]
        for name in (layout.plan, layout.lease, layout.stop, *written):
            self.storage.delete(name)
        for folder in (*{name.rpartition("/")[0] for name in written}, layout.trials, self.name):
            self.storage.delete_empty(folder)

    def write_plan(self, plan: Plan) -> None:
        """Write the plan (again, where a resumed search wants more trials)."""
        self.storage.write(self.layout.plan, plan.model_dump_json(indent=1).encode())

    @property
    def plan(self) -> Plan:
        """What was asked for."""
        return read_stored(self.storage, self.layout.plan, Plan)

    def clips(self, machine: str) -> ClipTable:
        """The machine's scored clips, that is all but those to train on; the order of every score vector."""
        return ClipTable.from_json(self.storage.read(self.layout.clips(machine)))

    def bank(self, machine: str) -> ClipBank:
        """The machine's recordings, with the role that each clip had when the search began; memory-mapped."""
        bank = ClipBank.open(self.storage, self.plan.machines[machine].bank)
        return replace(bank, table=bank.table.with_roles_of(self.clips(machine)))

    def probes(self, machine: str) -> ClipBank | None:
        """The machine's probes, memory-mapped; None where the search has none."""
        folder = self.plan.machines[machine].probes
        return ClipBank.open(self.storage, folder) if folder else None

    def take_lease(self) -> None:
        """Take the lease: whatever is left of an earlier run of the search may write no trial any more."""
        self.lease = uuid.uuid4().hex
        self.storage.write(self.layout.lease, self.lease.encode())

    def check_lease(self) -> None:
        """Raise Superseded where a later run has begun, or the claimed trial has been begun elsewhere.

        A ledger without a lease that has claimed nothing may always write.
        """
        if self.lease and self.storage.read(self.layout.lease) != self.lease.encode():
            raise Superseded(f"{self.name} was resumed elsewhere, and goes on there")
        for name, mark in self._claims.items():
            if self.storage.read(name) != mark:
                raise Superseded(f"{name.split('/')[-2]} was begun again elsewhere, and goes on there")

    def request_stop(self) -> None:
        """Ask whoever runs the search to end it cleanly; it can be resumed."""
        self.storage.write(self.layout.stop, b"")

    def withdraw_stop(self) -> None:
        """Forget an earlier wish that the search should end."""
        self.storage.delete(self.layout.stop)

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether somebody wishes that the search should end."""
        return self.storage.exists(self.layout.stop)

    def claim(self, trial: str) -> None:
        """Take over a trial: a process on a computer that was thought lost may write it no more."""
        name, mark = self.layout.holder(trial), uuid.uuid4().bytes
        self.check_lease()
        self.storage.write(name, mark)
        self._claims = {name: mark}

    def write(self, record: TrialRecord) -> None:
        """Write one trial's record over the one before; Superseded where a later run has begun.

        What has ended has a file of its own: a write of an earlier state, which was under way when a computer
        lost its network, arrives when that is mended, however late.
        """
        self.check_lease()
        data, progress = record.model_dump_json().encode(), self.layout.progress(record.id)
        if record.state == TrialState.RUNNING:
            self.storage.write(progress, data)
        else:
            self.storage.write(self.layout.record(record.id), data)
            self.storage.delete(progress)

    def find(self, trial: str) -> TrialRecord | None:
        """One trial's record, where there is one; of a damaged one a failed trial with that reason.

        TooNew where a newer humtune wrote it: without that trial, whatever is said of the search is wrong.
        """
        ended, running = self.layout.record(trial), self.layout.progress(trial)
        found = self._find(trial, ended)
        if found and found.state != TrialState.RUNNING:  # earlier ones ran in that file too
            return found
        return self._find(trial, running) or self._find(trial, ended)  # it may have ended in between

    def _find(self, trial: str, name: str) -> TrialRecord | None:
        reason = ""
        for _ in range(1 if self.storage.is_local else READINGS):
            try:
                return read_stored(self.storage, name, TrialRecord)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except TooNew:
                raise
            except HumtuneError as error:
                reason = str(error)
        return self._stand_in(trial, reason)

    def _stand_in(self, trial: str, reason: str) -> TrialRecord | None:
        """A failed trial in memory: the damaged record stays where it is, and costs no other trial."""
        machine, _, number = trial.rpartition("-")
        if not number.isdecimal():
            return None
        return TrialRecord(
            id=trial,
            machine=machine,
            number=int(number),
            origin="sampler",
            params={},
            config={},
            state=TrialState.FAILED,
            reason=reason,
            started=(created := self.plan.created),
            ended=created,
            readable=False,
        )

    def read(self, trial: str) -> TrialRecord:
        """One trial's record; a UsageError where there is no such trial."""
        record = self.find(trial)
        if record is None:
            raise UsageError(f"search '{self.name}' has no trial '{trial}'")
        return record

    def records(self, *studies: str) -> Iterator[TrialRecord]:
        """Every trial's record in the order of machine and number, or those that some studies asked for."""
        trials = sorted(self.storage.list(self.layout.trials), key=lambda t: t.rpartition("-"))
        wanted = [trial for trial in trials if not studies or machine_of(trial) in studies]
        for record in self._found(wanted):
            if record is not None:  # a folder without a record: killed before its first write
                yield record

    def trials_of(self, machine: str) -> list[TrialRecord]:
        """Every trial that may be a machine's best: its own, and shared ones as they are there."""
        return of_machine(self.records(machine, SHARED), machine)

    def _found(self, trials: list[str]) -> Iterator[TrialRecord | None]:
        """The records of some trials in their order; many at a time from afar, where each takes a while."""
        if self.storage.is_local:
            yield from map(self.find, trials)
            return
        with ThreadPoolExecutor(READERS) as pool:
            yield from pool.map(self.find, trials)

    def check_complete(self) -> None:
        """Raise a HumtuneError that says why where no trial of the search is complete."""
        if why := why_none(self.records()):
            raise HumtuneError(f"search '{self.name}': {why}")

    def write_scores(self, trial: str, scores: Mapping[str, NDArray[np.float64]]) -> None:
        """Write a trial's score vectors into its folder, a file per score type."""
        for name, vector in scores.items():
            self.storage.write(self.layout.score(trial, name), npy_bytes(vector))

    def scores(self, trial: str, score_type: str, *, clips: int | None = None) -> NDArray[np.float64]:
        """Scores of the scored clips, float64 [N], higher is more anomalous; `trial` is a trial's folder.

        DamagedScores where the file is missing or torn, or holds other than so many `clips`.
        """
        name = self.layout.score(trial, score_type)
        place = f"{self.storage.uri}/{name}"
        try:
            data = self.storage.read(name)
            found = np.asarray(np.load(io.BytesIO(data), allow_pickle=False), dtype=np.float64)
        except FileNotFoundError:
            raise DamagedScores(f"{place} is missing, though the trial is complete") from None
        except (ValueError, EOFError, BadZipFile, TypeError) as error:
            raise DamagedScores(f"{place} is damaged") from error
        if clips is not None and found.shape != (clips,):
            raise DamagedScores(f"{place} has {found.size} scores for {clips} clips")
        return found


def read_stored(storage: Storage, name: str, kind: type[Kept]) -> Kept:
    """What a file keeps; a HumtuneError that names the file where it is torn, TooNew where that is why."""
    content = storage.read(name)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        place, complaints = f"{storage.uri}/{name}", {e["loc"]: e for e in error.errors()}
        if (said := complaints.get(("format",))) and said["type"] == "less_than_equal":
            raise TooNew(
                f"{place} is of format {said['input']}, written by a newer humtune; update this one"
            ) from error
        loc, first = next(iter(complaints.items()))
        what = f"{'.'.join(map(str, loc))} {first['msg']}".strip()
        raise HumtuneError(f"{place} can't be read: {what}") from error


def searches(storage: Storage) -> list[str]:
    """Names of the searches in a storage."""
    return [name for name in storage.list() if storage.exists(Layout(name).plan)]


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
