"""Searches made by hand, without Ray: a plan, a space, a tiny bank of clips, records as trials leave them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humtune.ledger import Ledger
from humtune.plan import Asked, Machine, Plan
from humtune.records import Epoch, TrialRecord, TrialState, ended
from humtune.search.space import Space, check_space
from humtune.search.studies import Studies
from humtune.search.trial import open_bank
from humtune.sounds.bank import ClipBank
from humtune.sounds.probes import scored_table
from humtune.sounds.table import ANOMALY, NORMAL, SOURCE, TARGET, UNKNOWN, ClipTable, assign_roles
from humtune.storage import Storage

EPOCHS = 8
RUNGS = (2, 4)  # grace 0.25 of 8 epochs


def make_space(**keys: Any) -> Space:
    """mu and sigma2 are searched; 8 epochs; rungs at 2 and 4 where there is a pruner."""
    raw: dict[str, Any] = {
        "trials": 6,
        "grace": 0.25,
        "fixed": {"training": {"epochs": EPOCHS}},
        "search": {
            "head.mu": [5, 10, 20, 30],
            "head.sigma2": {"low": 0.02, "high": 0.5, "log": True},
        },
    }
    return check_space(raw | keys, where="here")


@pytest.fixture
def trials_here(one_thread: None) -> None:
    """Trials of a test run in this process, which knows no bank of the test before."""
    open_bank.cache_clear()


@dataclass
class Bench:
    """A search whose trials are played by hand."""

    ledger: Ledger
    space: Space

    def studies(self) -> Studies:
        """The studies as a driver that starts now has them."""
        return Studies(self.ledger, self.space)

    def quota(self, trials: int) -> None:
        """Want so many trials a machine."""
        self.ledger.write_plan(self.ledger.plan.asking(trials=trials))

    def epoch(
        self, studies: Studies, record: TrialRecord, omega: float | None = None
    ) -> tuple[TrialRecord, bool]:
        """Another epoch of a trial, written and reported; the record, and whether to stop."""
        number = len(record.epochs) + 1
        metrics = {"loss": 1 / number} | ({} if omega is None else {"omega": omega})
        epoch = Epoch(epoch=number, ended=1e9 + number, seconds=2.0, metrics=metrics)
        record = record.model_copy(update={"epochs": (*record.epochs, epoch), "seconds": 2.0 * number})
        if number == record.config["training"]["epochs"]:
            assert omega is not None
            update = {
                "state": TrialState.COMPLETE,
                "omega": {"nll": omega, "cosine": omega / 2},
                "ended": 1e9,
            }
            record = record.model_copy(update=update)
            self.ledger.write(record)
            studies.end(record)
            return record, False
        self.ledger.write(record)
        return record, studies.report(record.id, number, 2.0, omega)

    def play(self, studies: Studies, record: TrialRecord, omega: float) -> TrialRecord:
        """A whole trial that reaches an Ω, on rungs a little less; stopped where the studies say so."""
        for number in range(len(record.epochs) + 1, EPOCHS + 1):
            rung = number in self.space.rungs or number == EPOCHS
            value = omega - 0.01 * (EPOCHS - number) if rung else None
            record, stop = self.epoch(studies, record, value)
            if stop:
                return self.end(studies, record, TrialState.PRUNED, "stopped")
        return record

    def end(self, studies: Studies, record: TrialRecord, state: TrialState, reason: str) -> TrialRecord:
        """A trial that ends before its time."""
        record = ended(record, state, reason)
        self.ledger.write(record)
        studies.end(record)
        return record


@pytest.fixture
def space() -> Callable[..., Space]:
    return make_space


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    """A search's ledger: machines fan and fan-2 unless others are named; keys are the space's."""

    def make(*, machines: tuple[str, ...] = ("fan", "fan-2"), name: str = "hums", **keys: Any) -> Bench:
        space = make_space(**keys)
        ledger = Ledger(Storage(tmp_path / "runs"), name)
        holds = {m: len(space.runs(m)) for m in machines} if space.enumerated else {}
        plan = Plan(
            name=name,
            created=1e9,
            version="0.1.0",
            asked=Asked(
                space=space.model_dump(mode="json"),
                data="recordings",
                trials=max(map(space.quota, machines)),
            ),
            machines={m: Machine(bank=f"banks/{m}", data_hash="ab12") for m in machines},
            holds=holds,
        )
        ledger.create(plan, {})
        return Bench(ledger, space)

    return make


def clip_table(
    machine: str = "fan", *, sections: int = 2, train: int = 8, per_cell: int = 3, labelled: bool = True
) -> ClipTable:
    """Training clips of each section and test clips in each of its four cells, with roles."""
    cells = [(d, y) for d in (SOURCE, TARGET) for y in (NORMAL, ANOMALY)]
    rows = [(s, "train", SOURCE, NORMAL) for s in range(sections) for _ in range(train)]
    rows += [(s, "test", d, y) for s in range(sections) for d, y in cells for _ in range(per_cell)]
    section, split, domain, label = zip(*rows, strict=True)
    table = ClipTable.from_columns(
        machine=machine,
        name=[f"clip_{i:04d}.wav" for i in range(len(rows))],
        part=["dev"] * len(rows),
        split=split,
        section=section,
        domain=domain,
        label=[y if labelled or s == "train" else UNKNOWN for s, y in zip(split, label, strict=True)],
        attributes=[""] * len(rows),
        role=[""] * len(rows),
    )
    return assign_roles(table)


def make_bank(table: ClipTable, *, samples: int = 3000) -> ClipBank:
    """Noise whose colour tells the section, and a click for an anomaly."""
    rng = np.random.default_rng(0)
    clips = rng.normal(0, 3000, (len(table), samples))
    for clip, section, label in zip(clips, table.section, table.label, strict=True):
        clip[1:] += (0.9 if section else -0.9) * clip[:-1]
        if label == ANOMALY:
            clip[::50] += 4000
    return ClipBank(
        table=table,
        samples=clips.clip(-32768, 32767).astype(np.int16).ravel(),
        offsets=np.arange(len(table) + 1) * samples,
        hash="ab12",
    )


@pytest.fixture
def table() -> Callable[..., ClipTable]:
    return clip_table


@pytest.fixture
def bank() -> ClipBank:
    """40 clips of machine fan: two sections, four cells."""
    return make_bank(clip_table())


@pytest.fixture
def bank_of() -> Callable[..., ClipBank]:
    """A bank of a table's clips."""
    return make_bank


@pytest.fixture
def shortened() -> Callable[[ClipBank, int], ClipBank]:
    """The same clips, each so many samples long."""
    return lambda bank, samples: make_bank(bank.table, samples=samples)


@pytest.fixture
def on_disk(bench: Callable[..., Bench], bank: ClipBank) -> Callable[..., Bench]:
    """A search of one machine whose bank and clips lie in the storage."""

    def make(**keys: Any) -> Bench:
        made = bench(machines=("fan",), **keys)
        ledger = made.ledger
        folder = ledger.storage.path("banks/fan")
        folder.mkdir(parents=True)
        np.save(folder / "samples.npy", bank.samples)
        np.save(folder / "offsets.npy", bank.offsets)
        (folder / "clips.json").write_bytes(replace(bank.table).to_json())
        scored = scored_table(bank, None)
        ledger.storage.write(f"{ledger.name}/clips/fan.json", scored.to_json())
        return made

    return make
