"""The scheduler: every way a trial can end, and what the ledger and the studies say of it then."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from humtune.ledger import TrialRecord, TrialState
from humtune.search.scheduler import KEPT_REFERENCES, StudyScheduler
from humtune.search.searcher import MachineSearcher

Make = Callable[..., Any]


@dataclass
class TuneTrial:
    """What the scheduler sees of a trial of Tune's."""

    config: dict[str, Any]
    failures_left: int = 0
    error_file: str | None = None
    result: dict[str, Any] = field(default_factory=dict)

    def should_recover(self) -> bool:
        return self.failures_left > 0


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
    """Studies that hear nothing: the process of a trial knows none."""

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


def test_a_process_that_died_is_not_the_end_while_tune_tries_again(stage: Make) -> None:
    here = stage()
    trial, _ = here.suggest()
    here.step(trial)
    before = here.ledger.read("fan-00000")
    trial.failures_left = 1
    here.scheduler.on_trial_error(None, trial)
    assert here.ledger.read("fan-00000") == before
    assert states(here) == ["RUNNING"]
    assert here.studies.running("fan-00000")


TRACEBACK = """Failure # 1 (occurred at 2026-01-01_00-00-00)
The actor died unexpectedly before finishing this task.
  File "trial.py", line 3, in step
OSError: [Errno 28] No space left on device

"""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (TRACEBACK, "OSError: [Errno 28] No space left on device"),
        ("\n \n", "its process died"),
        (None, "its process died"),
    ],
)
def test_a_trial_that_keeps_dying_fails_with_the_last_line_of_its_traceback(
    stage: Make, tmp_path: Path, content: str | None, reason: str
) -> None:
    here = stage()
    trial, _ = here.suggest()
    here.step(trial)
    if content is not None:
        trial.error_file = str(tmp_path / "error.txt")
        Path(trial.error_file).write_text(content)
    here.ledger.storage.write(here.ledger.file("fan-00000", "checkpoint.pt"), b"weights")
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
    here.scheduler.on_trial_error(None, trial)
    assert here.ledger.read("fan-00000").reason == "its process died"


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
    here.ledger.storage.write(here.ledger.file("fan-00000", "checkpoint.pt"), b"weights")
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
    here.ledger.storage.write(here.ledger.file("fan-00002", "checkpoint.pt"), b"weights")
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
    assert here.studies.machines["fan"].best == record
    assert here.studies.machines["fan"].study.best_value == 0.75


def test_only_the_best_keep_their_reference_embeddings(stage: Make) -> None:
    here = stage(trials=7)
    omegas = [0.6, 0.9, 0.5, 0.7, 0.8, 0.4, 0.55]
    for number, omega in enumerate(omegas):
        trial, _ = here.suggest()
        here.ledger.storage.write(here.ledger.file(f"fan-{number:05d}", "reference.pt"), b"embeddings")
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
    configs = [here.searcher.suggest(str(i)) for i in range(3)]
    assert configs[2] == "FINISHED"
    assert [c["trial"] for c in configs[:2]] == ["fan-00000", "fan-00001"]
    for config in configs[:2]:
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
