"""A search of more recordings, to which an earlier one's detectors are brought as far as their kinds allow.

What has a closed form is fitted anew. A network stays as it was trained: its scores compare with the new
recordings too, and their scales are measured again. It is a search like any other, whose trials have ended.
"""

import platform
from collections import Counter
from enum import StrEnum
from time import monotonic, time

from humtune import __version__
from humtune.detectors.detector import Detector
from humtune.detectors.recipe import Recipe, recipe_of
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger, searches
from humtune.records import SYMBOLS, Epoch, TrialRecord, TrialState, ended
from humtune.scores.base import Score
from humtune.search.actor import what_went_wrong
from humtune.search.connection import check_device
from humtune.search.evaluator import Evaluator, Measurement
from humtune.search.planning import plan_search
from humtune.search.space import planned_space
from humtune.search.trial import device_name
from humtune.sounds.bank import ClipBank
from humtune.sounds.parallel import tracked
from humtune.sounds.table import Role
from humtune.tracking import Mirror


class Intake(StrEnum):
    """How far a detector takes new recordings in."""

    WHOLE = "whole"  # fitted anew
    COMPARED = "compared"  # a score of it compares with them
    SCALE = "scale"  # they only set its scale, and the limit


def intake(recipe: Recipe) -> Intake:
    """How far a recipe's detector takes new recordings in without training."""
    if recipe.budget == 1:
        return Intake.WHOLE
    scores = map(recipe.scoring.of, recipe.base_types)
    compare = any(isinstance(score, Score) and score.compares for score in scores)
    return Intake.COMPARED if compare else Intake.SCALE


def only_machine(ledger: Ledger) -> str:
    """The machine of a search of one; UsageError where it has several."""
    machines = tuple(ledger.plan.machines)
    if len(machines) > 1:
        raise UsageError(
            f"search '{ledger.name}' has the machines {', '.join(machines)}, and recordings don't say which "
            "they are of; add them to its data set, and search that"
        )
    return machines[0]


def continued(earlier: Ledger, bank: ClipBank) -> Ledger:
    """The search of a grown bank, with the roles of its clips, that goes on from an earlier one.

    The same recordings have the same search: where it is there already, it is to be gone on with.
    """
    name = search_of(bank)
    if name in searches(earlier.storage):
        return Ledger.open(earlier.storage, name)
    plan = earlier.plan
    asked = plan.asked.model_copy(update={"continues": earlier.name})
    return plan_search(
        planned_space(plan),
        {only_machine(earlier): bank},
        earlier.storage,
        asked,
        name=name,
        strangers=lambda _: (),
    )


def search_of(bank: ClipBank) -> str:
    """What a search is called that is made of a bank."""
    return f"{bank.table.machine}-{bank.hash[:6]}"


def bring(earlier: Ledger, ledger: Ledger) -> Counter[Intake]:
    """Bring the trials of an earlier search that have ended to one that continues it, one after the other.

    Those that are there already stay: whatever is killed, this goes on. How many complete ones took the
    recordings in how far; one that can't be brought has failed, and says why.
    """
    device = ledger.plan.asked.resources.device
    check_device(device, None)
    machine = only_machine(ledger)
    ledger.take_lease()
    there = {record.id for record in ledger.records() if record.state != TrialState.RUNNING}
    over = [r for r in earlier.records(machine) if r.state != TrialState.RUNNING and r.readable]
    due = [record for record in over if record.id not in there]
    evaluator = Evaluator(ledger.bank(machine), ledger.probes(machine))
    with Mirror(ledger):
        for record in tracked(due, total=len(due), title=f"{machine}: taking recordings in"):
            ledger.claim(record.id)
            moved = _moved(record, ledger)
            if record.state == TrialState.COMPLETE:
                moved = _brought(earlier, ledger, moved, evaluator, device)
            ledger.write(moved)
    complete = (record for record in ledger.records(machine) if record.state == TrialState.COMPLETE)
    return Counter(intake(recipe_of(record.config)) for record in complete)


def _moved(record: TrialRecord, ledger: Ledger) -> TrialRecord:
    """The record as one of the new search, without what the earlier clips said of it.

    What judges may be another figure now, and early stopping must not hold the one against the other.
    """
    epochs = (
        epoch.model_copy(update={"metrics": {k: v for k, v in epoch.metrics.items() if k not in SYMBOLS}})
        for epoch in record.epochs
    )
    return record.model_copy(
        update={
            "judged_by": ledger.plan.objective(record.machine),
            "omega": {},
            "pseudo": {},
            "epochs": tuple(epochs),
            "data_hash": ledger.plan.machines[record.machine].data_hash,
        }
    )


def _brought(
    earlier: Ledger, ledger: Ledger, record: TrialRecord, evaluator: Evaluator, device: str
) -> TrialRecord:
    """The moved record of a complete trial, with what the new clips say; scores and detector are there."""
    began, layout = monotonic(), ledger.layout
    try:
        detector = _detector(earlier, record, evaluator.bank, device)
        found = evaluator.measure(detector)
    except OSError:  # of the storage, and no fault of the detector's
        raise
    except Exception as error:  # whatever a family meets in these recordings costs one detector
        why = f"can't be brought from {earlier.name}: {what_went_wrong(error)}"
        return ended(record, TrialState.FAILED, why)
    ledger.write_scores(record.id, found.scores)
    ledger.storage.write(layout.reference(record.id), detector.reference_bytes())
    ledger.storage.write(layout.detector(record.id), detector.to_bytes())
    seconds = monotonic() - began
    return record.model_copy(
        update={
            "omega": found.omega,
            "pseudo": found.pseudo,
            "epochs": _epochs(record, found, seconds),
            "ended": time(),
            "seconds": record.seconds + seconds,
            "version": __version__,
            "host": platform.node(),
            "device": device_name(device),
        }
    )


def _detector(earlier: Ledger, record: TrialRecord, bank: ClipBank, device: str) -> Detector:
    """The trial's detector of a bank's healthy clips: made anew, or with the network that it has."""
    recipe = recipe_of(record.config)
    if intake(recipe) == Intake.WHOLE:
        return recipe.start(bank, device=device).run()
    name = earlier.layout.detector(record.id)
    try:
        detector = Detector.from_bytes(earlier.storage.read(name), device=device)
    except FileNotFoundError:
        raise HumtuneError(f"{earlier.storage.uri}/{name} is missing") from None
    table = bank.table
    detector.learn(bank, table.having(Role.TRAIN), held_out=table.having(Role.HELD_OUT))
    return detector


def _epochs(record: TrialRecord, found: Measurement, seconds: float) -> tuple[Epoch, ...]:
    """What trained the detector, and at the end what the new clips say of it."""
    *before, last = record.epochs
    metrics = {**last.metrics, **found.metrics}
    return (*before, Epoch(epoch=last.epoch, ended=time(), seconds=seconds, metrics=metrics))
