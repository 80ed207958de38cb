"""What a trial of each size takes, and so what a search would cost and how its trials are best computed.

The choice is made once, where the trials run, and written into the plan: so all trials of a size are computed
alike, on whichever computer of a cluster, and an interrupted one goes on as it began.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import NamedTuple

import ray
from ray.exceptions import GetTimeoutError, RayError

from humtune import names
from humtune.config import SHARED, Acceleration
from humtune.detectors.process import settle
from humtune.detectors.recipe import Estimate, Recipe
from humtune.ledger import Ledger
from humtune.plan import Plan, Resources
from humtune.records import ParamValue
from humtune.search.clock import Clock, kind_of
from humtune.search.space import Space, planned_space
from humtune.search.space.fit import corners
from humtune.sounds.bank import ClipBank
from humtune.sounds.joined import expose, join_banks
from humtune.sounds.parallel import waiting
from humtune.sounds.table import Role
from humtune.storage import Storage

SHARE = 0.05  # of a limited time, after which nothing more is timed


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


class Timed(NamedTuple):
    """What the timing of a few steps told."""

    accelerations: dict[str, Acceleration]  # size -> how to compute its trials
    seconds: dict[str, dict[str, float]]  # study -> kind of trial -> what one takes


def calibrate(uri: str, search: str, seconds: float = inf) -> Timed:
    """How to compute trials, and what they take, at every size at the space's extremes.

    A size between them is computed as nobody timed it: uncompiled. A kind is timed on the first study that
    has it, and takes on others as much longer as these have more clips. After some `seconds` no other is.
    """
    ledger = Ledger(Storage(uri), search)
    plan = ledger.plan
    space = planned_space(plan)
    resources = plan.asked.resources
    settle(resources)
    found, until = Timed({}, {}), monotonic() + seconds
    a_clip: dict[str, float] = {}  # seconds, by kind of trial
    banks = {machine: ledger.bank(machine) for machine in plan.machines}
    for machine in plan.studies:
        if not plan.quota(machine):
            continue
        bank = join_banks(banks.values()) if plan.is_shared(machine) else banks[machine]
        others = [other for other in banks.values() if other is not bank]
        clips = len(bank.table.having(Role.TRAIN))
        taken = found.seconds.setdefault(machine, {})
        for params, recipe in sizes(space, machine):
            kind = kind_of(params, recipe)
            key = f"{SHARED} {kind}" if plan.is_shared(machine) else kind  # has settings of its own
            if key not in a_clip and monotonic() > until:
                continue
            if key not in a_clip:
                how = _estimate(recipe, bank, others, space, resources, compiled=resources.compiled)
                a_clip[key] = (how.trial_seconds + sum(how.once.values())) / clips
                found.accelerations.setdefault(recipe.size, how.acceleration)
            taken[kind] = a_clip[key] * clips
    return found


def calibrated(ledger: Ledger, clock: Clock) -> Plan:
    """The search's plan with its choice, made now where it wasn't before. Ray runs.

    Where how to compute is said, and it has all the time that it takes, nothing is timed. Of a limited time a
    small share may go into it.

    A calibration that fails is reported, and leaves the trials uncompiled.
    """
    plan = ledger.plan
    resources = plan.asked.resources
    chosen = plan.accelerations is not None or resources.compiled is not None
    wanted = plan.asked.hours is not None or plan.asked.space.get("sampler") == "bandit"
    if chosen and (plan.seconds or not wanted):
        return plan
    task = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0)(calibrate)
    try:
        with waiting("timing a few training steps"):
            made = task.remote(ledger.storage.uri, ledger.name, SHARE * clock.whole)
            timed = ray.get(made, timeout=None if clock.left == inf else clock.left / 2)
    except GetTimeoutError:
        ray.cancel(made, force=True)
        timed = Timed({}, {})
    except RayError as error:
        why = getattr(error, "cause", error)
        names.console(stderr=True).print(f"no trial is compiled, as timing it failed: {why}", soft_wrap=True)
        timed = Timed({}, {})
    plan = plan.model_copy(
        update={
            "accelerations": timed.accelerations if plan.accelerations is None else plan.accelerations,
            "seconds": timed.seconds,
        }
    )
    ledger.write_plan(plan)
    return plan
