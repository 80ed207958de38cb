"""How many trials run at a time, by what the cluster has now."""

from types import SimpleNamespace
from typing import Any

import pytest

from humtune.errors import UsageError
from humtune.search.run import slots_of


def plan(cpus: float, gpus: float = 0.0) -> Any:
    return SimpleNamespace(cpus=cpus, gpus=gpus)


@pytest.mark.parametrize(
    ("cluster", "wanted", "said"),
    [
        (
            {"CPU": 2.0},
            plan(4),
            r"a trial wants 4 CPU, the cluster has 2; where it starts computers .* --slots",
        ),
        (
            {},
            plan(1, gpus=0.5),
            r"a trial wants 1 CPU, the cluster has 0; .* say with --slots how many trials",
        ),
        ({"CPU": 4.0}, plan(1, gpus=0.5), r"a trial wants 0.5 GPU, the cluster has 0;"),
    ],
)
def test_a_trial_that_fits_nowhere_is_told(cluster: dict[str, float], wanted: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        slots_of(cluster, wanted)


def test_as_many_as_fit() -> None:
    assert slots_of({"CPU": 7.0}, plan(2)) == 3
    assert slots_of({"CPU": 16.0, "GPU": 2.0}, plan(1, gpus=0.5)) == 4
