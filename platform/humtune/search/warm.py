"""A warm start: what an earlier search found, in the words of this one's space.

Trials that this search could have run itself, on the same clips, are observations: sampler and pruner know
them from the beginning. Of any other only the point is worth something: the best ones are tried first.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, zip_longest
from typing import Any

from optuna.distributions import BaseDistribution
from pydantic import ValidationError

from humtune.config import Stored, leaves
from humtune.detectors.recipe import recipe_of
from humtune.errors import UsageError
from humtune.ledger import Ledger, read_stored
from humtune.names import count
from humtune.plan import Plan
from humtune.records import ParamValue, TrialRecord, TrialState
from humtune.search.space import Space
from humtune.search.space.dimensions import Presets, holds
from humtune.search.space.grid import Point
from humtune.search.space.space import nested

MOST_POINTS = 5  # to try first: more would be the earlier search again


class PriorTrials(Stored):
    """What a machine's study knows before its first trial."""

    observed: tuple[TrialRecord, ...] = ()  # with the params of this space
    points: tuple[dict[str, ParamValue], ...] = ()


def warm_up(ledger: Ledger, plan: Plan, space: Space, earlier: Ledger) -> None:
    """Keep, for each machine, what an earlier search knows; a UsageError where that is nothing at all."""
    if space.enumerated:
        raise UsageError(
            f"--from {earlier.name}: a {space.sampler} asks no sampler, and learns nothing of it"
        )
    found = {study: _prior_trials(space, study, plan, earlier) for study in plan.studies}
    if not any(prior.observed or prior.points for prior in found.values()):
        raise UsageError(
            f"--from {earlier.name}: no trial of it has settings that this space searches, or none has ended"
        )
    for machine, prior in found.items():
        ledger.storage.write(ledger.layout.warm(machine), prior.model_dump_json().encode())


def prior_trials(ledger: Ledger, machine: str) -> PriorTrials:
    """What a machine's study knew before its first trial; nothing, where the search started cold."""
    name = ledger.layout.warm(machine)
    # without a warm start the plan says so: a search that was refused may have left the file
    if not (ledger.plan.asked.warm and ledger.storage.exists(name)):
        return PriorTrials()
    return read_stored(ledger.storage, name, PriorTrials)


def point_of(space: Space, config: Mapping[str, Any], machine: str) -> Point | None:
    """The point of the space that chooses what a configuration has; None where none does.

    Only what is searched is looked at: the rest may differ. Of presets, the one that says most and is true.
    """
    try:
        said = dict(leaves(recipe_of(config).model_dump(mode="json")))
    except ValidationError:  # of a family that isn't installed here
        return None
    given = nested(space.fixed, space.machines.get(machine, {}))

    def true(name: str, preset: str, dimension: Presets) -> bool:
        each = {p: dict(leaves(nested(dimension.settings(name, p)))) for p in dimension.presets}
        searched = {leaf for some in each.values() for leaf in some if leaf.startswith(f"{name}.")}
        own = leaves(nested(given, dimension.settings(name, preset)))
        return all(said.get(leaf) == value for leaf, value in own if leaf in searched or leaf in each[preset])

    def choose(name: str, distribution: BaseDistribution) -> ParamValue:
        dimension = space.dimensions[name].where(partial(holds, distribution))
        if isinstance(dimension, Presets):
            fitting = [preset for preset in dimension.presets if true(name, preset, dimension)]
            if fitting:
                return max(fitting, key=lambda preset: len(dimension.presets[preset]))
        elif name in said and holds(distribution, said[name]):
            return said[name]  # type: ignore[no-any-return]
        raise _NotOfSpace

    try:
        point = space.draw(choose, study=machine)
        space.recipe(point, machine=machine)
    except (_NotOfSpace, ValidationError):  # beside what this space fixes, the values may not go together
        return None
    return point


class _NotOfSpace(Exception):
    """A configuration has what a space can't choose."""


def _prior_trials(space: Space, machine: str, plan: Plan, earlier: Ledger) -> PriorTrials:
    own = list(earlier.records(machine))
    observed: tuple[TrialRecord, ...] = ()
    if _same_clips(machine, plan, earlier.plan):
        exposed_alike = _same_machines(plan, earlier.plan)
        observed = tuple(_observed(space, own, machine, exposed_alike=exposed_alike))
    points = _best_points(space, own, machine)
    if not own:
        others = {m: list(earlier.records(m)) for m in earlier.plan.machines}
        in_turn = zip_longest(*(_best_points(space, records, machine) for records in others.values()))
        points = [point for point in chain.from_iterable(in_turn) if point is not None]
    known = [record.params for record in observed]
    new = [p for i, p in enumerate(points) if p not in known and p not in points[:i]]
    return PriorTrials(observed=observed, points=tuple(new[:MOST_POINTS]))


def _same_clips(machine: str, plan: Plan, earlier: Plan) -> bool:
    """Whether both searches measure a study's trials by the same figure of the same clips."""
    if plan.is_shared(machine):
        return _same_machines(plan, earlier)
    ours, theirs = plan.machines[machine], earlier.machines.get(machine)
    known = theirs and (ours.data_hash, ours.judged_by) == (theirs.data_hash, theirs.judged_by)
    return bool(known) and plan.asked.holdout == earlier.asked.holdout


def _same_machines(plan: Plan, earlier: Plan) -> bool:
    """Whether both searches have the same machines, and the same clips of each."""
    same = plan.machines.keys() == earlier.machines.keys()
    return same and all(_same_clips(each, plan, earlier) for each in plan.machines)


def _observed(
    space: Space, records: list[TrialRecord], machine: str, *, exposed_alike: bool
) -> Iterator[TrialRecord]:
    for record in records:
        point = point_of(space, record.config, machine)
        ended = record.state in (TrialState.COMPLETE, TrialState.PRUNED)
        alone = record.started_from is None  # another's encoder is not of this search
        if not (ended and alone and point):
            continue
        recipe = space.recipe(point, machine=machine, seed=record.seed)
        if recipe == recipe_of(record.config) and (exposed_alike or not recipe.exposed):
            yield record.model_copy(update={"params": point})


def _best_points(space: Space, records: list[TrialRecord], machine: str) -> list[Point]:
    complete = [record for record in records if record.state == TrialState.COMPLETE]
    ranking = sorted(complete, key=lambda record: (-record.objective, record.number))
    points = [point_of(space, record.config, machine) for record in ranking]
    return [point for point in points if point]


def notes(ledger: Ledger) -> Iterator[str]:
    """A line a machine: what it starts with; none for a search that starts cold."""
    plan = ledger.plan
    warm = plan.asked.warm
    for machine in plan.studies if warm else ():
        prior = prior_trials(ledger, machine)
        parts = [
            f"{count(len(prior.observed), 'known trial')} of {warm}" if prior.observed else "",
            f"{count(len(prior.points), 'point')} of {warm} to be tried first" if prior.points else "",
        ]
        yield f"{machine}: {', '.join(filter(None, parts)) or f'nothing of {warm} fits'}"
