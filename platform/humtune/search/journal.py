"""A search as Optuna's own tools read it: a study of each machine, of the trials that have ended.

Made of the ledger whenever it is asked for, so it can't be lost, and nothing that searches waits for it.
"""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, create_trial

from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.records import CONFIRM, SYMBOLS, TrialRecord, TrialState
from humtune.search.rebuilding import ask_for, study_name
from humtune.search.samplers import end_of, experiments, measured
from humtune.search.space import Space
from humtune.search.space.checks import planned_space


def study_of(ledger: Ledger, machine: str) -> optuna.Study:
    """A machine's study in memory, or that of shared trials, as far as the search has come."""
    storage = InMemoryStorage()
    add_ended(ledger, machine, storage, planned_space(ledger.plan))
    return optuna.load_study(study_name=study_name(ledger, machine), storage=storage)


def write_journal(ledger: Ledger, path: Path) -> Iterator[tuple[str, int]]:
    """Add what a journal file of Optuna's lacks of a search's trials: machine, and how many, one by one.

    Trials are added as they ended, each in one line, so that a kill leaves a file that the next call goes on
    with, and a dashboard that shows it sees them come. UsageError where the file is no such journal.
    """
    _check_journal(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(path)))
    known = {study.study_name for study in storage.get_all_studies()}
    if others := sorted(known - {study_name(ledger, machine) for machine in ledger.plan.studies}):
        raise UsageError(f"{path}: a journal of {others[0]}; name another file")
    space = planned_space(ledger.plan)
    for machine in ledger.plan.studies:
        yield machine, add_ended(ledger, machine, storage, space)


def _check_journal(path: Path) -> None:
    """Raise a UsageError for what is no journal; a line that was cut off as it was written goes."""
    if path.is_dir():
        raise UsageError(f"{path}: a folder; name a file")
    if not path.exists() or not (said := path.read_bytes()):
        return
    first, last = said.partition(b"\n")[0], said.rfind(b"\n") + 1
    try:
        is_journal = last > 0 and "op_code" in json.loads(first)
    except (ValueError, TypeError):
        is_journal = False
    if not is_journal:
        raise UsageError(f"{path}: no journal of Optuna's; name another file")
    if last < len(said):
        os.truncate(path, last)


def add_ended(ledger: Ledger, machine: str, storage: BaseStorage, space: Space) -> int:
    """Add the trials that have ended and a storage of Optuna's lacks; how many these are.

    What confirms is left out, as it repeats others: a study holds one trial of a choice.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line for each study says nothing new
    study = optuna.create_study(
        study_name=study_name(ledger, machine),
        storage=storage,
        direction="maximize",
        load_if_exists=True,
    )
    if "machine" not in study.user_attrs:  # which is written last
        with experiments():
            study.set_metric_names([SYMBOLS[ledger.plan.objective(machine)]])
        study.set_user_attr("search", ledger.name)
        study.set_user_attr("machine", machine)
    had = {trial.user_attrs["trial"] for trial in study.get_trials(deepcopy=False)}
    known = [r for r in ledger.records(machine) if r.origin != CONFIRM and r.state != TrialState.RUNNING]
    new = sorted((r for r in known if r.id not in had), key=lambda record: record.number)
    asked = optuna.create_study(sampler=RandomSampler())
    for record in new:
        study.add_trial(as_optuna(record, space, asked))
    return len(new)


def as_optuna(record: TrialRecord, space: Space, asked: optuna.Study) -> FrozenTrial:
    """A trial that has ended as Optuna has it; `asked` is a study to be asked which parameters it has."""
    params, distributions = {}, {}
    if record.readable:
        trial = ask_for(space, asked, record)
        params, distributions = trial.params, trial.distributions
    said: dict[str, Any] = {
        "trial": record.id,
        "family": record.family,
        "origin": record.origin,
        "seed": record.seed,
        "seconds": record.seconds,
        **{f"{name} {score}": value for name in SYMBOLS for score, value in getattr(record, name).items()},
        "score type": record.best_score if record.judged else None,
        "started from": record.started_from,
        "reason": record.reason,
        "host": record.host,
        "device": record.device,
    }
    state, value = end_of(record)
    made = create_trial(
        state=state,
        value=value,
        params=params,
        distributions=distributions,
        intermediate_values=measured(record),
        user_attrs={key: value for key, value in said.items() if value not in (None, "")},
    )
    made.datetime_start = datetime.fromtimestamp(record.started)
    made.datetime_complete = datetime.fromtimestamp(record.ended or record.started)
    return made
