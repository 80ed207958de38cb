"""What a search would cost, from what a trial of each size takes on this computer."""

from collections.abc import Iterator
from dataclasses import dataclass

from humtune.detectors.process import settle
from humtune.detectors.recipe import Estimate, Recipe
from humtune.plan import Resources
from humtune.records import ParamValue
from humtune.search.space import Space
from humtune.sounds.bank import ClipBank


@dataclass(frozen=True)
class Cost:
    """One size of trial on one machine's recordings."""

    machine: str
    chosen: dict[str, ParamValue]
    size: str
    estimate: Estimate


def costs(
    space: Space,
    bank: ClipBank,
    resources: Resources,
) -> Iterator[Cost]:
    """The cost of a trial at every size that the space can choose, computed as a search would."""
    settle(resources)
    for params, recipe in sizes(space, bank.table.machine):
        found = recipe.estimate(
            bank,
            device=resources.device,
            bf16=resources.bf16,
            compiled=resources.compiled,
            measured=len(space.measured),
        )
        yield Cost(bank.table.machine, params, recipe.size, found)


def sizes(space: Space, machine: str) -> Iterator[tuple[dict[str, ParamValue], Recipe]]:
    """Every combination of extreme values of what a trial's time depends on, and its recipe."""
    return space.corners(*(name for recipe in space.recipes for name in recipe.sizes), machine=machine)
