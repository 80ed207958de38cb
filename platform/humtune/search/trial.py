"""One trial: a TrainingRun that writes itself into the ledger, and the thin coat that Ray Tune drives."""

import io
import platform
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from time import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray import tune

from humtune import __version__
from humtune.detector.process import settle
from humtune.detector.training import TrainingRun
from humtune.errors import HumtuneError
from humtune.ledger import Epoch, Ledger, TrialRecord, TrialState
from humtune.search.yardstick import Measurement, Yardstick
from humtune.sounds.bank import ClipBank
from humtune.storage import Storage

CHECKPOINT_SECONDS = 5.0  # the work that a kill may cost, at most


class TrialRun:
    """Trains one trial's detector an epoch at a time, and keeps its record, checkpoint and results."""

    def __init__(
        self, ledger: Ledger, record: TrialRecord, bank: ClipBank, *, rungs: tuple[int, ...]
    ) -> None:
        plan = ledger.plan
        self.ledger = ledger
        self.rungs = rungs
        how = record.acceleration or plan.acceleration(record.config)
        self.run = TrainingRun(record.config, bank, device=plan.device, acceleration=how)
        self.yardstick = Yardstick(bank, ledger.probes(record.machine))
        self.record = record.model_copy(
            update={
                "data_hash": bank.hash,
                "version": __version__,
                "host": platform.node(),
                "device": device_name(plan.device),
                "acceleration": how,
            }
        )
        self.checkpointed = time()
        if ledger.storage.exists(self.checkpoint):
            self.run.restore(ledger.storage.read(self.checkpoint))
        self.record = _shortened(self.record, self.run.epochs_done)
        self.begun = False  # nothing is written before: Tune makes actors for trials that others then run

    @property
    def checkpoint(self) -> str:
        """The storage's name of the state between two epochs."""
        return self.ledger.file(self.record.id, "checkpoint.pt")

    def epoch(self) -> TrialRecord:
        """Train an epoch, measure where it is a rung or the last, and write down how far the trial is."""
        began = time()
        if not self.begun:
            self.ledger.write(self.record)
            self.begun = True
        metrics = self.run.epoch()
        done = self.run.epochs_done
        last = done == self.record.config.training.epochs
        update: dict[str, Any] = {}
        measured: Measurement | None = None
        if last or done in self.rungs:
            measured = self.yardstick.measure(self.run.finish())
            update |= {"omega": measured.omega, "pseudo": measured.pseudo}
            metrics |= measured.metrics
        ended = time()
        epoch = Epoch(epoch=done, ended=ended, seconds=ended - began, metrics=metrics)
        update |= {"epochs": (*self.record.epochs, epoch), "seconds": self.record.seconds + epoch.seconds}
        if last and measured:
            self._keep(measured.scores)
            update |= {"state": TrialState.COMPLETE, "ended": ended}
        self.record = self.record.model_copy(update=update)
        self.ledger.write(self.record)  # before the checkpoint, which must never be ahead of the record
        if last:
            self.ledger.storage.delete(self.checkpoint)
        elif ended - self.checkpointed > CHECKPOINT_SECONDS:
            self.ledger.storage.write(self.checkpoint, self.run.state())
            self.checkpointed = time()
        return self.record

    def fail(self, reason: str) -> TrialRecord:
        """Write down that the trial can't go on, and why."""
        self.record = ended(self.record, TrialState.FAILED, reason)
        self.ledger.write(self.record)
        return self.record

    def _keep(self, scores: dict[str, NDArray[np.float64]]) -> None:
        ledger, detector, trial = self.ledger, self.run.detector, self.record.id
        ledger.write_scores(trial, scores)
        reference = io.BytesIO()
        torch.save(asdict(detector.reference) if detector.reference else None, reference)
        ledger.storage.write(ledger.file(trial, "reference.pt"), reference.getvalue())
        ledger.storage.write(ledger.file(trial, "detector.pt"), detector.without_reference().to_bytes())


def ended(record: TrialRecord, state: TrialState, reason: str) -> TrialRecord:
    """The record of a trial that ends now, before its time."""
    return record.model_copy(update={"state": state, "reason": reason, "ended": time()})


def device_name(device: str) -> str:
    """What the trial computed on, as a person would name it."""
    return torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor() or "cpu"


def _shortened(record: TrialRecord, epochs: int) -> TrialRecord:
    """The record without the epochs that happened after the checkpoint."""
    kept, dropped = record.epochs[:epochs], record.epochs[epochs:]
    update: dict[str, Any] = {"epochs": kept, "seconds": sum(e.seconds for e in kept)}
    if any({"omega", "pseudo"} & e.metrics.keys() for e in dropped):
        update |= {"omega": {}, "pseudo": {}}
    return record.model_copy(update=update)


@lru_cache(maxsize=4)
def open_bank(storage: Storage, search: str, machine: str) -> ClipBank:
    """A machine's bank, mapped once per process: the next trial of a reused actor finds it open."""
    return Ledger(storage, search).bank(machine)


def start_trial(config: dict[str, Any]) -> TrialRun:
    """The trial that the searcher asked for: from its checkpoint where it has one.

    The ledger's record goes before the configuration's: after a process died, it knows more.
    """
    ledger = Ledger(Storage(config["storage"]), config["search"])
    plan = ledger.plan
    settle(plan.device, cpus=plan.cpus, gpus=plan.gpus)
    record = ledger.find(config["trial"]) or TrialRecord.model_validate_json(config["record"])
    if record.state != TrialState.RUNNING:
        raise HumtuneError(f"{record.id} is {record.state} already")
    bank = open_bank(ledger.storage, ledger.name, record.machine)
    return TrialRun(ledger, record, bank, rungs=tuple(config["rungs"]))


class DetectorTrial(tune.Trainable):  # type: ignore[misc]
    """What Ray Tune sees of a trial: steps of an epoch, in an actor that goes on to the next trial."""

    start: Callable[[dict[str, Any]], TrialRun] = staticmethod(start_trial)

    def setup(self, config: dict[str, Any]) -> None:
        """Begin a trial in a new actor. What goes wrong is told by the first step."""
        self.reason: str | None = None
        self.trial: TrialRun | None = None
        try:
            self.trial = self.start(config)
        except (HumtuneError, ValueError) as error:
            self.reason = str(error)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in this actor: no new process, no new import."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """An epoch. A trial that fails for a reason of its own ends like any other."""
        if self.trial is None:
            return {"done": True, "reason": self.reason}
        try:
            record = self.trial.epoch()
        except HumtuneError as error:
            record = self.trial.fail(str(error))
        except (ValueError, RuntimeError, MemoryError) as error:
            record = self.trial.fail(f"{type(error).__name__}: {error}")
        if record.state != TrialState.RUNNING:
            self.trial = None  # frees the memory before the next trial asks for its own
            return {"done": True, "reason": record.reason}
        last = record.epochs[-1]
        objective = last.metrics.get(record.judged_by)
        return {"done": False, "epoch": last.epoch, "seconds": last.seconds, "objective": objective}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: checkpoints lie in the ledger, under the trial's own name, where any resume finds them."""
