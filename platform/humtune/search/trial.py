"""One trial: a fit that writes itself into the ledger. Knows no Ray."""

import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from time import monotonic, time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from humtune import __version__
from humtune.config import Acceleration
from humtune.detectors.detector import Detector
from humtune.detectors.encoder import Encoder
from humtune.detectors.fit import Fit
from humtune.detectors.process import settle
from humtune.detectors.recipe import recipe_of
from humtune.errors import HumtuneError
from humtune.ledger import Ledger
from humtune.records import Epoch, OnMachine, TrialRecord, TrialState, ended
from humtune.results.lessons import taught_bank
from humtune.search.evaluator import Evaluator, Measurement
from humtune.search.watchdog import Watchdog
from humtune.sounds.bank import ClipBank
from humtune.sounds.joined import expose, join_banks
from humtune.storage import Storage


class TrialRun:
    """Fits one trial's detector a step at a time, and keeps its record, checkpoint and results."""

    def __init__(
        self, ledger: Ledger, record: TrialRecord, banks: Sequence[ClipBank], *, measured: tuple[int, ...]
    ) -> None:
        """`banks` is the machine's or, of a shared trial, that of each."""
        plan = ledger.plan
        resources = plan.asked.resources
        self.ledger = ledger
        self.measured = measured
        self.checkpoint_seconds = resources.checkpoint_seconds
        self.hours = resources.hours_per_trial
        self.checkpoint = ledger.layout.checkpoint(record.id)
        self.recipe = recipe_of(record.config)
        how = record.acceleration or plan.acceleration(self.recipe.size)
        probes = [ledger.probes(bank.table.machine) for bank in banks]
        bank = join_banks(banks) if record.machines else banks[0]
        if self.recipe.exposed and not record.machines:
            bank = self._exposed(bank, probes[0])
        if self.recipe.taught:
            bank = taught_bank(ledger, bank)
        self.fit = self._restored(record, bank, device=resources.device, how=how)
        self.evaluators = [Evaluator(*pair) for pair in zip(banks, probes, strict=True)]
        self.quick_evaluators = [
            Evaluator.quick(*pair, judged_by=record.judged_by) for pair in zip(banks, probes, strict=True)
        ]
        self.detectors: dict[str, Detector] = {}  # as last measured, by machine
        done = self.fit.done
        self.record = record.model_copy(
            update={
                "data_hash": bank.hash,
                "version": __version__,
                "host": platform.node(),
                "device": device_name(resources.device),
                "continued": (*record.continued, done) if done else record.continued,
                "acceleration": how,
            }
        )
        self.record = _shortened(self.record, done)
        self.checkpointed = monotonic()
        self.begun = False  # nothing is written before: Tune makes actors for trials that others then run

    def _exposed(self, bank: ClipBank, probes: ClipBank | None) -> ClipBank:
        """The machine's bank with the other machines', but for the clips that its probes are made of."""
        plan = self.ledger.plan
        others = [m for m in plan.machines if m != bank.table.machine]
        banks = [open_bank(self.ledger.storage, plan.name, machine) for machine in others]
        return expose(bank, banks, without=set(probes.table.name) if probes else ())

    def _restored(self, record: TrialRecord, bank: ClipBank, *, device: str, how: Acceleration) -> Fit:
        """The fit as its checkpoint left it; from its start where that is damaged.

        One that is ahead of the record was left by a process that had no right to: epochs would be missing.
        """
        if self.ledger.storage.exists(self.checkpoint):
            with suppress(HumtuneError, KeyError, TypeError, ValueError, RuntimeError):
                fit = self.recipe.start(bank, device=device, acceleration=how)
                fit.restore(self.ledger.storage.read(self.checkpoint))
                if fit.done <= len(record.epochs):
                    return fit
        fit = self.recipe.start(bank, device=device, acceleration=how)  # the other may be restored in parts
        if self.recipe.starts_shared:
            fit.start_from(self._shared_encoder(record.started_from, device=device))
        return fit

    def _shared_encoder(self, trial: str | None, *, device: str) -> Encoder:
        """What a shared trial has learnt; HumtuneError where it can't be had, or is of another network."""
        if trial is None:
            raise HumtuneError(
                f"no shared trial of the family {self.recipe.family} is complete to start from"
            )
        name = self.ledger.layout.detector(trial)
        place = f"it starts from {trial}: {self.ledger.storage.uri}/{name}"
        try:
            detector = Detector.from_bytes(self.ledger.storage.read(name), device=device)
        except FileNotFoundError:
            raise HumtuneError(f"{place} is missing") from None
        except (HumtuneError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise HumtuneError(f"{place} is damaged") from error
        if self.recipe.starting_from(detector.recipe) != self.recipe:
            raise HumtuneError(f"{place} holds another network than the trial's")
        return detector.encoder

    def epoch(self) -> TrialRecord:
        """Make a step, measure where it is a rung or the last, and write down how far the trial is."""
        began = monotonic()
        if not self.begun:
            self.ledger.claim(self.record.id)
            self.ledger.write(self.record)
            layout = self.ledger.layout
            for folder in self.record.folders:
                for place in (layout.trial(folder), layout.scores(folder)):
                    self.ledger.storage.sweep(place)
            self.begun = True
        with Watchdog(self._seconds_left, partial(self.fail, self._out_of_time)):
            metrics, found = self._step()
            whole = Measurement.over(found.values()) if found else None
        done = self.fit.done
        last = done == self.recipe.budget
        update: dict[str, Any] = {}
        if whole:
            metrics = metrics | whole.metrics
            update |= {"omega": whole.omega, "pseudo": whole.pseudo, "machines": self._by_machine(found)}
        ended, seconds = time(), monotonic() - began  # a clock that is set meanwhile costs no trial its hours
        epoch = Epoch(epoch=done, ended=ended, seconds=seconds, metrics=metrics)
        update |= {"epochs": (*self.record.epochs, epoch), "seconds": self.record.seconds + epoch.seconds}
        if last and whole:
            self.ledger.check_lease()
            self._keep({machine: each.scores for machine, each in found.items()})
            update |= {"state": TrialState.COMPLETE, "ended": ended}
        self.record = self.record.model_copy(update=update)
        self.ledger.write(self.record)  # before the checkpoint, which must never be ahead of the record
        if last:
            self.ledger.storage.delete(self.checkpoint)
        elif monotonic() - self.checkpointed > self.checkpoint_seconds:
            self.ledger.storage.write(self.checkpoint, self.fit.state())
            self.checkpointed = monotonic()
        return self.record

    def _step(self) -> tuple[dict[str, float], dict[str, Measurement]]:
        """A step's metrics; where it is a rung or the last, with what each machine's detector measures."""
        metrics = self.fit.step()
        if self.fit.done == self.recipe.budget:
            found = self._measure(self.evaluators, self.fit.finish)
        elif self.fit.done in self.measured:
            found = self._measure(self.quick_evaluators, self.fit.preview)
        else:
            return metrics, {}
        return metrics, found

    def _measure(
        self, evaluators: Sequence[Evaluator], make: Callable[[ClipBank], Detector]
    ) -> dict[str, Measurement]:
        found = {}
        for evaluator in evaluators:
            machine = evaluator.bank.table.machine
            self.detectors[machine] = make(evaluator.bank)
            found[machine] = evaluator.measure(self.detectors[machine])
        return found

    def _by_machine(self, found: dict[str, Measurement]) -> dict[str, OnMachine]:
        """What a shared trial's record says of each machine."""
        return {
            machine: on.model_copy(update={"omega": found[machine].omega, "pseudo": found[machine].pseudo})
            for machine, on in self.record.machines.items()
        }

    @property
    def _seconds_left(self) -> float:
        left = 3600 * self.hours - self.record.seconds
        if left <= 0:
            raise HumtuneError(self._out_of_time)
        return left

    @property
    def _out_of_time(self) -> str:
        epoch = len(self.record.epochs) + 1
        return f"epoch {epoch} was not done when the trial's {self.hours:g} h were over"

    def fail(self, reason: str) -> TrialRecord:
        """Write down that the trial can't go on, and why."""
        self.record = ended(self.record, TrialState.FAILED, reason)
        self.ledger.write(self.record)
        return self.record

    def _keep(self, scores: dict[str, dict[str, NDArray[np.float64]]]) -> None:
        """Keep each machine's scores and reference, and the weights once."""
        ledger, record = self.ledger, self.record
        for machine, detector in self.detectors.items():
            seen = record.of(machine)
            assert seen
            ledger.write_scores(seen.folder, scores[machine])
            ledger.storage.write(ledger.layout.reference(seen.folder), detector.reference_bytes())
        whole = self.detectors.get(record.machine) or Detector(
            self.recipe, self.fit.encoder, machine=record.machine
        )
        ledger.storage.write(ledger.layout.detector(record.id), whole.to_bytes())


def device_name(device: str) -> str:
    """What the trial computed on, as a person would name it."""
    return torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor() or "cpu"


def _shortened(record: TrialRecord, epochs: int) -> TrialRecord:
    """The record without the epochs that happened after the checkpoint."""
    kept, dropped = record.epochs[:epochs], record.epochs[epochs:]
    update: dict[str, Any] = {"epochs": kept, "seconds": sum(e.seconds for e in kept)}
    if any({"omega", "pseudo"} & e.metrics.keys() for e in dropped):
        unmeasured = {m: OnMachine(judged_by=on.judged_by) for m, on in record.machines.items()}
        update |= {"omega": {}, "pseudo": {}, "machines": unmeasured}
    return record.model_copy(update=update)


@lru_cache(maxsize=64)
def open_bank(storage: Storage, search: str, machine: str) -> ClipBank:
    """A machine's bank, mapped once per process: the next trial of a reused actor finds it open."""
    return Ledger(storage, search).bank(machine)


def start_trial(config: dict[str, Any]) -> TrialRun:
    """The trial that the searcher asked for: from its checkpoint where it has one.

    The ledger's record goes before the configuration's: after a process died, it knows more.
    """
    ledger = Ledger(Storage(config["storage"]), config["search"], lease=config.get("lease", ""))
    settle(ledger.plan.asked.resources)
    record = ledger.find(config["trial"]) or TrialRecord.model_validate_json(config["record"])
    if not record.readable:
        raise HumtuneError(record.reason)
    if record.state != TrialState.RUNNING:
        raise HumtuneError(f"{record.id} is {record.state} already")
    machines = record.machines or (record.machine,)
    banks = [open_bank(ledger.storage, ledger.name, machine) for machine in machines]
    return TrialRun(ledger, record, banks, measured=tuple(config["measured"]))
