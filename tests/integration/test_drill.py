"""What is killed or meets a broken disk loses nothing: the drill of benchmarks/, at its smallest."""

import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from loop import search_here

from humtune.metrics.cells import Cells
from humtune.metrics.omega import omega
from humtune.records import TrialState
from humtune.sounds.table import Role

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_search_that_is_killed_three_times_loses_nothing_and_can_have_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, humtune: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from drill_checks import check
    from drill_search import Kind, drill

    kinds = [Kind.WORKER, Kind.DRIVER, Kind.ALL]  # the last when two trials have ended, or more
    made = drill(tmp_path, kinds, rng=random.Random(0), seed=0, trials=3, epochs=8, pause=0.2, ended=1)
    found = check(made.ledger(name) for name in made.searches)
    found.compare(made.finished, {name: made.ledger(name) for name in made.searches})
    assert found.violations == []
    assert made.kills.total() == 3
    assert made.orphans == 0
    assert made.runs >= 3
    assert found.counts["finished trials run again"] == 0
    assert found.counts["trials that went on from a checkpoint"] >= 1
    assert found.counts["trials equal to an unbroken run"] >= 2
    assert found.counts["MLflow runs compared"] == 2 * 3 * len(made.searches)

    ledger = made.ledger(made.searches[-1])
    before = {record.id: record for record in ledger.records()}
    for record in (record for record in before.values() if record.state == TrialState.COMPLETE):
        cells = Cells.of(ledger.clips(record.machine), Role.SELECT)
        for name, value in record.omega.items():  # the Ω in the record is that of the stored scores
            assert float(omega(ledger.scores(record.id, name), cells)) == value

    search_here(monkeypatch)
    code, out, err = humtune("resume", ledger.name, "--trials", "4", "--storage", made.storage)
    assert code == 0, out + err
    after = {record.id: record for record in ledger.records()}
    assert Counter(record.machine for record in after.values()) == {"fan": 4, "valve": 4}
    assert {name: after[name] for name in before} == before
    found = check([ledger])
    assert (found.violations, found.counts["MLflow runs compared"]) == ([], 8)


@pytest.mark.skipif(
    shutil.which("cc") is None, reason="no C compiler to make a disk fail with: apt-get install g++"
)
def test_commands_that_are_killed_or_meet_a_broken_disk_lose_nothing() -> None:
    words = (
        "data synth",
        "data fetch",
        "banks and probes",
        "submit",
        "report",
        "--kills",
        "2",
        "--faults",
        "1",
    )
    command = [sys.executable, str(BENCHMARKS / "drill.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("'killed': 2, 'disk full': 1, 'I/O error': 1, 'read-only': 1") == 5
    assert done.stdout.endswith("\n0 lost\n")


def test_a_drill_sees_what_is_torn_gone_left_or_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from drill import Expected

    before = {"a": [b"old"], "b": [b"same"]}
    one, other = ({"a": [b"new"], "b": [b"same"], "t": [b"took %d s" % n]} for n in (1, 22))
    after = Expected(one, other, before)
    assert after.differs(one | {"t": [b"took 333 s"]}) == ""
    assert after.differs(one | {"t": [b"never"]}).startswith("t has another content")
    assert after.differs(one | {"a": [b"old"]}).startswith("a has another content")
    assert after.differs(one | {".draft-1": [b""]}) == ".draft-1 is left"
    assert after.differs({"a": [b"new"], "b": [b"same"]}) == "t is missing"
    assert after.torn(before | {".draft-1": [b"ne"]}, "none") == ""
    assert after.torn(before | {"a": [b"ne"]}, "none") == "a"
    assert after.torn({"a": [b"new"]}, "none") == "b is gone"
