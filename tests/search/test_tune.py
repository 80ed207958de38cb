"""The scheduler: every way a trial can end, and what the ledger and the studies say of it then."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ray.tune.schedulers import TrialScheduler

from humtune.detectors.recipe import recipe_of
from humtune.ledger import Ledger
from humtune.records import TrialRecord, TrialState
from humtune.search.actor import what_went_wrong
from humtune.search.studies import RESTARTS
from humtune.search.tune import KEPT_REFERENCES, MachineSearcher, StudyScheduler
from humtune.storage import Storage

Make = Callable[..., Any]


@dataclass
class TuneTrial:
    """What the scheduler sees of a trial of Tune's."""

    config: dict[str, Any]
    status: str = "RUNNING"
    error_file: str | None = None
    result: dict[str, Any] = field(default_factory=dict)


class Stage:
    """A search between Tune and the ledger, with the trials' own part played by hand."""

    def __init__(self, search: Any) -> None:
        self.search = search
        self.ledger = search.ledger
        self.studies = search.studies()
        self.scheduler = StudyScheduler(self.studies)
        self.searcher = MachineSearcher(self.studies, cpus=1.0)

    def suggest(self) -> tuple[TuneTrial, TrialRecord]:
        config = self.searcher.suggest("whatever Tune calls it")
        assert isinstance(config, dict)
        return TuneTrial(config), TrialRecord.model_validate_json(config["record"])

    def step(self, trial: TuneTrial, omega: float | None = None) -> str:
        """An epoch: the process writes its record, then Tune tells the scheduler."""
        name = trial.config["trial"]
        record = self.ledger.find(name) or TrialRecord.model_validate_json(trial.config["record"])
        quiet = _Quiet()
        record, _ = self.search.epoch(quiet, record, omega)
        result = {"epoch": len(record.epochs), "seconds": 2.0, "objective": omega, "done": False}
        return str(self.scheduler.on_trial_result(None, trial, result))

    def finish(self, trial: TuneTrial, omega: float) -> None:
        """The last epochs: the process completes its record and says that it is done."""
        record = self.ledger.find(trial.config["trial"]) or TrialRecord.model_validate_json(
            trial.config["record"]
        )
        self.search.play(_Quiet(), record, omega)
        self.scheduler.on_trial_complete(None, trial, {"done": True, "reason": None})


class _Quiet:
    """Studies that are told nothing: the process of a trial knows none."""

    def report(self, *_: Any) -> bool:
        return False

    def end(self, record: TrialRecord) -> None:
        pass


@pytest.fixture
def stage(bench: Make) -> Callable[..., Stage]:
    return lambda **keys: Stage(bench(machines=("fan",), **keys))


def states(stage: Stage) -> list[str]:
    return [t.state.name for t in stage.studies.machines["fan"].study.get_trials(deepcopy=False)]


# --- the ways to end badly


def test_a_process_that_died_is_asked_for_again_with_what_its_study_knows(stage: Make) -> None:
    here = stage(trials=1, pruner="successive_halving")
    trial, asked = here.suggest()
    here.step(trial)
    here.step(trial, omega=0.5)
    before = here.ledger.read("fan-00000")
    assert here.searcher.suggest("another") is None  # it runs: nothing more is due, nothing is over
    here.scheduler.on_trial_error(None, trial)
    assert here.ledger.read("fan-00000") == before
    assert states(here) == ["RUNNING"]
    again, record = here.suggest()
    assert (again.config["trial"], record) == ("fan-00000", asked)
    here.step(again)
    here.finish(again, 0.6)
    [told] = here.studies.machines["fan"].study.get_trials(deepcopy=False)
    assert (told.state.name, told.intermediate_values[2]) == ("COMPLETE", 0.5)
    assert here.searcher.suggest("another") == "FINISHED"


def test_a_trial_that_begins_again_goes_before_new_ones_until_it_runs(stage: Make) -> None:
    here = stage(trials=3)
    lost, _ = here.suggest()
    here.scheduler.on_trial_add(None, lost)
    assert here.scheduler.choose_trial_to_run(None) is None  # a first time is nothing special
    here.scheduler.on_trial_error(None, lost)
    again, _ = here.suggest()
    again.status = "PENDING"
    new, _ = here.suggest()
    new.status = "PENDING"
    for trial in (again, new):
        here.scheduler.on_trial_add(None, trial)
    assert here.scheduler.choose_trial_to_run(None) is again
    again.status = "RUNNING"
    assert here.scheduler.choose_trial_to_run(None) is None


def test_a_trial_that_confirms_is_asked_for_again_too(stage: Make) -> None:
    here = stage(trials=1)
    here.ledger.write_plan(here.ledger.plan.asking(confirm=1, confirm_seeds=1))
    here = Stage(here.search)
    first, _ = here.suggest()
    here.finish(first, 0.6)
    trial, asked = here.suggest()
    assert asked.origin == "confirm"
    here.scheduler.on_trial_error(None, trial)
    again, record = here.suggest()
    assert record == asked
    here.finish(again, 0.5)
    assert here.searcher.suggest("another") == "FINISHED"


def test_a_trial_whose_node_was_taken_away_is_left_to_tune(stage: Make) -> None:
    here = stage()
    trial, _ = here.suggest()
    trial.status = "ERROR"
    here.scheduler.on_trial_error(None, trial)
    assert here.studies.running("fan-00000").restarts == 0


def test_a_trial_that_was_stopped_is_told_of_twice(stage: Make) -> None:
    """Tune marks the result that stopped it as the last one, and then says that the trial is complete."""
    here = stage(pruner="median")
    trial, record = here.suggest()
    here.search.end(_Quiet(), record, TrialState.PRUNED, "stopped")
    for _ in range(2):
        here.scheduler.on_trial_complete(None, trial, {"done": True, "epoch": 2})
    assert states(here) == ["PRUNED"]
    assert here.ledger.read("fan-00000").reason == "stopped"


def test_a_process_that_dies_after_its_last_word_has_nothing_to_do_again(stage: Make) -> None:
    """As one that a watchdog ended: the record says why."""
    here = stage()
    trial, record = here.suggest()
    here.search.end(_Quiet(), record, TrialState.FAILED, "epoch 3 was not done in time")
    here.scheduler.on_trial_error(None, trial)
    assert states(here) == ["FAIL"]
    assert here.ledger.read("fan-00000").reason == "epoch 3 was not done in time"


def die(here: Stage, trial: TuneTrial) -> None:
    """The process dies as often as it is begun."""
    for _ in range(RESTARTS):
        here.scheduler.on_trial_error(None, trial)
        trial, _ = here.suggest()
    here.scheduler.on_trial_error(None, trial)


TRACEBACK = """Failure # 1 (occurred at 2026-01-01_00-00-00)
The actor died unexpectedly before finishing this task.
  File "trial.py", line 3, in step
OSError: [Errno 28] No space left on device

"""
KILLED = """The actor died unexpectedly before finishing this task.
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: End
of file. Common causes include: (1) the process was killed by the OOM killer due to high memory usage."""
NO_MEMORY = "Task was killed due to the node running low on memory.\nMemory on the node was 15GB / 16GB"
KILLED_OR_CRASHED = "it crashed, or was killed, as computers do that run out of memory"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (TRACEBACK, "OSError: [Errno 28] No space left on device"),
        (KILLED, f"its process died 3 times: {KILLED_OR_CRASHED}"),
        (NO_MEMORY, "its process died 3 times: Ray ended it as the computer ran out of memory"),
        ("\n \n", f"its process died 3 times: {KILLED_OR_CRASHED}"),
        (None, f"its process died 3 times: {KILLED_OR_CRASHED}"),
    ],
)
def test_a_trial_that_keeps_dying_fails_with_the_last_line_of_its_traceback(
    stage: Make, tmp_path: Path, content: str | None, reason: str
) -> None:
    here = stage()
    trial, _ = here.suggest()
    here.step(trial)
    if content is not None:
        (tmp_path / "error.txt").write_text(content)
    here.ledger.storage.write(here.ledger.layout.checkpoint("fan-00000"), b"weights")
    here.studies.running("fan-00000").restarts = RESTARTS
    trial.error_file = str(tmp_path / "error.txt")
    here.scheduler.on_trial_error(None, trial)
    record = here.ledger.read("fan-00000")
    assert (record.state, record.reason) == (TrialState.FAILED, reason)
    assert len(record.epochs) == 1  # what it did stays
    assert record.ended is not None
    assert record.ended >= record.started
    assert states(here) == ["FAIL"]
    assert here.ledger.storage.list("hums/trials/fan-00000") == ["record.json"]


def test_an_error_file_that_is_gone_is_no_second_error(stage: Make, tmp_path: Path) -> None:
    here = stage()
    trial, _ = here.suggest()
    trial.error_file = str(tmp_path / "gone" / "error.txt")
    die(here, trial)
    assert here.ledger.read("fan-00000").reason == f"its process died 3 times: {KILLED_OR_CRASHED}"


# --- what can't be written


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Lets every write of records fail, or none."""
    real = Storage.write

    def fill(full: bool) -> None:
        def write(self: Storage, name: str, data: bytes) -> None:
            if name.endswith(("record.json", "progress.json")):
                raise OSError(28, "No space left on device", name)
            real(self, name, data)

        monkeypatch.setattr(Storage, "write", write if full else real)

    return fill


def test_an_end_that_cannot_be_written_ends_in_memory_and_is_told_once(
    stage: Make, full_disk: Callable[[bool], None], caplog: pytest.LogCaptureFixture
) -> None:
    here = stage(trials=3)
    (one, _), (two, _), (three, _) = here.suggest(), here.suggest(), here.suggest()
    here.step(one)
    here.ledger.storage.write(here.ledger.layout.checkpoint("fan-00000"), b"weights")
    full_disk(True)
    here.scheduler.on_trial_complete(None, one, {"done": True, "reason": "OSError"})
    here.scheduler.on_trial_complete(None, two, {"done": True, "reason": "OSError"})
    full_disk(False)
    here.finish(three, 0.6)
    [said] = [r.getMessage() for r in caplog.records if r.name == "humtune"]
    assert said.startswith(f"{here.ledger.storage.uri}: No space left on device; the search goes on")
    assert "humtune resume hums" in said
    assert states(here) == ["FAIL", "FAIL", "COMPLETE"]
    assert here.searcher.suggest("another") == "FINISHED"

    later = Stage(here.search)
    again = [later.suggest()[0].config["trial"] for _ in range(2)]
    assert again == ["fan-00000", "fan-00003"]  # one goes on, the other had left nothing
    assert later.ledger.storage.exists(later.ledger.layout.checkpoint("fan-00000"))


def test_a_run_that_was_taken_over_ends_no_trial(stage: Make) -> None:
    here = stage()
    here.ledger.take_lease()
    trial, record = here.suggest()
    Ledger(here.ledger.storage, "hums").write(record)
    here.ledger.storage.write(here.ledger.layout.checkpoint("fan-00000"), b"weights")
    Ledger(here.ledger.storage, "hums").take_lease()
    here.scheduler.on_trial_complete(None, trial, {"done": True, "reason": "resumed elsewhere"})
    assert here.ledger.read("fan-00000").state == TrialState.RUNNING
    assert here.ledger.storage.exists(here.ledger.layout.checkpoint("fan-00000"))


def test_a_trial_that_could_not_begin_leaves_a_record_with_the_reason(stage: Make) -> None:
    here = stage()
    trial, asked = here.suggest()
    assert here.ledger.find("fan-00000") is None
    here.scheduler.on_trial_complete(None, trial, {"done": True, "reason": "this bank of clips is torn"})
    record = here.ledger.read("fan-00000")
    assert (record.state, record.reason) == (TrialState.FAILED, "this bank of clips is torn")
    assert record.config == asked.config
    assert states(here) == ["FAIL"]
    assert list(here.studies.machines["fan"].ended) == ["fan-00000"]


def test_values_that_do_not_go_together_cost_their_trial_and_no_other(stage: Make) -> None:
    """Three of them: no two are refused beforehand."""
    together = {
        "spectrogram.n_fft": [128, 1024],
        "spectrogram.hop": [128, 32],
        "spectrogram.chunk_frames": [64, 16],
    }
    wrong = {name: values[-1] for name, values in together.items()}
    here = stage(search=together, trials=3, transfer=False)
    here.studies.machines["fan"].study.enqueue_trial(wrong)
    trial, asked = here.suggest()
    assert (asked.params, asked.config["spectrogram"]) == (
        wrong,
        {"n_fft": 1024, "hop": 32, "chunk_frames": 16},
    )
    with pytest.raises(ValidationError) as caught:
        recipe_of(asked.config)
    reason = what_went_wrong(caught.value)
    assert reason == "chunk_frames must be 18 or more with n_fft = 1024 and hop = 32, got 16"
    here.scheduler.on_trial_complete(None, trial, {"done": True, "reason": reason})
    assert (here.ledger.read(asked.id).state, here.ledger.read(asked.id).reason) == (
        TrialState.FAILED,
        reason,
    )
    assert states(here) == ["FAIL"]
    here.studies = here.search.studies()  # as a run that goes on has them
    assert states(here) == ["FAIL"]
    assert [here.studies.ask().number for _ in range(2)] == [1, 2]
    assert here.studies.ask() is None


def test_a_trial_that_says_done_without_a_result_has_failed(stage: Make) -> None:
    here = stage()
    trial, _ = here.suggest()
    here.step(trial)
    here.scheduler.on_trial_complete(None, trial, {"done": True})
    assert here.ledger.read("fan-00000").reason == "it left no result"


def test_a_trial_that_failed_by_itself_keeps_its_reason_and_no_checkpoint(stage: Make) -> None:
    here = stage()
    trial, record = here.suggest()
    here.search.end(_Quiet(), record, TrialState.FAILED, "the loss became nan in epoch 3")
    here.ledger.storage.write(here.ledger.layout.checkpoint("fan-00000"), b"weights")
    here.scheduler.on_trial_complete(None, trial, {"done": True, "reason": "another"})
    assert here.ledger.read("fan-00000").reason == "the loss became nan in epoch 3"
    assert states(here) == ["FAIL"]
    assert here.ledger.storage.list("hums/trials/fan-00000") == ["record.json"]


def test_a_trial_that_tune_stops_or_drops_stays_unfinished(stage: Make) -> None:
    """`humtune stop` ends the run: Tune reports the last result, which is not the trial's last."""
    here = stage()
    trial, _ = here.suggest()
    here.step(trial)
    before = here.ledger.read("fan-00000")
    here.scheduler.on_trial_complete(
        None, trial, {"done": False, "epoch": 1, "seconds": 2.0, "objective": None}
    )
    here.scheduler.on_trial_remove(None, trial)
    assert here.ledger.read("fan-00000") == before
    assert before.state == TrialState.RUNNING
    again = here.search.studies()
    assert again.ask() == before


# --- stopping and completing


def test_at_a_rung_the_study_decides_and_the_record_says_why(stage: Make) -> None:
    here = stage(pruner="successive_halving")
    good, _ = here.suggest()
    here.finish(good, 0.9)
    first, _ = here.suggest()
    assert [here.step(first), here.step(first, 0.8)] == [TrialScheduler.CONTINUE] * 2
    poor, _ = here.suggest()
    assert here.step(poor) == TrialScheduler.CONTINUE
    here.ledger.storage.write(here.ledger.layout.checkpoint("fan-00002"), b"weights")
    assert here.step(poor, 0.4) == TrialScheduler.STOP
    record = here.ledger.read("fan-00002")
    assert record.state == TrialState.PRUNED
    assert record.reason == "stopped by successive_halving after epoch 2"
    assert [e.epoch for e in record.epochs] == [1, 2]
    assert states(here) == ["COMPLETE", "RUNNING", "PRUNED"]
    assert not here.ledger.storage.exists("hums/trials/fan-00002/checkpoint.pt")
    assert here.step(first) == TrialScheduler.CONTINUE


def test_first_points_run_to_their_end(stage: Make) -> None:
    here = stage(pruner="successive_halving", first=[{"head.mu": 5}, {"head.mu": 10}])
    good, _ = here.suggest()
    poor, _ = here.suggest()
    for omega in (None, 0.9, None, 0.9):
        assert here.step(good, omega) == TrialScheduler.CONTINUE
    for omega in (None, 0.1, None, 0.1):
        assert here.step(poor, omega) == TrialScheduler.CONTINUE
    here.finish(poor, 0.1)
    assert here.ledger.read("fan-00001").state == TrialState.COMPLETE


def test_without_a_pruner_nothing_is_stopped(stage: Make) -> None:
    here = stage()
    for omega in (0.9, 0.1):
        trial, _ = here.suggest()
        assert here.step(trial, omega) == TrialScheduler.CONTINUE


def test_a_complete_trial_is_told_with_its_value(stage: Make) -> None:
    here = stage()
    trial, _ = here.suggest()
    here.finish(trial, 0.75)
    record = here.ledger.read("fan-00000")
    assert (record.state, record.reason, record.objective) == (TrialState.COMPLETE, None, 0.75)
    assert here.studies.machines["fan"].best.trial == record
    assert here.studies.machines["fan"].study.best_value == 0.75


def test_only_the_best_keep_their_reference_embeddings(stage: Make) -> None:
    here = stage(trials=7)
    omegas = [0.6, 0.9, 0.5, 0.7, 0.8, 0.4, 0.55]
    for number, omega in enumerate(omegas):
        trial, _ = here.suggest()
        here.ledger.storage.write(here.ledger.layout.reference(f"fan-{number:05d}"), b"embeddings")
        here.finish(trial, omega)
        done = omegas[: number + 1]
        kept = [
            n
            for n in range(number + 1)
            if here.ledger.storage.exists(f"hums/trials/fan-{n:05d}/reference.pt")
        ]
        assert kept == sorted(sorted(range(len(done)), key=lambda n: -omegas[n])[:KEPT_REFERENCES])


# --- what Tune is told


def test_the_searcher_hands_out_the_quota_and_then_ends(stage: Make) -> None:
    here = stage(trials=2, pruner="median")
    here.ledger.take_lease()
    configs = [here.searcher.suggest(str(i)) for i in range(2)]
    assert [c["trial"] for c in configs] == ["fan-00000", "fan-00001"]
    assert here.searcher.suggest("2") is None  # a process may die, and its trial be asked for again
    for config in configs:
        here.finish(TuneTrial(config), 0.5)
    assert here.searcher.suggest("2") == "FINISHED"
    for config in configs:
        assert config["lease"] == here.ledger.lease != ""
        assert config["storage"] == here.ledger.storage.uri
        assert config["search"] == "hums"
        assert config["measured"] == [2, 4]
        assert config["cpus"] == 1.0
        assert TrialRecord.model_validate_json(config["record"]).id == config["trial"]
        assert all(isinstance(v, str | float | list) for v in config.values())


def test_tune_may_set_whatever_metric_it_likes(stage: Make) -> None:
    here = stage()
    assert here.scheduler.set_search_properties("loss", "min")
    assert here.searcher.set_search_properties(None, None, {})
