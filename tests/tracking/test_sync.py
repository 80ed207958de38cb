import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from humtune.ledger import Ledger
from humtune.plan import MOST_TRIALS
from humtune.records import Epoch, TrialRecord, TrialState
from humtune.tracking import Synced, Tracker, sync
from humtune.tracking.place import connect

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("sketches")]

Make = Callable[..., TrialRecord]
Write = Callable[[Ledger, TrialRecord], TrialRecord]
Held = Callable[[str], dict[str, Any]]
Same = Callable[[str, Ledger], None]


def rows(uri: str) -> dict[str, int]:
    """Rows of every table of a sqlite MLflow."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        return {t: database.execute(f'select count(*) from "{t}"').fetchone()[0] for t in tables}


def files(ledger: Ledger) -> dict[str, int]:
    """Every artifact and when it was written."""
    below = ledger.storage.path("mlflow-artifacts")
    return {str(p.relative_to(below)): p.stat().st_mtime_ns for p in below.rglob("*") if p.is_file()}


def test_mlflow_equals_the_ledger(ledger: Ledger, uri: str, same: Same, named: Held) -> None:
    assert sync(ledger, uri=uri) == Synced(created=8)
    same(uri, ledger)
    assert named(uri)["fan-00003"]["tags"]["searched"] == "spectrogram=fan, mu=10.0, sigma2=3.1"


def test_what_only_its_time_ends_is_finished_when_a_run_of_it_ends(
    ledger: Ledger, uri: str, named: Held
) -> None:
    ledger.write_plan(ledger.plan.asking(trials=MOST_TRIALS))

    def status() -> str:
        return str(named(uri)["fan"]["info"]["status"])

    tracker = Tracker(ledger, uri=uri)
    for ends, expected in ((False, "RUNNING"), (True, "FINISHED"), (None, "FINISHED"), (False, "RUNNING")):
        tracker.sync(ends=ends)
        assert status() == expected
    sync(ledger, uri=uri)  # a trial runs
    assert status() == "RUNNING"


def test_a_torn_record_is_a_failed_run_without_parameters(ledger: Ledger, uri: str, named: Held) -> None:
    sync(ledger, uri=uri)
    ledger.storage.write(ledger.layout.record("fan-00003"), b"{")
    sync(ledger, uri=uri)
    run = named(uri)["fan-00003"]
    assert (run["params"], run["tags"]["state"]) == ({}, "failed")
    assert "record.json can't be read" in run["tags"]["reason"]


@pytest.mark.parametrize("remembers", [True, False])
def test_a_second_sync_changes_nothing(ledger: Ledger, uri: str, held: Held, remembers: bool) -> None:
    tracker = Tracker(ledger, uri=uri)
    tracker.sync()
    before = held(uri), rows(uri), files(ledger)
    again = tracker if remembers else Tracker(ledger, uri=uri)
    assert again.sync() == Synced(unchanged=8)
    assert again.sync() == Synced(unchanged=8)
    assert (held(uri), rows(uri), files(ledger)) == before


@pytest.mark.parametrize("remembers", [True, False])
def test_a_trial_that_went_on_is_brought_up_to_date(
    ledger: Ledger, uri: str, record: Make, write: Write, same: Same, named: Held, remembers: bool
) -> None:
    tracker = Tracker(ledger, uri=uri)
    tracker.sync()
    before = named(uri)["fan-00003"]["info"]["run_id"]
    write(ledger, record("fan", 3, epochs=5))
    again = tracker if remembers else Tracker(ledger, uri=uri)
    assert again.sync() == Synced(updated=1, unchanged=7)
    same(uri, ledger)
    assert named(uri)["fan-00003"]["info"]["run_id"] == before
    assert named(uri)["fan"]["info"]["status"] == "FINISHED"


def test_a_trial_that_went_back_to_a_checkpoint_leaves_no_trace_of_what_it_lost(
    small: Ledger, uri: str, record: Make, write: Write, same: Same
) -> None:
    write(small, record("fan", 0, state=TrialState.RUNNING, epochs=3))
    sync(small, uri=uri)
    write(small, record("fan", 0, state=TrialState.RUNNING, epochs=3, late=30.0))
    assert sync(small, uri=uri) == Synced(updated=1)
    same(uri, small)


def test_a_failed_trial_that_was_tried_again_loses_its_reason(
    small: Ledger, uri: str, record: Make, write: Write, same: Same
) -> None:
    write(small, record("fan", 0, state=TrialState.FAILED, epochs=1))
    sync(small, uri=uri)
    write(small, record("fan", 0, epochs=3))
    sync(small, uri=uri)
    same(uri, small)


def test_a_new_best_takes_over(
    small: Ledger, uri: str, record: Make, write: Write, same: Same, named: Held
) -> None:
    tracker = Tracker(small, uri=uri)
    for number, omega in enumerate([0.6, 0.5, 0.7, 0.7]):
        write(small, record("fan", number, omega=omega))
        tracker.sync()
        same(uri, small)
    assert [value for _, _, value in named(uri)["fan"]["history"]["omega"]] == ["0.6", "0.7"]
    assert named(uri)["fan"]["tags"]["best"] == "fan-00002"


def test_the_rise_of_the_best_is_the_same_when_mlflow_comes_late(
    small: Ledger, uri: str, record: Make, write: Write, named: Held
) -> None:
    for number, omega in enumerate([0.6, 0.5, 0.7, 0.65]):
        write(small, record("fan", number, omega=omega))
    sync(small, uri=uri)
    rise = named(uri)["fan"]["history"]["omega"]
    ends = [round((small.read(f"fan-0000{n}").ended or 0) * 1000) for n in (0, 2)]
    assert rise == [(1, ends[0], "0.6"), (2, ends[1], "0.7")]


def test_a_best_without_scores_is_shown_without_pictures_until_they_are_there(
    small: Ledger, uri: str, record: Make, write: Write, named: Held, same: Same
) -> None:
    small.write(record("fan", 0))
    sync(small, uri=uri)
    assert named(uri)["fan"]["artifacts"] == ["best/config.json"]
    write(small, record("fan", 0))
    sync(small, uri=uri)
    same(uri, small)


@pytest.mark.parametrize("seen_between", [True, False])
def test_more_trials_open_a_finished_machine_again(
    small: Ledger, uri: str, record: Make, write: Write, same: Same, named: Held, seen_between: bool
) -> None:
    for number in range(4):
        write(small, record("fan", number))
    sync(small, uri=uri)
    assert named(uri)["fan"]["info"]["status"] == "FINISHED"
    small.write_plan(small.plan.asking(trials=5))
    if seen_between:
        sync(small, uri=uri)
        assert named(uri)["fan"]["info"]["status"] == "RUNNING"
    last = write(small, record("fan", 4))
    sync(small, uri=uri)
    assert named(uri)["fan"]["info"]["status"] == "FINISHED"
    assert named(uri)["fan"]["info"]["end_time"] == round((last.ended or 0) * 1000)
    same(uri, small)


class Killed(BaseException):
    """What SIGKILL would look like from inside."""


WRITES = ("create_experiment", "create_run", "log_batch", "log_metric", "set_terminated", "update_run")
WRITES += ("set_tag", "set_experiment_tag", "delete_tag", "delete_run", "log_artifacts")


def kill_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let the client die right after its n-th write; how many writes there were."""
    from mlflow import MlflowClient

    made = 0

    def deadly(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal made
            answer = method(*args, **kwargs)
            made += 1
            if made == calls:
                raise Killed
            return answer

        return call

    for name in WRITES:
        monkeypatch.setattr(MlflowClient, name, deadly(getattr(MlflowClient, name)))
    return lambda: made


def test_a_finished_trial_costs_three_calls(
    small: Ledger, uri: str, record: Make, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(small, uri=uri)
    write(small, record("fan", 0, omega=0.9))
    tracker.sync()
    write(small, record("fan", 1, omega=0.5, epochs=50, metrics=10))
    made = kill_after(1000, monkeypatch)
    tracker.sync()
    assert made() == 4  # the search's page, which counts the trials, is the fourth


def test_what_a_tracker_wrote_it_does_not_read_again(
    small: Ledger, uri: str, record: Make, write: Write, same: Same
) -> None:
    from mlflow import MlflowClient

    tracker = Tracker(small, uri=uri)
    write(small, record("fan", 0, state=TrialState.RUNNING, epochs=1))
    tracker.sync()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowClient, "get_metric_history", None)
        made = kill_after(1000, patch)
        write(small, record("fan", 0, state=TrialState.RUNNING, epochs=2))
        tracker.sync()
    assert made() == 1
    same(uri, small)


def test_the_same_call_mends_a_sync_that_was_killed_after_any_write(
    tmp_path: Path,
    empty_database: Path,
    new_ledger: Callable[..., Ledger],
    record: Make,
    write: Write,
    same: Same,
) -> None:
    ledger = new_ledger(tmp_path / "runs", machines=("fan",))
    write(ledger, record("fan", 0))
    write(ledger, record("fan", 1, state=TrialState.RUNNING))
    kill, survived = 0, False
    while not survived:
        kill += 1
        uri = f"sqlite:///{tmp_path / f'{kill}.db'}"
        Path(uri.removeprefix("sqlite:///")).write_bytes(empty_database.read_bytes())
        with pytest.MonkeyPatch.context() as patch:
            kill_after(kill, patch)
            try:
                sync(ledger, uri=uri)
                survived = True
            except Killed:
                pass
        sync(ledger, uri=uri)
        same(uri, ledger)
        assert sync(ledger, uri=uri) == Synced(unchanged=2)
        assert rows(uri)["runs"] == 3, "a run was written anew"
    assert kill > 10


def test_a_kill_while_the_best_changes_is_mended(
    small: Ledger, uri: str, record: Make, write: Write, same: Same
) -> None:
    for number in range(6):
        write(small, record("fan", number, omega=0.5 + number / 100))
        with pytest.MonkeyPatch.context() as patch:
            kill_after(4 + number, patch)
            with pytest.raises(Killed):
                sync(small, uri=uri)
        sync(small, uri=uri)
        same(uri, small)


def test_an_earlier_search_of_the_same_name_stays_apart(
    tmp_path: Path, uri: str, record: Make, write: Write, new_ledger: Callable[..., Ledger], held: Held
) -> None:
    old = new_ledger(tmp_path / "a", machines=("fan",))
    write(old, record("fan", 0))
    sync(old, uri=uri)
    before = held(uri)
    new = Ledger(new_ledger(tmp_path / "b", machines=("fan",)).storage, "hums")
    new.write_plan(new.plan.model_copy(update={"created": 1_800_000_000.5}))
    write(new, record("fan", 0, params={"mu": 3.0}))
    assert sync(new, uri=uri) == Synced(created=1)
    assert sync(old, uri=uri) == Synced(unchanged=1)
    after = held(uri)
    assert len(after) == 4
    assert {run: after[run] for run in before} == before


def test_two_runs_of_one_trial_become_one(ledger: Ledger, uri: str, same: Same, held: Held) -> None:
    sync(ledger, uri=uri)
    client = connect(uri)
    names = ("humtune.search", "humtune.created", "humtune.machine", "humtune.trial", "mlflow.parentRunId")
    for run in held(uri).values():
        tags = {k: v for k, v in run["tags"].items() if k in names}
        info = run["info"]
        client.create_run(info["experiment_id"], info["start_time"], tags, info["run_name"])
    sync(ledger, uri=uri)
    sync(ledger, uri=uri)
    same(uri, ledger)


@pytest.mark.parametrize("name", ["fan", "fan-00000"])
def test_a_run_deleted_by_hand_comes_back(
    ledger: Ledger, uri: str, same: Same, named: Held, name: str
) -> None:
    sync(ledger, uri=uri)
    connect(uri).delete_run(named(uri)[name]["info"]["run_id"])
    sync(ledger, uri=uri)
    same(uri, ledger)


def test_an_experiment_deleted_by_hand_comes_back(ledger: Ledger, uri: str, same: Same) -> None:
    sync(ledger, uri=uri)
    client = connect(uri)
    client.delete_experiment(client.get_experiment_by_name("hums").experiment_id)
    assert sync(ledger, uri=uri) == Synced(unchanged=8)
    same(uri, ledger)


def test_a_trial_with_more_points_than_one_call_takes(
    small: Ledger, uri: str, record: Make, write: Write, same: Same
) -> None:
    write(small, record("fan", 0, epochs=250, metrics=8))
    sync(small, uri=uri)
    same(uri, small)


def test_a_loss_that_is_not_a_number_arrives_once(
    small: Ledger, uri: str, record: Make, write: Write, named: Held
) -> None:
    losses = (1.0, math.nan, math.inf)
    for n in range(1, 4):
        epochs = tuple(
            Epoch(epoch=e, ended=float(e), seconds=1, metrics={"loss": losses[e - 1]})
            for e in range(1, n + 1)
        )
        write(
            small, record("fan", 0, state=TrialState.FAILED, epochs=0).model_copy(update={"epochs": epochs})
        )
        sync(small, uri=uri)
    assert len(small.read("fan-00000").epochs) == 3
    assert [value for _, _, value in named(uri)["fan-00000"]["history"]["loss"]] == [
        "1.0",
        "nan",
        "1.7976931348623157e+308",
    ]


def test_a_folder_whose_record_is_not_written_yet_is_passed_over(
    ledger: Ledger, uri: str, same: Same, write: Write, record: Make
) -> None:
    ledger.storage.write(ledger.layout.checkpoint("fan-00009"), b"...")
    tracker = Tracker(ledger, uri=uri)
    assert tracker.sync() == Synced(created=8)
    assert tracker.sync() == Synced(unchanged=8)
    write(ledger, record("fan", 9))
    assert tracker.sync() == Synced(created=1, unchanged=8)
    same(uri, ledger)


def test_a_tracker_sees_what_another_wrote_meanwhile(
    ledger: Ledger, uri: str, same: Same, write: Write, record: Make
) -> None:
    one, two = Tracker(ledger, uri=uri), Tracker(ledger, uri=uri)
    one.sync()
    write(ledger, record("valve", 4))
    two.sync()
    assert one.sync() == Synced(unchanged=9)
    same(uri, ledger)


def test_progress_passes_every_trial_that_is_looked_at(ledger: Ledger, uri: str) -> None:
    seen: list[str] = []

    def progress(trials: Any) -> Any:
        for trial in trials:
            yield trial
            seen.append(trial)

    sync(ledger, uri=uri, progress=progress)
    assert seen == [r.id for r in ledger.records()]
