"""A finished search of machines whose trials only listen to how loud a clip is, and its ensembles."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pupils import TINY, finish, train

from humtune.detectors.noop import Noop
from humtune.distillation.begin import begin
from humtune.distillation.worth import measure_students
from humtune.ledger import Ledger
from humtune.plan import Asked, Machine, Plan
from humtune.records import TrialRecord, trial_id
from humtune.results.ensembles.make import make_ensembles
from humtune.search.trial import TrialRun, open_bank
from humtune.sounds.bank import load_banks
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.sounds.table import assign_roles
from humtune.storage import Storage


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of the search "loud": four trials of fan and valve each, and an ensemble of fan."""
    folder = tmp_path_factory.mktemp("loud")
    sizes = Sizes(sections=2, train_source=14, train_target=4, test_per_cell=6, seconds=0.7)
    synthesise(folder / "data", machines=("fan", "valve"), sizes=sizes)
    storage = Storage(folder / "runs")
    banks = load_banks(folder / "data", storage)
    tables = {m: assign_roles(bank.table, held_out=0.3) for m, bank in banks.items()}
    ledger = Ledger(storage, "loud")
    ledger.create(
        Plan(
            name="loud",
            created=time.time(),
            version="0",
            asked=Asked(space={}, data=str(folder / "data"), trials=4, held_out=0.3),
            machines={m: Machine(bank=bank.folder, data_hash=bank.hash) for m, bank in banks.items()},
        ),
        {m: table.take(table.role != "train") for m, table in tables.items()},
    )
    for machine in banks:
        for number, blur in enumerate((0.5, 1.0, 2.0, 4.0)):
            record = TrialRecord(
                id=trial_id(machine, number),
                machine=machine,
                number=number,
                origin="sampler",
                params={"blur": blur},
                config=Noop(steps=1, blur=blur, seed=number),
                started=time.time(),
            )
            finish(TrialRun(ledger, record, [ledger.bank(machine)], measured=()))
    make_ensembles(ledger, machines=["fan"], members=3, calibration="standard")
    return folder / "runs"


@pytest.fixture(scope="session")
def measured(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """The search with two students of fan, which are compared with their teacher: to look at."""
    folder = tmp_path_factory.mktemp("measured") / "runs"
    shutil.copytree(finished, folder)
    ledger = Ledger.open(Storage(folder), "loud")
    open_bank.cache_clear()
    students, _ = begin(ledger, machines=["fan"], epochs=12, settings=TINY, lessons=40, seeds=2)
    train(students)
    assert measure_students(ledger, students) == []
    return ledger


@pytest.fixture
def ledger(finished: Path, tmp_path: Path) -> Iterator[Ledger]:
    """A copy of the finished search, to go on with in this process."""
    open_bank.cache_clear()
    shutil.copytree(finished, tmp_path / "runs")
    yield Ledger.open(Storage(tmp_path / "runs"), "loud")
    open_bank.cache_clear()
