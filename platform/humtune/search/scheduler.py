"""What Ray Tune asks whether a trial should go on: the trial's own Optuna study decides."""

from pathlib import Path
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from humtune.ledger import TrialState
from humtune.search.studies import Studies
from humtune.search.trial import ended

KEPT_REFERENCES = 3  # per machine: at full scale 30 MB a trial, and an export can make them again


class StudyScheduler(FIFOScheduler):  # type: ignore[misc]
    """Reports each rung to the trial's study and stops the trial when the study's pruner says so.

    Every way a trial can end passes through here, and the ledger's record is what the studies are told.
    """

    def __init__(self, studies: Studies) -> None:
        super().__init__()
        self.studies = studies

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Accept whatever Tune says: the metric is the studies' own."""
        return True

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Nothing: Tune begins what waits in order by itself. To choose is to walk through all trials."""

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
        """Take a trial whose process died; Tune starts it again a few times, from its checkpoint."""
        if not trial.should_recover():
            self._end(trial.config["trial"], TrialState.FAILED, _last_line(trial.error_file))

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Nothing: a trial that Tune drops stays unfinished in the ledger, and resume takes it up."""

    def _end(self, name: str, state: TrialState, reason: str) -> None:
        """Close the trial's record, unless its process has done so itself."""
        ledger = self.studies.ledger
        record = ledger.find(name) or self.studies.running(name).record
        if record.state == TrialState.RUNNING:
            record = ended(record, state, reason)
            ledger.write(record)
        ledger.storage.delete(ledger.file(name, "checkpoint.pt"))
        self.studies.end(record)
        ranking = self.studies.machines[record.machine].ranking
        if len(ranking) > KEPT_REFERENCES:  # one is pushed out: this one, or the last of the best before
            out = ranking[KEPT_REFERENCES] if record in ranking[:KEPT_REFERENCES] else record
            ledger.storage.delete(ledger.file(out.id, "reference.pt"))


def _last_line(error_file: str | None) -> str:
    """The line of a traceback that says what happened."""
    if error_file is None or not Path(error_file).exists():
        return "its process died"
    lines = [line.strip() for line in Path(error_file).read_text().splitlines() if line.strip()]
    return lines[-1] if lines else "its process died"
