"""A trial: what it writes, that it goes on after a kill as if nothing had been, and how it fails."""

import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from humtune import __version__
from humtune.config import TEST_CHUNKS, Acceleration
from humtune.detectors.classifier.fit import ClassifierFit
from humtune.detectors.detector import Detector
from humtune.detectors.recipe import recipe_of
from humtune.errors import HumtuneError
from humtune.ledger import Ledger
from humtune.metrics.cells import Cells
from humtune.metrics.omega import omega
from humtune.plan import Resources
from humtune.records import TrialRecord, TrialState
from humtune.scores.encoded import Encoded
from humtune.search.actor import DetectorTrial
from humtune.search.trial import TrialRun, start_trial
from humtune.sounds.bank import ClipBank
from humtune.sounds.table import ANOMALY, SCORED, Role
from humtune.storage import Storage

Make = Callable[..., Any]

TINY = {
    "spectrogram": {"n_fft": 128, "chunk_frames": 16, "n_mels": 16},
    "backbone": {"width": 0.125, "embedding": 16},
    "training": {"epochs": 3, "batch_size": 8, "chunks_per_clip": 1},
}


pytestmark = pytest.mark.usefixtures("trials_here")


@pytest.fixture
def search(on_disk: Make) -> Any:
    """A search of tiny networks: 3 epochs."""
    return on_disk(fixed=TINY)


@pytest.fixture
def asked(search: Any) -> TrialRecord:
    """The first trial, as the studies ask for it."""
    record: TrialRecord = search.studies().ask()
    return record


def tune_config(search: Any, record: TrialRecord, rungs: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "storage": search.ledger.storage.uri,
        "search": search.ledger.name,
        "record": record.model_dump_json(),
        "trial": record.id,
        "measured": list(rungs),
        "cpus": 1.0,
    }


def always_checkpoint(search: Any) -> None:
    plan = search.ledger.plan
    search.ledger.write_plan(plan.asking(resources=Resources(checkpoint_seconds=0.0)))


def finish(run: TrialRun) -> TrialRecord:
    while run.record.state == TrialState.RUNNING:
        run.epoch()
    return run.record


def untimed(record: TrialRecord) -> dict[str, Any]:
    """A record without what a clock or another name makes differ."""
    kept = record.model_dump(exclude={"id", "number", "started", "ended", "seconds", "host", "continued"})
    kept["epochs"] = [(e["epoch"], e["metrics"]) for e in kept["epochs"]]
    return kept


# --- how it fails


def go_wrong(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def step(self: ClassifierFit) -> dict[str, float]:
        raise error

    monkeypatch.setattr(ClassifierFit, "step", step)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HumtuneError("fan: the loss became nan in epoch 3"), "fan: the loss became nan in epoch 3"),
        (RuntimeError("CUDA out of memory"), "it ran out of memory: CUDA out of memory"),
        (RuntimeError("no such size"), "RuntimeError: no such size"),
        (ValueError("no such axis"), "ValueError: no such axis"),
        (MemoryError("4 GB"), "it ran out of memory: 4 GB"),
        (MemoryError(), "it ran out of memory"),
    ],
)
def test_an_epoch_that_goes_wrong_ends_the_trial_with_its_reason(
    search: Any, asked: TrialRecord, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    go_wrong(monkeypatch, error)
    coat = DetectorTrial(tune_config(search, asked))
    assert coat.step() == {"done": True, "reason": reason}
    record = search.ledger.read(asked.id)
    assert (record.state, record.reason) == (TrialState.FAILED, reason)
    assert record.ended is not None
    assert coat.trial is None  # its memory is free for the next one


def test_an_error_of_ours_is_no_trials_end(
    search: Any, asked: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug is left to Tune, which tells the scheduler with the traceback."""
    go_wrong(monkeypatch, KeyError("typo"))
    coat = DetectorTrial(tune_config(search, asked))
    with pytest.raises(KeyError):
        coat.step()
    assert search.ledger.read(asked.id).state == TrialState.RUNNING


def test_a_trial_that_finds_no_memory_to_begin_has_failed(
    search: Any, asked: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: 4294967296 bytes"

    def start(config: dict[str, Any]) -> TrialRun:
        raise RuntimeError(said)

    monkeypatch.setattr(DetectorTrial, "start", staticmethod(start))
    assert DetectorTrial({}).step() == {"done": True, "reason": f"it ran out of memory: {said}"}


def test_a_full_disk_is_left_to_tune_which_begins_again(
    search: Any, asked: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be so for a moment; what went before is in the checkpoint."""
    always_checkpoint(search)
    coat = DetectorTrial(tune_config(search, asked))
    assert coat.step()["epoch"] == 1
    real = Storage.write

    def full(self: Storage, name: str, data: bytes) -> None:
        raise OSError(28, "No space left on device", name)

    monkeypatch.setattr(Storage, "write", full)
    with pytest.raises(OSError, match="No space left"):
        coat.step()
    monkeypatch.setattr(Storage, "write", real)
    again = DetectorTrial(tune_config(search, asked))
    assert again.step()["epoch"] == 2


def test_a_failure_that_cannot_be_written_is_told_all_the_same(
    search: Any, asked: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    coat = DetectorTrial(tune_config(search, asked))
    assert coat.step()["epoch"] == 1
    go_wrong(monkeypatch, HumtuneError("the loss became nan in epoch 2"))

    def full(self: Storage, name: str, data: bytes) -> None:
        raise OSError(28, "No space left on device", name)

    monkeypatch.setattr(Storage, "write", full)
    assert coat.step() == {"done": True, "reason": "the loss became nan in epoch 2"}
    assert search.ledger.read(asked.id).state == TrialState.RUNNING


def test_a_trial_has_a_limit_of_hours_over_all_its_runs(search: Any, asked: TrialRecord) -> None:
    always_checkpoint(search)
    config = tune_config(search, asked)
    start_trial(config).epoch()
    search.ledger.write_plan(search.ledger.plan.asking(resources=Resources(hours_per_trial=1e-9)))
    result = DetectorTrial(config).step()
    assert result == {"done": True, "reason": "epoch 2 was not done when the trial's 1e-09 h were over"}
    assert search.ledger.read(asked.id).state == TrialState.FAILED


def broken(search: Any, record: TrialRecord, what: str) -> dict[str, Any]:
    config = tune_config(search, record)
    storage = search.ledger.storage
    match what:
        case "record":
            config["record"] = config["record"].replace('"mu":', '"muu":')
        case "class count":
            backbone = record.config["backbone"] | {"embedding": 1}
            narrow = record.model_copy(update={"config": record.config | {"backbone": backbone}})
            config["record"] = narrow.model_dump_json()
        case "bank":
            storage.delete("banks/fan/samples.npy")
        case "torn record":
            storage.write(search.ledger.layout.record(record.id), b"{")
    return config


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("record", "muu"),
        ("class count", "embedding"),
        ("bank", "can't open this bank of clips"),
        ("torn record", "record.json can't be read"),
    ],
)
def test_a_trial_that_cannot_begin_is_done_with_a_reason(
    search: Any, asked: TrialRecord, what: str, reason: str
) -> None:
    coat = DetectorTrial(broken(search, asked, what))
    result = coat.step()
    assert result["done"]
    assert reason in result["reason"]


def test_an_actor_goes_on_after_a_trial_that_could_not_begin(search: Any) -> None:
    studies = search.studies()
    bad, good = studies.ask(), studies.ask()
    coat = DetectorTrial(broken(search, bad, "record"))
    assert coat.step()["done"]
    assert coat.reset_config(tune_config(search, good))
    assert coat.step()["epoch"] == 1
    assert search.ledger.read(good.id).epochs[0].epoch == 1


def test_a_trial_that_has_ended_does_not_begin_again(search: Any, asked: TrialRecord) -> None:
    """Its process died after its last word: what it left must not be cut back to nothing."""
    done = finish(start_trial(tune_config(search, asked)))
    result = DetectorTrial(tune_config(search, asked)).step()
    assert result == {"done": True, "reason": "fan-00000 is complete already"}
    assert search.ledger.read(asked.id) == done


def test_scores_that_are_no_numbers_fail_the_trial_by_name(
    search: Any, asked: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nan(self: Detector, encoded: Encoded, **how: Any) -> dict[str, Any]:
        return {"cosine": np.full(len(encoded) // TEST_CHUNKS, np.nan)}

    monkeypatch.setattr(Detector, "score", nan)
    coat = DetectorTrial(tune_config(search, asked, rungs=(1,)))
    result = coat.step()
    assert result["done"]
    assert "clip_0016.wav is nan, not a finite number" in result["reason"]
    assert search.ledger.read(asked.id).state == TrialState.FAILED


# --- what it writes


def test_a_trial_is_computed_as_the_plan_says_and_goes_on_as_it_began(
    search: Any, asked: TrialRecord
) -> None:
    ledger = search.ledger
    bf16, plan = Acceleration(bf16=True), ledger.plan
    ledger.write_plan(plan.model_copy(update={"accelerations": {recipe_of(asked.config).size: bf16}}))
    begun = start_trial(tune_config(search, asked))
    assert begun.fit.acceleration == bf16
    begun.epoch()
    ledger.storage.write(begun.checkpoint, begun.fit.state())
    unbroken = finish(begun)
    ledger.storage.delete(ledger.layout.record(asked.id))
    ledger.write(unbroken.model_copy(update={"state": TrialState.RUNNING, "epochs": unbroken.epochs[:1]}))
    ledger.write_plan(plan.model_copy(update={"accelerations": {}}))  # another computer's choice
    resumed = start_trial(tune_config(search, asked))
    assert resumed.fit.acceleration == bf16


def test_an_actor_that_never_steps_writes_nothing(search: Any, asked: TrialRecord) -> None:
    """Tune may give a trial to a free actor while one that it started for it is still setting up."""
    slow = tune_config(search, asked)
    late = start_trial(slow)
    finish(start_trial(slow))
    complete = search.ledger.read(asked.id)
    assert complete.state == TrialState.COMPLETE
    assert DetectorTrial(slow).trial is None  # set up after the other is done
    assert late.record.state == TrialState.RUNNING
    assert search.ledger.read(asked.id) == complete


def test_a_trial_writes_itself_down_before_its_first_epoch(
    search: Any, asked: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_wrong(monkeypatch, KeyError("seen"))
    trial = start_trial(tune_config(search, asked))
    assert search.ledger.find(asked.id) is None
    with pytest.raises(KeyError):
        trial.epoch()
    record = search.ledger.read(asked.id)
    assert record.state == TrialState.RUNNING
    assert (record.epochs, record.version, record.device != "") == ((), __version__, True)
    assert record.data_hash == "fan"  # the bank's folder is its hash
    assert record.params == asked.params


def test_every_epoch_is_written_down_and_rungs_have_an_omega(search: Any, asked: TrialRecord) -> None:
    coat = DetectorTrial(tune_config(search, asked, rungs=(2,)))
    results = [coat.step() for _ in range(2)]
    record = search.ledger.read(asked.id)
    assert record.state == TrialState.RUNNING
    assert [e.epoch for e in record.epochs] == [1, 2]
    trained = {"loss", "accuracy", "learning_rate"}
    assert set(record.epochs[0].metrics) == trained
    assert set(record.epochs[1].metrics) == trained | {"omega", "accuracy_test"}
    assert record.epochs[1].metrics["omega"] == record.objective
    assert set(record.omega) == {"cosine", "nll"}
    assert 0 < record.seconds == sum(e.seconds for e in record.epochs)
    assert results == [
        {"done": False, "epoch": e.epoch, "seconds": e.seconds, "objective": e.metrics.get("omega")}
        for e in record.epochs
    ]
    assert coat.step() == {"done": True, "reason": None}


def test_a_complete_trial_leaves_scores_of_the_ledgers_clips(search: Any, asked: TrialRecord) -> None:
    record = finish(start_trial(tune_config(search, asked)))
    ledger = search.ledger
    assert ledger.read(asked.id) == record
    assert record.state == TrialState.COMPLETE
    assert record.ended is not None
    clips = ledger.clips("fan")
    assert set(clips.role) == {Role.SELECT, Role.HELD_OUT}
    cells = Cells.of(clips, Role.SELECT)
    for name in ("cosine", "nll"):
        scores = ledger.scores(asked.id, name)
        assert scores.shape == (len(clips),)
        assert float(omega(scores, cells)) == record.omega[name]
        assert record.epochs[-1].metrics["omega"] == max(record.omega.values())
        clicks = scores[(clips.label == ANOMALY)].mean()
        assert clicks > scores[clips.role == Role.HELD_OUT].mean()  # in the clips' own order
    assert ledger.storage.list(f"hums/trials/{asked.id}") == [
        "detector.pt",
        "holder",
        "record.json",
        "reference.pt",
        "scores",
    ]


def test_the_files_of_a_trial_score_as_it_did(search: Any, asked: TrialRecord) -> None:
    finish(start_trial(tune_config(search, asked)))
    ledger: Ledger = search.ledger
    detector = Detector.from_bytes(ledger.storage.read(ledger.layout.detector(asked.id)))
    assert detector.reference is None
    bank = ledger.bank("fan")
    detector.load_reference(ledger.storage.read(ledger.layout.reference(asked.id)))
    again = detector.score(detector.encode(bank, bank.table.having(*SCORED)))
    for name in ("cosine", "nll"):
        np.testing.assert_allclose(again[name], ledger.scores(asked.id, name), rtol=1e-9)
    made = detector.encode(bank, bank.table.having(Role.TRAIN))  # as an export makes it again
    torch.testing.assert_close(made.mean, detector.reference.mean)


def test_measuring_at_a_rung_changes_no_training(search: Any) -> None:
    studies = search.studies()
    plain, measured = studies.ask(), studies.ask()
    measured = measured.model_copy(update={"config": plain.config})
    one = finish(start_trial(tune_config(search, plain)))
    other = finish(start_trial(tune_config(search, measured, rungs=(1, 2))))
    assert [e.metrics["loss"] for e in one.epochs] == [e.metrics["loss"] for e in other.epochs]
    assert one.omega == other.omega


# --- killed and gone on with


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_killed_trial_ends_as_one_that_was_not(search: Any, killed_after: int) -> None:
    studies = search.studies()
    whole, killed = studies.ask(), studies.ask()
    killed = killed.model_copy(
        update={"config": whole.config, "params": whole.params, "origin": whole.origin}
    )
    finish(start_trial(tune_config(search, whole, rungs=(1,))))
    always_checkpoint(search)
    run = start_trial(tune_config(search, killed, rungs=(1,)))
    for _ in range(killed_after):
        run.epoch()
    del run

    again = start_trial(tune_config(search, killed, rungs=(1,)))
    assert again.fit.done == killed_after
    assert [e.epoch for e in again.record.epochs] == list(range(1, killed_after + 1))
    finish(again)
    ledger = search.ledger
    assert untimed(ledger.read(killed.id)) == untimed(ledger.read(whole.id))
    assert (ledger.read(killed.id).continued, ledger.read(whole.id).continued) == ((killed_after,), ())
    for name in ("cosine", "nll"):
        np.testing.assert_array_equal(ledger.scores(killed.id, name), ledger.scores(whole.id, name))
    assert not ledger.storage.exists(ledger.layout.checkpoint(killed.id))


def test_epochs_after_the_checkpoint_run_again(search: Any, asked: TrialRecord) -> None:
    always_checkpoint(search)
    config = tune_config(search, asked, rungs=(2,))
    run = start_trial(config)
    run.epoch()
    run.checkpoint_seconds = 1e9
    killed = run.epoch()
    assert len(killed.epochs) == 2
    again = start_trial(config)  # what Tune starts again has the configuration of the very first start
    assert again.record.epochs == killed.epochs[:1]
    assert again.record.seconds == killed.epochs[0].seconds
    assert again.record.omega == {}  # it was epoch 2's
    assert again.epoch().epochs[1].metrics == killed.epochs[1].metrics


def test_a_damaged_checkpoint_costs_epochs_and_not_the_trial(search: Any, asked: TrialRecord) -> None:
    always_checkpoint(search)
    config = tune_config(search, asked)
    whole = [e.metrics["loss"] for e in finish(start_trial(config)).epochs]
    name = search.ledger.layout.checkpoint(asked.id)
    other = start_trial(tune_config(search, asked.model_copy(update={"id": "fan-00007"})) | {"trial": "x"})
    wrong = {"epochs_done": 1, "detector": {}, "optimiser": {}, "rng": {}, "noise": torch.zeros(3)}
    stream = io.BytesIO()
    torch.save(wrong, stream)
    state = other.fit.state()
    for damage in (b"", b"junk", state[: len(state) // 2], stream.getvalue()):
        search.ledger.storage.delete(search.ledger.layout.record(asked.id))
        search.ledger.storage.write(name, damage)
        record = finish(start_trial(config))
        assert [e.metrics["loss"] for e in record.epochs] == whole
        assert record.continued == ()


def test_a_checkpoint_ahead_of_the_record_is_not_trusted(search: Any, asked: TrialRecord) -> None:
    """A process that should be dead wrote it: with it, epochs would be missing in the record."""
    always_checkpoint(search)
    config = tune_config(search, asked)
    run = start_trial(config)
    one = run.epoch()
    run.epoch()
    search.ledger.write(one)
    again = finish(start_trial(config))
    assert [e.epoch for e in again.epochs] == [1, 2, 3]


def test_a_process_of_an_earlier_run_writes_nothing_any_more(search: Any, asked: TrialRecord) -> None:
    always_checkpoint(search)
    search.ledger.take_lease()
    orphan = DetectorTrial(tune_config(search, asked) | {"lease": search.ledger.lease})
    orphan.step()
    search.ledger.take_lease()
    mine = start_trial(tune_config(search, asked) | {"lease": search.ledger.lease})
    record = mine.epoch()
    checkpoint = search.ledger.storage.read(mine.checkpoint)
    result = orphan.step()
    assert result == {"done": True, "reason": "hums was resumed elsewhere, and goes on there"}
    assert search.ledger.read(asked.id) == record
    assert search.ledger.storage.read(mine.checkpoint) == checkpoint
    assert [e.epoch for e in finish(mine).epochs] == [1, 2, 3]


def test_a_computer_that_was_thought_lost_writes_nothing_any_more(search: Any, asked: TrialRecord) -> None:
    always_checkpoint(search)
    search.ledger.take_lease()
    config = tune_config(search, asked) | {"lease": search.ledger.lease}
    lost = DetectorTrial(config)
    lost.step()
    elsewhere = start_trial(config)
    record = finish(elsewhere)
    assert lost.step() == {"done": True, "reason": f"{asked.id} was begun again elsewhere, and goes on there"}
    assert search.ledger.read(asked.id) == record
    assert record.state == TrialState.COMPLETE
    assert not search.ledger.storage.exists(elsewhere.checkpoint)


def test_what_a_killed_writer_left_half_written_is_swept_away(search: Any, asked: TrialRecord) -> None:
    folder = search.ledger.storage.path(search.ledger.layout.scores(asked.id))
    folder.mkdir(parents=True)
    for place in (folder, folder.parent):
        (place / ".draft-0123").write_bytes(b"half")
    finish(start_trial(tune_config(search, asked)))
    assert not list(folder.parent.rglob(".draft-*"))


def test_without_a_checkpoint_a_trial_begins_anew(search: Any, asked: TrialRecord) -> None:
    run = start_trial(tune_config(search, asked))
    run.epoch()
    again = start_trial(tune_config(search, asked))
    assert (again.record.epochs, again.fit.done) == ((), 0)
    assert again.record.started == asked.started


def test_a_checkpoint_is_never_ahead_of_the_record(
    search: Any, asked: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any write, a trial goes on with a record that holds every epoch it has trained."""
    always_checkpoint(search)
    config = tune_config(search, asked)
    real = Storage.write
    for survived in range(20):
        left = [survived]

        def write(self: Storage, name: str, data: bytes, left: list[int] = left) -> None:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            real(self, name, data)

        monkeypatch.setattr(Storage, "write", write)
        try:
            run = start_trial(config)
            finish(run)
        except KeyboardInterrupt:
            pass
        monkeypatch.setattr(Storage, "write", real)
        record = search.ledger.find(asked.id)
        if record is not None and record.state == TrialState.COMPLETE:
            break
    assert survived > 3
    assert record is not None
    assert [e.epoch for e in record.epochs] == [1, 2, 3]
    clips = len(search.ledger.clips("fan"))
    assert [search.ledger.scores(asked.id, n).shape for n in ("cosine", "nll")] == [(clips,)] * 2


def test_checkpoints_are_taken_after_a_while(search: Any, asked: TrialRecord) -> None:
    run = start_trial(tune_config(search, asked))
    run.epoch()
    assert not search.ledger.storage.exists(run.checkpoint)
    run.checkpointed -= search.ledger.plan.asked.resources.checkpoint_seconds
    run.epoch()
    assert search.ledger.storage.exists(run.checkpoint)


# --- what trials of one process share


def test_a_reused_actor_finds_the_bank_open(search: Any) -> None:
    studies = search.studies()
    runs = [start_trial(tune_config(search, studies.ask())) for _ in range(2)]
    assert runs[0].fit.bank is runs[1].fit.bank


def test_the_scored_clips_are_those_that_did_not_train(bank: ClipBank) -> None:
    roles = bank.table.role[bank.table.having(*SCORED)]
    assert Role.TRAIN not in roles
    assert len(roles) + (bank.table.role == Role.TRAIN).sum() == len(bank.table)
    unknown = replace(bank, table=replace(bank.table, label=np.full(len(bank.table), -1, np.int8)))
    assert len(unknown.table.having(*SCORED)) == len(roles)  # a clip without truth is scored as well


@pytest.mark.parametrize("jump", [-3_600.0, 86_400.0])
def test_a_clock_that_jumps_costs_no_hours_and_no_checkpoint(
    search: Any, asked: TrialRecord, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    always_checkpoint(search)
    clock = itertools.count(1.7e9, jump)
    monkeypatch.setattr("humtune.search.trial.time", lambda: next(clock))
    run = start_trial(tune_config(search, asked))
    run.epoch()
    assert search.ledger.storage.exists(run.checkpoint)
    assert all(0 <= epoch.seconds < 600 for epoch in finish(run).epochs)
    assert run.record.state == TrialState.COMPLETE
