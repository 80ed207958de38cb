"""search --dry-run: what a search would cost on this computer."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from humtune.cli.options import loading
from humtune.names import console

if TYPE_CHECKING:
    from humtune.plan import Resources
    from humtune.search.space import Space
    from humtune.storage import Storage


def print_cost(
    space: "Space",
    data: Path,
    storage: "Storage",
    machines: list[str] | None,
    resources: "Resources",
    slots: int,
    holdout: float,
    channel: int | None,
) -> None:
    """Print what a trial of each size would take, and all of them."""
    from rich.table import Table

    with loading():
        from humtune.search.live import duration
        from humtune.search.run import read_banks
        from humtune.search.space.fit import fitting
        from humtune.search.timing import costs, sizes
        from humtune.sounds.joined import join_banks
        from humtune.sounds.parallel import tracked

    banks = read_banks(data, storage, machines, holdout=holdout, channel=channel)
    space, left_out = fitting(space, banks)
    for kind, why in left_out.items():
        console().print(f"left out: {kind}: {why}", soft_wrap=True)
    table = Table()
    for name in ("machine", "size", "computed in", "a step", "a trial", "trials", "in all"):
        table.add_column(name, overflow="fold")
    screen, total = console(), 0.0
    both = [*banks.values(), *([join_banks(banks.values())] if space.shared_trials else [])]
    for bank in both:
        machine = bank.table.machine
        if not space.quota(machine):
            continue
        others = [other for other in banks.values() if other is not bank]
        estimates = costs(space, bank, resources, others=others)
        corners = len(list(sizes(space, machine)))
        found = list(tracked(estimates, total=corners, title=machine))
        mean = sum(c.estimate.trial_seconds for c in found) / len(found)
        trials = space.quota(machine)
        once = sum({n: s for c in found for n, s in c.estimate.once.items()}.values())
        total += mean * trials + once
        for cost in found:
            size = ", ".join(f"{k}: {v}" for k, v in cost.chosen.items())
            step, trial = duration(cost.estimate.step_seconds), duration(cost.estimate.trial_seconds)
            table.add_row(cost.machine, size, str(cost.estimate.acceleration), step, trial)
        if once:
            table.add_row(machine, "once for all", "", "", "", "", duration(once))
        table.add_row(machine, "mean", "", "", duration(mean), str(trials), duration(mean * trials))
    screen.print(table)
    slots = slots or max(1, int((os.cpu_count() or 1) // resources.cpus))
    screen.print(f"in all {duration(total)} of work; {slots} trials at a time: {duration(total / slots)}")
