"""ModelInfo: what the model.json of an exported model says.

It keeps the evidence that its threshold was chosen by, so that another can be chosen.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from pydantic import AliasChoices, ConfigDict, Field, ValidationError

from humtune.config import Frozen
from humtune.drafts import write_output
from humtune.errors import UsageError
from humtune.metrics.calibration import Threshold, false_alarm_rate
from humtune.runtime.promises import GroupScores, HealthyScores, promises, threshold_of
from humtune.runtime.timeline import OVERLAP, count_windows

MODEL, INFO, CARD, PAGE = "model.onnx", "model.json", "README.md", "card.html"  # the files of a model folder
REQUIREMENTS = "requirements.txt"  # in a model folder: what scoring with it needs
NEEDS = (
    "numpy",
    "onnxruntime",
    "pydantic",
    "rich",
    "soundfile",
    "soxr",
    "typer",
)  # of which they tell versions
FULL, INT8 = "fp32", "int8"  # what a network computes in; the latter's folder lies in the former's
FORMAT = 1  # counts the changes that an older reader can't follow


class DomainScores(Frozen):
    """Scores of labelled test clips of one part and domain, both kinds."""

    part: str  # "dev": the clips that chose the detector; "hidden", "eval": others
    domain: str  # "source", "target", or "any" where the data set names none
    normal: tuple[float, ...] = Field(min_length=1)
    anomaly: tuple[float, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Alarms:
    """Test clips of one part and domain, and the shares of them above a threshold, 0…1."""

    part: str
    domain: str
    normals: int
    false_alarms: float
    anomalies: int
    caught: float

    def to_metrics(self) -> dict[str, float]:
        """The two shares by name."""
        where = f"{self.part}_{self.domain}"
        return {f"false_alarms_{where}": self.false_alarms, f"caught_{where}": self.caught}


class Evidence(Frozen):
    """What a model said of clips that its threshold was chosen by, and of labelled ones."""

    held_out: tuple[float, ...] = Field(description="scores of normal training clips kept out")
    clip_samples: int = Field(gt=0, description="median length of those clips")
    left_out: tuple[GroupScores, ...] = Field(
        (), description="scores of healthy clips, each group's by the model without it; empty in earlier ones"
    )
    clip_windows: int | None = Field(
        None,
        ge=1,
        description="windows of a clip, where left_out has those of whole recordings; None: it has clips",
    )
    tested: tuple[DomainScores, ...] = ()

    @property
    def healthy(self) -> HealthyScores:
        """What thresholds are chosen by."""
        each = (
            GroupScores(domain="any", group=f"clip {i}", scores=(s,)) for i, s in enumerate(self.held_out)
        )
        return HealthyScores(
            self.left_out or tuple(each),
            overlapping=self.clip_windows is not None,
            length=self.clip_windows or 1,
        )

    def threshold(self, false_alarms: float) -> Threshold:
        """The threshold that keeps a wanted false-alarm rate in each domain; UsageError for no rate."""
        return threshold_of(promises(self.healthy, false_alarms))

    def alarms(self, threshold: float) -> tuple[Alarms, ...]:
        """What a threshold does on the test clips of each part and domain."""
        return tuple(
            Alarms(
                part=test.part,
                domain=test.domain,
                normals=len(test.normal),
                false_alarms=false_alarm_rate(test.normal, threshold),
                anomalies=len(test.anomaly),
                caught=false_alarm_rate(test.anomaly, threshold),
            )
            for test in self.tested
        )


class Recalibration(Frozen):
    """New healthy recordings that a threshold was chosen by after the export."""

    recordings: str  # where they lay
    at: datetime
    healthy: tuple[GroupScores, ...] = Field(min_length=1, description="a recording's windows each")
    seconds: float | None = Field(
        None, gt=0, description="median length of the recordings; None: kept before it was"
    )
    before: Threshold = Field(description="the threshold until then")


class ModelInfo(Frozen):
    """All that scoring needs beside the graph, and where the model came from."""

    model_config = ConfigDict(extra="ignore")  # what a newer version adds doesn't matter to this one

    format: int = FORMAT
    machine: str
    score_type: str
    precision: str = FULL
    threshold: Threshold
    sample_rate: int = Field(gt=0, description="Hz")
    channel: int | None = Field(
        None, ge=1, description="that is read of a recording, counted from 1; null: all, mixed down"
    )
    least_samples: int = Field(gt=0, description="one chunk; shorter recordings are repeated to it")
    window: int | None = Field(
        None,
        gt=0,
        description="samples that are scored at a time; a longer recording's score is its strangest window's",
    )  # None: exported before it was kept
    search: str
    trial: str
    configuration: dict[str, Any]
    metrics: dict[str, float] = Field(
        validation_alias=AliasChoices("metrics", "figures"),  # figures: in earlier ones
        description="fractions, 0…1",
    )
    versions: dict[str, str]  # of humtune, torch, onnx, onnxruntime and the opset
    evidence: Evidence | None = None  # None: exported before it was kept
    recalibrations: tuple[Recalibration, ...] = ()  # the last one counts

    @property
    def window_samples(self) -> int:
        """Length of a window; where the model doesn't tell, that of its normal clips, else 10 s."""
        usual = self.evidence.clip_samples if self.evidence else 10 * self.sample_rate
        return max(self.least_samples, self.window or usual)

    def windows(self, samples: int) -> int:
        """In how many windows a recording of so many samples is scored."""
        return count_windows(samples, self.window_samples)

    @property
    def windows_of_a_score(self) -> int:
        """How many windows each of the healthy scores is the highest of."""
        return 1 if self.healthy.overlapping else self.windows(self.kept_evidence().clip_samples)

    def in_scores(self, windows: int) -> float:
        """How many of the healthy scores a recording of so many windows is as long as."""
        if self.healthy.overlapping:
            return windows
        more = OVERLAP - 1  # clips lie beside each other
        return (windows + more) / (self.windows_of_a_score + more)

    def with_window(self, seconds: float | None) -> Self:
        """The same model with another window; UsageError for one shorter than a chunk, or without end.

        The threshold stays, which was measured on the model's own.
        """
        if seconds is None:
            return self
        least = self.least_samples / self.sample_rate
        if not least <= seconds < math.inf:
            raise UsageError(
                f"--window {seconds:g}: the model takes {least:.2f} s at a time; a window can't be less"
            )
        return self.model_copy(update={"window": round(seconds * self.sample_rate)})

    def with_threshold(self, false_alarms: float | None = None) -> Self:
        """The same model with the threshold for another false-alarm rate; None: as it is.

        UsageError for a rate that is none, or where no scores are kept.
        """
        if false_alarms is None:
            return self
        threshold = threshold_of(promises(self.healthy, false_alarms))
        return self.model_copy(update={"threshold": threshold})

    @property
    def keeps_scores(self) -> bool:
        """Whether it keeps what thresholds are chosen by."""
        return bool(self.recalibrations or self.evidence)

    @property
    def healthy(self) -> HealthyScores:
        """The scores that thresholds are chosen by; UsageError where the model keeps none.

        Of new recordings they are as long as these are at the median.
        """
        if not self.recalibrations:
            return self.kept_evidence().healthy
        found = HealthyScores(self.recalibrations[-1].healthy, overlapping=True)
        return replace(found, length=found.usual_length)

    @property
    def promised_seconds(self) -> float | None:
        """How long the recordings are that the threshold makes its promise for; None where nobody knows."""
        if self.recalibrations:
            return self.recalibrations[-1].seconds
        return (self.evidence.clip_samples if self.evidence else self.window_samples) / self.sample_rate

    def recalibrated(self, recalibration: Recalibration, false_alarms: float) -> Self:
        """The same model with the threshold that new healthy recordings give."""
        kept = self.model_copy(update={"recalibrations": (*self.recalibrations, recalibration)})
        return kept.with_threshold(false_alarms)

    def without_recalibration(self) -> Self:
        """The same model before its last recalibration; UsageError where there was none."""
        if not self.recalibrations:
            raise UsageError(f"the model of {self.machine} has the threshold that it was exported with")
        *earlier, last = self.recalibrations
        return self.model_copy(update={"recalibrations": tuple(earlier), "threshold": last.before})

    def kept_evidence(self) -> Evidence:
        """The scores that thresholds are chosen by; UsageError where the model came without."""
        if self.evidence is None:
            raise UsageError(
                f"the model of {self.machine} keeps no scores to choose another threshold by; export it again"
            )
        return self.evidence

    @property
    def omega(self) -> float | None:
        """Official Ω on the labelled dev clips, 0…1; None without such clips."""
        return self.metrics.get("omega_select_official")


def read_info(folder: Path) -> ModelInfo:
    """The model.json of a model folder; UsageError where the folder is none, or from a newer humtune."""
    if not folder.exists():
        raise UsageError(f"{folder}: no such folder; {_mend(folder)}")
    for name in (INFO, MODEL):
        if not (folder / name).is_file():
            raise UsageError(f"{folder}: not a model folder, it has no {name}; {_mend(folder)}")
    try:
        info = ModelInfo.model_validate_json((folder / INFO).read_bytes())
    except (OSError, ValidationError) as error:
        detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UsageError(f"{folder / INFO}: can't be read ({detail}); export the model again") from error
    if "/" in info.machine or info.machine in ("", ".", ".."):  # files are named by it
        raise UsageError(
            f"{folder / INFO}: no machine can be called '{info.machine}'; export the model again"
        )
    if info.format > FORMAT:
        version = info.versions.get("humtune", "of a later version")
        raise UsageError(f"{folder}: made with humtune {version}, too new for this one; upgrade humtune")
    return info


def write_info(folder: Path, info: ModelInfo) -> None:
    """Write the model.json of a model folder anew, whole or not at all; UsageError where that can't be."""
    write_output(folder / INFO, info.model_dump_json(indent=1).encode())


def _mend(folder: Path) -> str:
    if folder.is_file():
        return "name the folder that it lies in"
    models = sorted(path.parent for path in folder.glob(f"*/{INFO}"))
    if not models:  # misspelt?
        names = {place.parent.name: place.parent for place in folder.parent.glob(f"*/{INFO}")}
        models = [names[name] for name in get_close_matches(folder.name, names)]
    if models:
        return f"did you mean {' or '.join(map(str, models))}?"
    return "humtune learn FOLDER --out MODEL makes one, and humtune export one of each machine of a search"
