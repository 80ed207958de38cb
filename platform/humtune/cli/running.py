"""A search at work, and what is said when it ends."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from humtune.cli.options import loading
from humtune.errors import HumtuneError
from humtune.names import command, console, count

if TYPE_CHECKING:
    from humtune.ledger import Ledger
    from humtune.search.studies import Studies


def run_and_tell(
    ledger: "Ledger", address: str | None, slots: int, *, is_new: bool = False, began: float
) -> None:
    """Run what is left of a search, and say what came of it; its time runs since `began` (monotonic)."""
    with loading():
        from humtune.records import why_none
        from humtune.search.to_end import run_to_end

    screen, hours = console(), ledger.plan.asked.hours
    studies, interruption = run_to_end(ledger, address, slots, is_new=is_new, began=began)
    if interruption.signal and not screen.is_terminal:
        from humtune.search.live import best_table

        screen.print(best_table(studies))
    for line in _what_came(studies):
        screen.print(line, soft_wrap=True)
    if interruption.signal:
        raise typer.Exit(interruption.exit_code)
    machines, left = studies.machines.values(), any(machine.left for machine in studies.machines.values())
    if any(machine.ranking for machine in machines):
        if hours is not None:
            _join(ledger)
    elif hours is not None and left:
        raise HumtuneError(f"no trial could be ended in {hours:g} h")
    elif not left:
        raise HumtuneError(why_none(r for m in machines for r in m.ended.values()))


def _what_came(studies: "Studies") -> Iterator[str]:
    """What is left, of which machines nothing came, and what to do next."""
    from humtune.records import why_none
    from humtune.report.agreement import rungs, rungs_line
    from humtune.search.machine_study import MOST_TRIALS

    ledger, machines = studies.ledger, studies.machines.values()
    place, hours = ledger.storage.option, ledger.plan.asked.hours
    if foretold := rungs_line([r for m in machines for r in rungs(m.machine, m.ended.values())]):
        yield foretold
    left = sum(machine.left for machine in machines)
    longer = {} if hours is None else {"hours": f"{2 * hours:g}"}
    again = command("resume", ledger.name, storage=place, **longer)
    if left >= MOST_TRIALS:
        yield f"more time finds more: {again}"
    elif left:
        yield f"{count(left, 'trial')} left: {again}"
    nothing = {m.machine: why_none(m.ended.values()) for m in machines if not m.ranking}
    if len(nothing) < len(machines):
        for machine, why in nothing.items():
            if studies.machines[machine].quota:
                yield f"{machine}: {why}"
        yield f"{command('report', ledger.name, storage=place)}   the table and plots"
        yield f"{command('export', ledger.name, storage=place, out='models')}   one model per machine"


def _join(ledger: "Ledger") -> None:
    """Make each machine's ensemble, as `humtune ensemble` does."""
    from humtune.report.ensembles import ensemble_lines, write_ensembles
    from humtune.report.leaderboard import leaderboard, to_terminal
    from humtune.results.ensembles.make import make_ensembles

    made = make_ensembles(ledger)
    write_ensembles(ledger)
    screen = console()
    for line in (*made.skipped, *ensemble_lines(ledger)):
        screen.print(line, soft_wrap=True)
    if lines := leaderboard(ledger, ledger.records()):
        screen.print(to_terminal(lines))
