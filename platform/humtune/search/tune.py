"""What Ray Tune asks: for trials, of many machines in one run, and after each step whether one goes on."""

import logging
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from humtune.errors import Superseded
from humtune.names import command
from humtune.records import TrialRecord, TrialState, ended
from humtune.search.studies import RESTARTS, Studies

KEPT_REFERENCES = 3  # per machine: at full scale 30 MB a trial, and an export can make them again


class MachineSearcher(Searcher):  # type: ignore[misc]
    """Hands Tune the studies' next trial. How a trial ends, the scheduler tells the studies."""

    def __init__(self, studies: Studies, *, cpus: float) -> None:
        super().__init__()
        self.studies = studies
        self.cpus = cpus

    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        """Accept whatever Tune says: the metric is the studies' own."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial as the configuration of a DetectorTrial, FINISHED, or None: ask again later.

        A trial that runs may have to begin again, so that nothing is finished before all have ended.
        """
        if self.studies.superseded:  # Tune doesn't ask `Stop` while it waits for a trial: for ten minutes
            return str(Searcher.FINISHED)
        record = self.studies.ask()
        if record is None:
            return str(Searcher.FINISHED) if self.studies.over and not self.studies.any_running else None
        return self.trial_config(record)

    def trial_config(self, record: TrialRecord) -> dict[str, Any]:
        """What a DetectorTrial needs: small, plain, the same on every node."""
        return {
            "storage": self.studies.ledger.storage.uri,
            "search": self.studies.ledger.name,
            "lease": self.studies.ledger.lease,
            "record": record.model_dump_json(),
            "trial": record.id,
            "measured": list(self.studies.space.measured),
            "cpus": self.cpus,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the scheduler sees every result, this method not the last one."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the scheduler has told the studies, with the reason."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the ledger is the truth, and studies are rebuilt from it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing, as above."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as above."""


class StudyScheduler(FIFOScheduler):  # type: ignore[misc]
    """Reports each rung to the trial's study and stops the trial when the study's pruner says so.

    Every way a trial can end passes through here, and the ledger's record is what the studies are told.
    """

    def __init__(self, studies: Studies) -> None:
        super().__init__()
        self.studies = studies
        self.warned = False
        self.again: list[Any] = []  # Tune's trials that begin again, and may still wait for a place

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Accept whatever Tune says: the metric is the studies' own."""
        return True

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Remember a trial that begins again."""
        name = trial.config["trial"]
        if self.studies.is_running(name) and self.studies.running(name).restarts:
            self.again.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """A trial that begins again and waits, as after the loss of a computer; else None, and Tune chooses.

        Tune gives a process that comes free to trials that it hasn't asked one for yet: to new ones.
        """
        self.again = [trial for trial in self.again if trial.status == Trial.PENDING]
        return self.again[0] if self.again else None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE or STOP after an epoch."""
        name = trial.config["trial"]
        if not self.studies.report(name, result["epoch"], result["seconds"], result["objective"]):
            return str(TrialScheduler.CONTINUE)
        reason = f"stopped by {self.studies.space.stopped_by} after epoch {result['epoch']}"
        self._end(name, TrialState.PRUNED, reason)
        return str(TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Take a trial that says itself that it is done."""
        name = trial.config["trial"]
        if result.get("done"):
            self._end(name, TrialState.FAILED, result.get("reason") or "it left no result")

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Take a trial whose process died: it is asked for again, from its checkpoint, a few times.

        A process that had written the trial's end before it died has nothing to do again. Tune itself goes on
        with a trial whose node was taken away, which it tells by the state.
        """
        if trial.status == Trial.ERROR:
            return
        name = trial.config["trial"]
        if self._has_ended(name) or not self.studies.again(name):
            self._end(name, TrialState.FAILED, why_it_died(trial.error_file))

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Nothing: a trial that Tune drops stays unfinished in the ledger, and resume takes it up."""

    def _has_ended(self, name: str) -> bool:
        record = self.studies.ledger.find(name)
        return record is not None and record.state != TrialState.RUNNING

    def _end(self, name: str, state: TrialState, reason: str) -> None:
        """Close the trial's record, unless its process has done so itself.

        Where it can't be written, the trial ends in memory only, and a later run takes it up again. Tune
        tells of a trial that was stopped a second time, as of one that is complete.
        """
        if not self.studies.is_running(name):
            return
        ledger = self.studies.ledger
        record = self.studies.running(name).record
        try:
            ledger.check_lease()
            record = ledger.find(name) or record
            if record.state == TrialState.RUNNING:
                record = ended(record, state, reason)
                ledger.write(record)
            ledger.storage.delete(ledger.layout.checkpoint(name))
            self.studies.end(record)
            self._forget_reference(record)
        except Superseded:
            self.studies.superseded = True  # the trial is another run's, and so is what is left
        except OSError as error:
            self._warn(error)
            self.studies.end(record if record.ended else ended(record, state, reason))

    def _forget_reference(self, record: TrialRecord) -> None:
        """A trial that ends pushes one out: itself, or the one that was last among the best."""
        ranking = self.studies.machines[record.machine].ranking
        if len(ranking) > KEPT_REFERENCES:
            out = ranking[KEPT_REFERENCES] if record in ranking[:KEPT_REFERENCES] else record
            ledger = self.studies.ledger
            for folder in out.folders:
                ledger.storage.delete(ledger.layout.reference(folder))

    def _warn(self, error: OSError) -> None:
        if not self.warned:
            ledger = self.studies.ledger
            logging.getLogger("humtune").warning(
                f"{ledger.storage.uri}: {error.strerror or error}; the search goes on, and trials whose end "
                f"can't be written are taken up again by {command('resume', ledger.name)}"
            )
        self.warned = True


def why_it_died(error_file: str | None) -> str:
    """What Tune knows of the death of a trial's process, in plain words."""
    file = Path(error_file) if error_file else None
    text = file.read_text(encoding="utf-8", errors="replace") if file and file.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    times = f"its process died {RESTARTS + 1} times"
    if "low on memory" in text or "memory usage threshold" in text:
        return f"{times}: Ray ended it as the computer ran out of memory"
    if "Worker exit type" in text or not lines:
        return f"{times}: it crashed, or was killed, as computers do that run out of memory"
    return lines[-1]
