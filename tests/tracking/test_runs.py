import math
import sys
from collections.abc import Callable

import pytest

from humtune.config import Frozen
from humtune.detectors.classifier.recipe import Classifier
from humtune.records import Epoch, TrialRecord, TrialState
from humtune.tracking import runs

Make = Callable[..., TrialRecord]


def test_parameters_are_named_by_their_leaf_and_written_as_a_space_writes_them() -> None:
    params = runs.params_of(Classifier(seed=7).model_dump(mode="json"))
    assert params["n_fft"] == "256"
    assert params["db"] == "true"
    assert params["learning_rate"] == "0.001"
    assert params["milestones"] == "[0.5, 0.8]"
    assert params["labels"] == "auto"
    assert params["seed"] == "7"
    kinds = {"spectrogram.kind": "spectrogram", "backbone.kind": "mobilefacenet", "head.kind": "variational"}
    assert {name: value for name, value in params.items() if "." in name} == kinds


def test_leaves_that_share_a_name_keep_their_path() -> None:
    class Optimiser(Frozen):
        epochs: int = 3
        beta: float = 0.9

    class Wider(Classifier):
        optimiser: Optimiser = Optimiser()

    params = runs.params_of(Wider().model_dump(mode="json"))
    assert params["training.epochs"] == "50"
    assert params["optimiser.epochs"] == "3"
    assert params["beta"] == "0.9"
    assert "epochs" not in params


def test_the_final_omega_replaces_the_last_epochs(record: Make) -> None:
    epochs = tuple(
        Epoch(epoch=e, ended=100.0 + e, seconds=1, metrics={"loss": 1 / e, "omega": 0.6}) for e in (1, 2)
    )
    trial = record(omega=0.6, epochs=2, started=100.0).model_copy(update={"epochs": epochs})
    omega = [p for p in runs.points_of(trial) if p.key == "omega"]
    assert [(p.step, p.timestamp, p.value) for p in omega] == [(1, 101_000, 0.6), (2, 102_000, 0.6)]


def test_a_trial_that_runs_has_no_final_metrics_yet(record: Make) -> None:
    trial = record(state=TrialState.RUNNING, omega=0.6).model_copy(update={"omega": {"nll": 0.6}})
    assert {p.key for p in runs.points_of(trial)} == {"loss", "accuracy", "learning_rate"}


def test_a_failed_trial_without_epochs_has_no_points_but_its_reason(record: Make) -> None:
    trial = record(state=TrialState.FAILED, epochs=0)
    assert runs.points_of(trial) == []
    assert runs.tags_of(trial)["reason"] == "CUDA out of memory"


def test_a_long_reason_is_cut_to_what_mlflow_stores(record: Make) -> None:
    trial = record(state=TrialState.FAILED).model_copy(update={"reason": "x" * 100_000})
    assert len(runs.tags_of(trial)["reason"]) == 5000


@pytest.mark.parametrize(
    ("value", "stored"),
    [(math.inf, sys.float_info.max), (-math.inf, -sys.float_info.max), (0.1 + 0.2, 0.1 + 0.2)],
)
def test_infinity_is_what_a_database_can_hold(record: Make, value: float, stored: float) -> None:
    epoch = Epoch(epoch=1, ended=1.0, seconds=1, metrics={"loss": value})
    (point,) = runs.points_of(record(state=TrialState.RUNNING).model_copy(update={"epochs": (epoch,)}))
    assert point.value == stored


def test_a_point_that_is_not_a_number_equals_itself(record: Make) -> None:
    epoch = Epoch(epoch=1, ended=1.0, seconds=1, metrics={"loss": math.nan})
    trial = record(state=TrialState.RUNNING).model_copy(update={"epochs": (epoch,)})
    assert runs.points_of(trial)[0].identity == runs.points_of(trial)[0].identity


def test_every_change_of_a_record_changes_its_digest(record: Make) -> None:
    trial = record()
    changes = [{"reason": "late"}, {"host": "node-2"}, {"omega": {"nll": 0.5}}, {"epochs": trial.epochs[:-1]}]
    digests = {runs.digest(trial.model_copy(update=change)) for change in [{}, *changes]}
    assert len(digests) == 5
    assert runs.digest(TrialRecord.model_validate_json(trial.model_dump_json())) == runs.digest(trial)
