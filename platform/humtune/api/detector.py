"""Detector: any family of detectors without a search, in scikit-learn's form."""

import warnings
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import ValidationError
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from humtune.api.outliers import Array, Outliers, Sound, one_by_one
from humtune.config import SAMPLE_RATE, set_path
from humtune.detectors.detector import Detector as Fitted
from humtune.detectors.recipe import Recipe, recipe_of
from humtune.errors import HumtuneError, UsageError
from humtune.metrics.calibration import FALSE_ALARMS, Threshold, threshold_from
from humtune.names import count
from humtune.results.candidates import FUSION
from humtune.search.space.errors import first_error
from humtune.sounds.bank import ClipBank
from humtune.sounds.sound_file import open_array, open_sound
from humtune.sounds.table import NORMAL, UNKNOWN, ClipTable, Role, assign_roles

MACHINE = "machine"  # whose clips sounds are of


class Detector(Outliers, OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """A detector of one family: fitted to healthy sounds, it tells strange ones.

    An estimator as scikit-learn has them: it can be cloned, its parameters searched, and it may end a
    pipeline whose steps give sounds. Sounds are files, or arrays of samples at `rate`, [n] or [n, channels].

    After `fit`: `limit_`, the anomaly score above which a sound is an anomaly; `threshold_`, that and what
    it was measured on; `score_type_`, the score that counts; `recipe_`, all settings; `detector_`, what was
    fitted.
    """

    def __init__(
        self,
        family: str = "gaussian_mixture",
        *,
        settings: Mapping[str, Any] | None = None,
        score_type: str | None = None,
        rate: int = SAMPLE_RATE,
        channel: int | None = None,
        false_alarms: float = FALSE_ALARMS,
        held_out: float = 0.1,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        """`settings` are a family's own by dotted names, as in a space; `score_type` None: its first.

        `rate` is that of arrays in Hz. `false_alarms` (0…1) is the share of healthy sounds that `limit_` may
        flag, by the share `held_out` of those it is fitted to, which it doesn't learn from. n held-out sounds
        can promise 1 / (n + 1) at best: 10 % needs 9 of them, so 90 sounds where a tenth is held out. With
        fewer the limit is an estimate, and a warning says so. Of several channels `channel` is read, counted
        from 1; None: all, mixed down.
        """
        self.family = family
        self.settings = settings
        self.score_type = score_type
        self.rate = rate
        self.channel = channel
        self.false_alarms = false_alarms
        self.held_out = held_out
        self.device = device
        self.seed = seed

    def fit(self, X: Iterable[Sound], y: ArrayLike | None = None) -> Self:
        """Learn how healthy sounds are. `y` [n] names the class of each, for families that tell them apart.

        UsageError where a sound is none, a setting can't be, or the sounds don't do for the family.
        """
        check_device(self.device)
        classes = None if y is None else [str(one) for one in np.asarray(y).tolist()]
        bank = self._bank(X, classes)
        held_out = bank.table.having(Role.HELD_OUT)
        if not held_out.size:
            there = count(len(bank.table), "sound")
            raise UsageError(f"{there} to learn from: two are the least, of which one sets the limit")
        self.recipe_ = self._recipe()
        self.recipe_.check(bank.table, bank.lengths)
        self.detector_ = self.recipe_.start(bank, device=self.device).run()
        self.score_type_ = self._scored_by(self.recipe_)
        scores = self.detector_.score(self.detector_.encode(bank, held_out))[self.score_type_]
        self._take(threshold_from(scores, false_alarms=self.false_alarms))
        return self

    def anomaly_scores(self, X: Iterable[Sound]) -> tuple[Array, Array]:
        """Anomaly scores [n] of sounds, higher is stranger, and the limit [n], which is one for all."""
        check_is_fitted(self, "detector_")
        bank = self._bank(X)
        self._check_lengths(bank)
        found = self.detector_.score(self.detector_.encode(bank, np.arange(len(bank.table))))
        scores = found[self.score_type_]
        return scores, np.full(len(scores), self.limit_)

    @classmethod
    def fitted(
        cls, detector: Fitted, score_type: str, threshold: Threshold, *, channel: int | None = None
    ) -> Self:
        """One that has been fitted already, as a trial of a search; `threshold` is that of its scores.

        Its parameters are the trial's settings, so that a clone of it is fitted in the same way.
        """
        recipe = detector.recipe
        made = cls(
            recipe.family,
            settings=recipe.model_dump(mode="json", exclude={"family", "seed"}),
            score_type=score_type,
            channel=channel,
            false_alarms=threshold.false_alarms,
            seed=recipe.seed,
        )
        made.recipe_, made.detector_, made.score_type_ = recipe, detector, score_type
        made._take(threshold)
        return made

    def _take(self, threshold: Threshold) -> None:
        self.threshold_, self.limit_ = threshold, threshold.value
        if threshold.note:
            warnings.warn(threshold.note, stacklevel=3)

    def _check_lengths(self, bank: ClipBank) -> None:
        try:
            least = self.detector_.encoder.graph().least_samples
        except HumtuneError:  # one that can't be exported says nothing of it
            return
        if (shortest := int(bank.lengths.min())) < least:
            raise UsageError(
                f"sound {int(bank.lengths.argmin())}: {count(shortest, 'sample')} at {SAMPLE_RATE} Hz, where "
                f"{self.recipe_.family} needs {least}; give longer sounds"
            )

    def _recipe(self) -> Recipe:
        tree: dict[str, Any] = {}
        for name, value in {**(self.settings or {}), "family": self.family, "seed": self.seed}.items():
            set_path(tree, name, value)
        try:
            return recipe_of(tree)
        except ValidationError as error:
            raise UsageError(f"Detector({self.family!r}): {first_error(error)}") from error

    def _scored_by(self, recipe: Recipe) -> str:
        """The score type that counts: the one asked for, else what joins the others, else the first."""
        known = [name for name in recipe.score_types if recipe.can_be_exported(name)]
        wanted = self.score_type or (FUSION if FUSION in known else known[0])
        if wanted not in known:
            raise UsageError(f"score_type '{wanted}': Detector({self.family!r}) has {', '.join(known)}")
        return wanted

    def _bank(self, X: Iterable[Sound], classes: list[str] | None = None) -> ClipBank:
        clips = []
        for sound in one_by_one(X):
            with (
                open_sound(Path(sound), channel=self.channel)
                if isinstance(sound, str | Path)
                else open_array(sound, self.rate, channel=self.channel)
            ) as opened:
                clips.append(np.concatenate(list(opened.blocks())))
        if not clips:
            raise UsageError("no sounds; give a list of arrays or files")
        if classes is not None and len(classes) != len(clips):
            raise UsageError(f"y: {len(classes)} classes for {len(clips)} sounds")
        table = ClipTable.from_columns(
            machine=MACHINE,
            name=[f"{i:06d}" for i in range(len(clips))],
            part="dev",
            split="train",
            section=0,
            domain=UNKNOWN,
            label=NORMAL,
            attributes=[f"class={one}" for one in classes] if classes else "",
            role="",
        )
        samples = np.concatenate(clips)
        offsets = np.cumsum([0, *map(len, clips)], dtype=np.int64)
        content = sha256(samples.tobytes() + offsets.tobytes()).hexdigest()
        return ClipBank(assign_roles(table, held_out=self.held_out), samples, offsets, content[:32])


def check_device(name: str) -> None:
    """UsageError where PyTorch knows no such device, or finds no GPU here."""
    try:
        kind = torch.device(name).type
    except (RuntimeError, TypeError) as error:
        raise UsageError(f"device {name!r}: PyTorch knows none of the name; take 'cpu' or 'cuda'") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r}: PyTorch finds no GPU on this computer; take 'cpu'")
