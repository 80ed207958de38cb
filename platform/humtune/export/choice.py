"""Which of a machine's products becomes its model, within a time for a clip, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from pathlib import Path
from typing import Literal

from humtune.errors import HumtuneError
from humtune.export.blueprint import Blueprint, of_product, single
from humtune.export.check import Beside, clip_cost
from humtune.export.model import Exported, build_model
from humtune.export.onnx import export_onnx
from humtune.export.windows import window_of
from humtune.formatting.text import escaped, percent
from humtune.ledger import Ledger
from humtune.results.ensembles.worth import SINGLE
from humtune.results.measure import Measured
from humtune.results.products import Product, choose_product, find_products, other_single, single_product
from humtune.sounds.table import Role

Kind = Literal["single", "ensemble"]
AGAIN = 1.2  # that a model may take, of what it took once


@dataclass(frozen=True, eq=False)
class Chosen:
    """A machine's model, and what it was made of."""

    ledger: Ledger
    model: Exported
    graph: bytes
    plan: Blueprint  # with the model's scores
    beside: tuple[Beside, ...]  # the best single detector, where an ensemble was wished for


def choose_model(
    ledger: Ledger,
    measured: Measured,
    folder: Path,
    *,
    false_alarms: float,
    product: Kind | None = None,
    ms: float | None = None,
) -> Chosen:
    """The model for a folder, of the product that `choose_product` takes of those that score a clip in `ms`.

    `measured` is the machine's best detector that can be exported, which is the `product` "single";
    "ensemble" leaves only what is joined. What can't be built is left out where nothing was wished for, and
    the best of another kind stands in for a single detector that is too slow. HumtuneError where nothing
    is left.
    """
    products, cells, note = [], None, ""
    if product == "single" or ledger.plan.asked.taught_by:  # a student is one of its teacher's products
        products = [single_product(ledger, measured)]
    else:
        products, cells, note = find_products(ledger, measured, students=product is None)
    if product == "ensemble":
        products = [found for found in products if found.record]
        if note or not products:
            raise HumtuneError(note or f"{measured.machine}: there is one trial, and nothing to join")
    left, slow, failed = products, list[tuple[float, Product]](), [note] if note else []
    while left:
        taken = choose_product(left, cells)
        left = [found for found in left if found is not taken]
        try:
            built, graph, plan = build_model(
                taken.ledger, of_product(taken, measured), folder, false_alarms=false_alarms
            )
        except HumtuneError as error:
            if product:
                raise
            failed.append(str(error))
            continue
        took = 1e3 * built.cost.seconds
        if took <= (inf if ms is None else ms):
            break
        slow.append((took, taken))
        if taken.way == SINGLE and (other := other_single(ledger, [measured, *_alone(slow)])):
            left = sorted([*left, other], key=lambda found: found.cost)
    else:
        told = [_too_slow(measured.machine, slow, ms)] if ms and slow else []
        raise HumtuneError("; ".join([*told, *failed]))
    beside = (_beside(single(ledger, measured)),) if product == "ensemble" else ()
    why = None
    if product != "single" or slow:
        why = f"{_reason(taken, left, products)}, {took:.0f} ms a clip"
        why += f"; too slow: {_times(slow)}" if slow else ""
        why += f"; left out: {'; '.join(failed)}" if failed else ""
    return Chosen(taken.ledger, replace(built, why=why), graph, plan, beside)


def _alone(slow: Sequence[tuple[float, Product]]) -> list[Measured]:
    return [found.measured for _, found in slow if found.measured]


def _too_slow(machine: str, slow: Sequence[tuple[float, Product]], ms: float) -> str:
    """That nothing is fast enough, and what would do: the same model takes longer another time."""
    enough = ceil(AGAIN * min(took for took, _ in slow))
    told = f"{machine}: nothing scores a clip within --ms {ms:g}: {_times(slow)}"
    return f"{told}; --ms {enough} takes the fastest"


def _beside(plan: Blueprint) -> Beside:
    """The best single detector, as a line of another model's card."""
    lengths = plan.bank.lengths[plan.bank.table.having(Role.HELD_OUT)]
    cost = clip_cost(export_onnx(plan.members, {}), window_of(plan.members, lengths))
    select = plan.measured.select
    omega = float(select.omega_official) if select else None
    return Beside(f"the best single, {escaped(plan.name)} {plan.score_type}", cost, omega)


def _reason(taken: Product, left: Sequence[Product], products: Sequence[Product]) -> str:
    """What was taken, and what it was held against; `left` was neither too slow nor broken."""
    single = next((found for found in products if found.way == SINGLE), None)
    others = [found for found in left if len(found.splits)]
    if single is None:  # an ensemble was wished for
        return taken.name
    if not len(taken.splits):
        return f"{taken.name}, as no labels tell what is better" if taken.record else taken.name
    if taken is not single:
        own, alone = taken.omegas(single)
        return f"{taken.name}: cross-fitted Ω {percent(own)} against {percent(alone)} of the best single"
    if not others:
        return taken.name
    best = max(others, key=lambda found: found.omegas(single)[0])
    own, alone = best.omegas(single)
    told = f"cross-fitted Ω {percent(alone)}; {best.name}, with {percent(own)}, isn't surely better"
    return f"{taken.name}: {told}"


def _times(slow: Sequence[tuple[float, Product]]) -> str:
    return ", ".join(f"{found.name} ({took:.1f} ms)" for took, found in slow)
