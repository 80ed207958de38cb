"""What `humtune track` takes to bring a large search into a tracking server, and whether all of it arrives.

    mlflow/serve.sh &    with MLFLOW_BACKEND_STORE_URI and MLFLOW_ADMIN_PASSWORD
    python benchmarks/tracking.py [--trials 1000] [--epochs 50] [--metrics 10]
                         with MLFLOW_BACKEND_STORE_URI and MLFLOW_TRACKING_URI, _USERNAME and _PASSWORD

The trials are made up; the command is the real one. What arrived is counted in the server's own database,
point by point. The experiment stays: give the server a database that nobody needs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from time import perf_counter, time

import numpy as np
import sqlalchemy
from noop import MACHINES, make_bank, make_search, make_space
from rich.console import Console

from humtune.detectors.noop import Noop
from humtune.ledger import Ledger
from humtune.records import Epoch, TrialRecord, TrialState, trial_id
from humtune.tracking import runs

ARRIVED = """
select t.value, m.key, m.value, m.timestamp, m.step from metrics m
join tags t on t.run_uuid = m.run_uuid and t.key = :trial
join tags s on s.run_uuid = m.run_uuid and s.key = :created and s.value = :mark
join runs r on r.run_uuid = m.run_uuid and r.lifecycle_stage = 'active'
"""
ENDED = """
select count(*) from runs r join tags s on s.run_uuid = r.run_uuid and s.key = :created and s.value = :mark
where r.lifecycle_stage = 'active' and r.status = 'FINISHED'
"""


def fill(ledger: Ledger, *, epochs: int, metrics: int) -> None:
    """Finished trials with random curves, and the scores that the best ones' plots are drawn from."""
    plan, rng = ledger.plan, np.random.default_rng(0)
    names = [f"metric_{i}" for i in range(metrics)]
    for machine in plan.machines:
        clips = ledger.clips(machine)
        for number in range(plan.asked.trials):
            began = time()
            values = rng.normal(size=(epochs, metrics)).tolist()
            rows = tuple(
                Epoch(epoch=e + 1, ended=began + e, seconds=1.0, metrics=dict(zip(names, row, strict=True)))
                for e, row in enumerate(values)
            )
            record = TrialRecord(
                id=trial_id(machine, number),
                machine=machine,
                number=number,
                origin="sampler",
                params={"blur": float(number)},
                config=Noop(steps=epochs, blur=number).model_dump(mode="json"),
                state=TrialState.COMPLETE,
                started=began,
                ended=began + epochs,
                seconds=float(epochs),
                epochs=rows,
                omega={"own": float(rng.uniform(0.4, 0.9))},
                data_hash="",
                version=plan.version,
            )
            ledger.write_scores(record.id, {"own": rng.normal(size=len(clips)) + clips.label})
            ledger.write(record)


def track(ledger: Ledger) -> float:
    """Run the command; its seconds."""
    command = [
        sys.executable,
        "-m",
        "humtune.cli.main",
        "track",
        ledger.name,
        "--storage",
        ledger.storage.uri,
    ]
    began = perf_counter()
    subprocess.run(command, check=True)
    return perf_counter() - began


def check(ledger: Ledger, engine: sqlalchemy.Engine) -> int:
    """How many points are in MLflow; AssertionError where they are not the ledger's."""
    asked = {"trial": runs.TRIAL, "created": runs.CREATED, "mark": repr(ledger.plan.created)}
    with engine.connect() as connection:
        arrived = {tuple(row) for row in connection.execute(sqlalchemy.text(ARRIVED), asked)}
        ended = connection.execute(sqlalchemy.text(ENDED), asked).scalar_one()
    records = list(ledger.records())
    wanted = {(r.id, p.key, p.value, p.timestamp, p.step) for r in records for p in runs.points_of(r)}
    assert arrived == wanted, f"{len(wanted - arrived)} points are missing, {len(arrived - wanted)} too many"
    assert ended == len(records) + len(ledger.plan.machines), f"{ended} runs finished"
    return len(arrived)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--metrics", type=int, default=10)
    parser.add_argument("--machines", type=int, default=2)
    asked = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    store = os.environ["MLFLOW_BACKEND_STORE_URI"].replace("postgresql://", "postgresql+psycopg://")
    with tempfile.TemporaryDirectory(prefix="humtune-tracking-") as folder:
        machines = MACHINES[: asked.machines]
        space = make_space(asked.trials // len(machines), sampler="random", steps=asked.epochs)
        ledger = make_search(folder, space, [make_bank(folder, machine) for machine in machines])
        with console.status("making trials"):
            fill(ledger, epochs=asked.epochs, metrics=asked.metrics)
        first = track(ledger)
        points = check(ledger, sqlalchemy.create_engine(store))
        again = track(ledger)
        console.print(f"{points} points in {first:.1f} s: {1000 * first / asked.trials:.0f} ms a trial")
        console.print(f"again, with nothing to do: {again:.1f} s")


if __name__ == "__main__":
    main()
