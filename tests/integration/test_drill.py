"""A search that is killed three times loses nothing: the drill of benchmarks/, at its smallest."""

import random
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_search_that_is_killed_three_times_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from drill_checks import check
    from drill_search import Kind, drill

    kinds = [Kind.WORKER, Kind.DRIVER, Kind.ALL]
    made = drill(tmp_path, kinds, rng=random.Random(0), seed=0, trials=3, epochs=12, pause=0.2)
    found = check(made.ledger(name) for name in made.searches)
    found.compare(made.finished, {name: made.ledger(name) for name in made.searches})
    assert found.violations == []
    assert made.kills.total() == 3
    assert made.orphans == 0
    assert made.sittings >= 3
    assert found.counts["finished trials run again"] == 0
    assert found.counts["trials that went on from a checkpoint"] >= 1
    assert found.counts["trials equal to an unbroken run"] >= 2
    assert found.counts["MLflow runs compared"] == 2 * 3 * len(made.searches)
