"""Plans: those of the first format are read as today's, and what can't be asked for is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from humtune.config import Acceleration
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.plan import Asked, Machine, Resources
from humtune.storage import Storage


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Storage(tmp_path), "hums")


FIRST: dict[str, Any] = {  # a plan of the first format: everything stood side by side
    "name": "hums",
    "space": {"search": {"head.mu": {"values": [5]}}},
    "data": "/recordings",
    "machines": ["valve", "fan"],
    "trials": 3,
    "holds": {"fan": 2},
    "banks": {"fan": "banks/a", "valve": "banks/b"},
    "data_hash": {"fan": "a", "valve": "b"},
    "probes": {"fan": "banks/p"},
    "judged_by": {"fan": "pseudo", "valve": "omega"},
    "warm": "earlier",
    "holdout": 0.5,
    "confirm": 2,
    "confirm_seeds": 3,
    "channel": 1,
    "device": "cuda:1",
    "cpus": 2.0,
    "gpus": 0.5,
    "hours_per_trial": 12.0,
    "checkpoint_seconds": 7.0,
    "bf16": False,
    "compiled": None,
    "accelerations": {"small": {"compiled": True, "bf16": False}},
    "created": 1.7e9,
    "version": "0.1.0",
}


@pytest.mark.parametrize("said", [{}, {"format": 1}])
def test_a_plan_of_the_first_format_is_read_as_before(ledger: Ledger, said: dict[str, int]) -> None:
    ledger.storage.write("hums/plan.json", json.dumps(said | FIRST).encode())
    plan = ledger.plan
    assert plan.asked == Asked(
        space=FIRST["space"],
        data="/recordings",
        trials=3,
        warm="earlier",
        holdout=0.5,
        confirm=2,
        confirm_seeds=3,
        channel=1,
        resources=Resources(
            device="cuda:1",
            cpus=2.0,
            gpus=0.5,
            hours_per_trial=12.0,
            checkpoint_seconds=7.0,
            precision="fp32",
        ),
    )
    assert list(plan.machines.items()) == [
        ("valve", Machine(bank="banks/b", data_hash="b")),
        ("fan", Machine(bank="banks/a", data_hash="a", probes="banks/p", judged_by="pseudo")),
    ]
    assert [plan.quota(machine) for machine in plan.machines] == [3, 2]
    assert plan.acceleration("small") == Acceleration(compiled=True)
    ledger.write_plan(plan)
    assert ledger.plan == plan
    assert json.loads(ledger.storage.read("hums/plan.json"))["format"] == 2


def test_a_plan_of_the_first_format_may_leave_out_what_came_later(ledger: Ledger) -> None:
    least = ("name", "space", "data", "machines", "trials", "banks", "data_hash", "created", "version")
    ledger.storage.write("hums/plan.json", json.dumps({name: FIRST[name] for name in least}).encode())
    assert ledger.plan.asked.resources == Resources(precision="fp32")
    assert ledger.plan.machines["fan"].judged_by == "omega"


@pytest.mark.parametrize(
    "change", [{"machines": 3}, {"machines": ["fan"], "banks": 3}, {"trials": -1}, {"new": 1}]
)
def test_a_damaged_plan_of_the_first_format_is_one_sentence(ledger: Ledger, change: dict[str, Any]) -> None:
    ledger.storage.write("hums/plan.json", json.dumps(FIRST | change).encode())
    with pytest.raises(HumtuneError, match=r"hums/plan\.json can't be read: [^\n]+$"):
        ledger.plan  # noqa: B018


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"device": "tpu"}, "device 'tpu': it should be cpu or cuda"),
        ({"hours_per_trial": 0.0}, "0 hours per trial: a trial needs more than none"),
        ({"hours_per_trial": float("inf")}, "inf hours per trial"),
        ({"precision": "fp8"}, "precision 'fp8': it should be one of auto, fp32, bf16"),
    ],
)
def test_resources_that_cannot_be_are_told(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Resources(**wrong)


@pytest.mark.parametrize(
    ("precision", "device", "bf16"),
    [("auto", "cpu", False), ("auto", "cuda:1", True), ("bf16", "cpu", True), ("fp32", "cuda", False)],
)
def test_only_a_gpu_computes_in_bf16_unasked(precision: str, device: str, bf16: bool) -> None:
    assert Resources(precision=precision, device=device).bf16 is bf16
