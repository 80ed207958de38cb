"""Scores as multiples of the limit: a usual healthy recording is 0, the limit 1."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """What a recording's score is held against.

    Scores have units and offsets of their own, and may be negative: their plain ratio to a threshold says
    nothing. This scale is straight, so that it orders recordings as their scores do.
    """

    limit: float  # a score above it says anomaly
    usual: float | None = None  # the score of a usual healthy recording; None where nobody knows

    def times(self, score: float) -> float | None:
        """A score as a multiple of the limit; None where there is no such scale."""
        if self.usual is None or not self.limit > self.usual:
            return None
        return (score - self.usual) / (self.limit - self.usual)

    def strangeness(self, score: float) -> float:
        """What recordings are ordered by: the multiple of the limit, or the score where there is no scale."""
        times = self.times(score)
        return score if times is None else times

    def is_above(self, score: float) -> bool:
        """Whether a score says anomaly: above the limit, not on it."""
        return score > self.limit

    def shown(self, score: float) -> str:
        """A score as people read it: as a multiple of the limit, or as it is where there is no scale."""
        if (times := self.times(score)) is None:
            return f"{score:.6g}"
        digits = 2 if abs(times) < 9.995 else 0
        return f"{round(times, digits) + 0.0:.{digits}f} × limit"  # + 0.0: no minus before a zero
