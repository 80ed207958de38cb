"""What a trial of each size takes, and so what a search would cost and how its trials are best computed.

The choice is made once, where the trials run, and written into the plan: so all trials of a size are computed
alike, on whichever computer of a cluster, and an interrupted one goes on as it began.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import ray
from ray.exceptions import RayError

from humtune import names
from humtune.config import Acceleration
from humtune.detectors.process import settle
from humtune.detectors.recipe import Estimate, Recipe
from humtune.ledger import Ledger
from humtune.plan import Plan, Resources
from humtune.records import ParamValue
from humtune.search.space import Space, planned_space
from humtune.search.space.fit import corners
from humtune.sounds.bank import ClipBank
from humtune.sounds.joined import expose, join_banks
from humtune.sounds.parallel import waiting
from humtune.storage import Storage


@dataclass(frozen=True)
class Cost:
    """One size of trial on one machine's recordings."""

    machine: str
    chosen: dict[str, ParamValue]
    size: str
    estimate: Estimate


def sizes(space: Space, machine: str) -> Iterator[tuple[dict[str, ParamValue], Recipe]]:
    """Every combination of extreme values of what a trial's time depends on, and its recipe."""
    wanted = [name for recipe in space.recipes for name in recipe.sizes]
    given_by = [name for recipe in space.recipes for name in recipe.given_by]
    if any(recipe.exposed for _, recipe in corners(space, *given_by, machine=machine)):
        wanted += given_by  # those that see other machines' clips have more to do
    return corners(space, *wanted, machine=machine)


def costs(
    space: Space,
    bank: ClipBank,
    resources: Resources,
    *,
    others: Sequence[ClipBank] = (),
) -> Iterator[Cost]:
    """The cost of a trial at every size that the space can choose, computed as a search would.

    `others` are those of the search's other machines.
    """
    settle(resources)
    for params, recipe in sizes(space, bank.table.machine):
        found = _estimate(recipe, bank, others, space, resources, compiled=resources.compiled)
        yield Cost(bank.table.machine, params, recipe.size, found)


def _estimate(
    recipe: Recipe,
    bank: ClipBank,
    others: Iterable[ClipBank],
    space: Space,
    resources: Resources,
    *,
    compiled: bool | None,
) -> Estimate:
    """What a trial costs on a machine's recordings, and on the others' where it is exposed to them."""
    return recipe.estimate(
        expose(bank, others) if recipe.exposed else bank,
        device=resources.device,
        bf16=resources.bf16,
        compiled=compiled,
        measured=len(space.measured),
    )


def calibrate(uri: str, search: str) -> dict[str, Acceleration]:
    """Size -> how to compute its trials, at every size at the space's extremes.

    A size between them is computed as nobody timed it: uncompiled.
    """
    ledger = Ledger(Storage(uri), search)
    plan = ledger.plan
    space = planned_space(plan)
    resources = plan.asked.resources
    settle(resources)
    chosen: dict[str, Acceleration] = {}
    banks = {machine: ledger.bank(machine) for machine in plan.machines}
    for machine in plan.studies:
        if not plan.quota(machine):
            continue
        bank = join_banks(banks.values()) if plan.is_shared(machine) else banks[machine]
        others = [other for other in banks.values() if other is not bank]
        for _, recipe in sizes(space, machine):
            if recipe.size not in chosen:
                found = _estimate(recipe, bank, others, space, resources, compiled=None)
                chosen[recipe.size] = found.acceleration
    return chosen


def calibrated(ledger: Ledger) -> Plan:
    """The search's plan with its choice, made now where it wasn't before. Ray runs.

    A calibration that fails is reported, and leaves the trials uncompiled.
    """
    plan = ledger.plan
    resources = plan.asked.resources
    if plan.accelerations is not None or resources.compiled is not None:
        return plan
    task = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0)(calibrate)
    try:
        with waiting("timing a few training steps"):
            chosen = ray.get(task.remote(ledger.storage.uri, ledger.name))
    except RayError as error:
        why = getattr(error, "cause", error)
        names.console(stderr=True).print(f"no trial is compiled, as timing it failed: {why}", soft_wrap=True)
        chosen = {}
    plan = plan.model_copy(update={"accelerations": chosen})
    ledger.write_plan(plan)
    return plan
