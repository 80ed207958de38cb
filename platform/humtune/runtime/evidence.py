"""Evidence: the scores that a model's threshold is chosen by, kept with it so that another can be chosen."""

from dataclasses import dataclass

from pydantic import Field

from humtune.config import Frozen
from humtune.evaluation.calibration import Fit, Threshold, false_alarm_rate, threshold_from


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

    def to_figures(self) -> dict[str, float]:
        """The two shares by name."""
        where = f"{self.part}_{self.domain}"
        return {f"false_alarms_{where}": self.false_alarms, f"caught_{where}": self.caught}


class Evidence(Frozen):
    """What a model said of clips that trained nothing."""

    held_out: tuple[float, ...] = Field(description="scores of normal training clips kept out")
    clip_samples: int = Field(gt=0, description="median length of those clips")
    tested: tuple[DomainScores, ...] = ()

    def threshold(self, false_alarms: float, fit: Fit) -> Threshold:
        """The threshold for a wanted false-alarm rate; UsageError for a rate that is none."""
        return threshold_from(self.held_out, false_alarms=false_alarms, fit=fit)

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
