"""From a space and the machines' recordings to the plan of a search, in the ledger. Nothing runs yet."""

from collections.abc import Callable, Mapping, Sequence
from time import time

from humtune import __version__
from humtune.ledger import Ledger
from humtune.plan import Asked, Machine, Plan
from humtune.search.space import Space
from humtune.search.space.fit import objective_of
from humtune.search.warm import warm_up
from humtune.sounds.bank import ClipBank
from humtune.sounds.probes import Stranger, make_probes, scored_table
from humtune.storage import Storage


def plan_search(
    space: Space,
    banks: Mapping[str, ClipBank],
    storage: Storage,
    asked: Asked,
    *,
    name: str,
    strangers: Callable[[str], Sequence[Stranger]],
    earlier: Ledger | None = None,
    left_out: Mapping[str, str] | None = None,
) -> Ledger:
    """Make the machines' probes and write the plan of a search of a space, which is what is `asked`.

    Each bank has the roles of its clips, and fits the space. `strangers` gives other machines' clips than
    the one named. What an `earlier` search found is where the samplers start. `left_out` says of
    presets of the family why the recordings don't do for them.
    """
    probes = {machine: make_probes(bank, strangers(machine), storage) for machine, bank in banks.items()}
    clips = {machine: scored_table(bank, probes[machine]) for machine, bank in banks.items()}
    plan = Plan(
        name=name,
        created=time(),
        version=__version__,
        asked=asked,
        left_out=dict(left_out or {}),
        machines={
            machine: Machine(
                bank=bank.folder,
                data_hash=bank.hash,
                probes=made.folder if (made := probes[machine]) else None,
                judged_by=objective_of(space.objective, clips[machine]),
            )
            for machine, bank in banks.items()
        },
    )
    plan = holding(plan, space)
    ledger = Ledger(storage, name)
    if earlier:
        warm_up(ledger, plan, space, earlier)
    ledger.create(plan, clips)
    return ledger


def holding(plan: Plan, space: Space) -> Plan:
    """The plan that knows how many trials the space holds for each study, where it says which."""
    holds = {study: len(space.runs(study)) for study in plan.studies} if space.enumerated else {}
    return plan.model_copy(update={"holds": holds})
