"""Whether recordings have moved away from the healthy ones."""

from pathlib import Path

import numpy as np

from humtune.runtime.drift import LAST, Drift
from humtune.runtime.outcomes import Scored
from humtune.runtime.promises import GroupScores, HealthyScores
from humtune.runtime.scale import Scale
from humtune.runtime.timeline import Timeline


def told(scores, healthy, *, windows: int = 0) -> list[str]:
    drift, found = Drift(HealthyScores(tuple(healthy))), []
    for score in scores:
        values = np.full(windows, score) + np.arange(windows) - windows // 2
        starts = np.arange(windows, dtype=float)
        timeline = Timeline(starts, values, 1.0, values > 9) if windows else None
        high = float(values.max()) if windows else float(score)
        found.append(drift.add(Scored(Path("a.wav"), high, Scale(9.0), 1.0, timeline=timeline)))
    return [sentence for sentence in found if sentence]


def domain(name: str, scores, groups: int | None = None) -> list[GroupScores]:
    parts = np.array_split(np.asarray(scores), groups or len(scores))
    return [GroupScores(domain=name, group=str(i), scores=tuple(part)) for i, part in enumerate(parts)]


def test_recordings_as_before_are_no_drift_and_others_are():
    rng = np.random.default_rng(0)
    healthy = domain("any", rng.normal(size=200))
    assert not any(told(rng.normal(size=LAST), healthy) for _ in range(500))
    (sentence,) = told(rng.normal(2, size=LAST + 20), healthy)
    assert f" of the last {LAST} recordings score above the median of the healthy ones" in sentence
    assert told(rng.normal(2, size=LAST - 1), healthy) == []
    assert told(rng.normal(-2, size=LAST), healthy) == []
    assert len(told(rng.normal(2, size=3 * LAST), healthy)) == 3


def test_a_few_groups_can_tell_of_no_drift():
    levels = np.repeat(np.random.default_rng(0).normal(size=6), 30)
    assert told(np.full(LAST, 9.0), domain("any", levels, groups=6)) == []


def test_it_must_be_off_in_each_domain():
    rng = np.random.default_rng(0)
    source, target = domain("source", rng.normal(size=200)), domain("target", rng.normal(3, size=200))
    assert told(rng.normal(3, size=LAST), [*source, *target]) == []
    assert len(told(rng.normal(6, size=LAST), [*source, *target])) == 1


def test_the_strangest_of_many_windows_is_no_drift():
    rng = np.random.default_rng(0)
    healthy = domain("any", rng.normal(size=200))
    assert told(rng.normal(size=LAST), healthy, windows=9) == []
    assert len(told(rng.normal(3, size=LAST), healthy, windows=9)) == 1
