"""The thin coat around a trial that Ray Tune drives; no torch is imported before a trial begins."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ray import tune

from humtune.errors import HumtuneError
from humtune.ledger import TrialState

if TYPE_CHECKING:
    from humtune.search.trial import TrialRun


def start_trial(config: dict[str, Any]) -> "TrialRun":
    """The trial that the searcher asked for; only now is torch imported."""
    from humtune.search import trial

    return trial.start_trial(config)


class DetectorTrial(tune.Trainable):  # type: ignore[misc]
    """What Ray Tune sees of a trial: steps of an epoch, in an actor that goes on to the next trial."""

    start: Callable[[dict[str, Any]], "TrialRun"] = staticmethod(start_trial)

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
