"""The thin coat around a trial that Ray Tune drives; no torch is imported before a trial begins."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from ray import tune

from humtune.errors import HumtuneError, Superseded
from humtune.records import TrialState

if TYPE_CHECKING:
    from humtune.search.trial import TrialRun

TRIALS_OWN = (HumtuneError, ValueError, RuntimeError, MemoryError)  # errors that it would meet every time
NO_MEMORY = re.compile("out of memory|can't allocate memory", re.IGNORECASE)  # PyTorch's words


def start_trial(config: dict[str, Any]) -> "TrialRun":
    """The trial that the searcher asked for; only now is torch imported."""
    from humtune.search import trial

    return trial.start_trial(config)


class DetectorTrial(tune.Trainable):  # type: ignore[misc]
    """What Ray Tune sees of a trial: steps of an epoch, in an actor that goes on to the next trial."""

    start: Callable[[dict[str, Any]], "TrialRun"] = staticmethod(start_trial)

    def setup(self, config: dict[str, Any]) -> None:
        """Begin a trial in a new actor. What goes wrong is reported by the first step.

        Where the storage can't be read, it may be so for a moment: that is left to Tune, which begins again.
        """
        self.reason: str | None = None
        self.trial: TrialRun | None = None
        try:
            self.trial = self.start(config)
        except TRIALS_OWN as error:
            self.reason = what_went_wrong(error)

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
        except TRIALS_OWN as error:
            reason = what_went_wrong(error)
            with suppress(Superseded, OSError):  # on a full disk the driver, too, tries to write it down
                self.trial.fail(reason)
            self.trial = None
            return {"done": True, "reason": reason}
        if record.state != TrialState.RUNNING:
            self.trial = None  # frees the memory before the next trial asks for its own
            return {"done": True, "reason": record.reason}
        last = record.epochs[-1]
        objective = last.metrics.get(record.judged_by)
        return {"done": False, "epoch": last.epoch, "seconds": last.seconds, "objective": objective}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: checkpoints lie in the ledger, under the trial's own name, where any resume finds them."""


def what_went_wrong(error: Exception) -> str:
    """An error as the reason of a trial that failed: what was wrong, before what it is called."""
    text = str(error)
    if isinstance(error, ValidationError):
        from humtune.search.space.errors import why_apart  # brings optuna, which a process does without

        return why_apart(error)
    if isinstance(error, HumtuneError):
        return text
    if isinstance(error, MemoryError) or NO_MEMORY.search(text):
        return f"it ran out of memory: {text}".removesuffix(": ")
    return f"{type(error).__name__}: {text}"
