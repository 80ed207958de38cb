"""What Ray Tune asks for trials: many machines in one run, so that no slot idles while a machine finishes."""

from typing import Any

from ray.tune.search import Searcher

from humtune.records import TrialRecord
from humtune.search.studies import Studies


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
            "sitting": self.studies.ledger.sitting,
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
