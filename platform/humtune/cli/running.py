"""A search at work, and what is said when it ends."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from humtune.cli.options import loading
from humtune.names import command, console, count

if TYPE_CHECKING:
    from humtune.ledger import Ledger
    from humtune.results.ensembles.make import Made
    from humtune.search.studies import Studies


def run_and_tell(
    ledger: "Ledger", address: str | None, slots: int, *, is_new: bool = False, began: float
) -> None:
    """Run what is left of a search, and say what came of it; its time runs since `began` (monotonic)."""
    with loading():
        from humtune.search.to_end import conclude, run_to_end

    screen = console()
    studies, interruption = run_to_end(ledger, address, slots, is_new=is_new, began=began)
    if interruption.signal and not screen.is_terminal:
        from humtune.search.live import best_table

        screen.print(best_table(studies))
    for line in _what_came(studies):
        screen.print(line, soft_wrap=True)
    if interruption.signal:
        raise typer.Exit(interruption.exit_code)
    if made := conclude(studies):
        _tell_ensembles(ledger, made)


def _what_came(studies: "Studies") -> Iterator[str]:
    """What is left, of which machines nothing came, and what to do next."""
    from humtune.report.agreement import rungs, rungs_line
    from humtune.search.to_end import found_nothing

    ledger, machines = studies.ledger, studies.machines.values()
    place, hours = ledger.storage.option, ledger.plan.asked.hours
    if foretold := rungs_line([r for m in machines for r in rungs(m.machine, m.ended.values())]):
        yield foretold
    endless = any(ledger.plan.is_endless(machine.machine) for machine in machines)
    left = sum(machine.left for machine in machines)
    longer = {} if hours is None else {"hours": f"{2 * hours:g}"}
    again = command("resume", ledger.name, storage=place, **longer)
    if endless and studies.over and not (studies.short_of_time or studies.clock.is_over):
        yield "nothing more to try"
    elif endless:
        yield f"more time finds more: {again}"
    elif left:
        yield f"{count(left, 'trial')} left: {again}"
    if any(machine.ranking for machine in machines):
        for machine, why in found_nothing(studies).items():
            yield f"{machine}: {why}"
        yield f"{command('report', ledger.name, storage=place)}   the table and plots"
        yield f"{command('export', ledger.name, storage=place, out='models')}   one model per machine"


def _tell_ensembles(ledger: "Ledger", made: "Made") -> None:
    from humtune.report.ensembles import ensemble_lines
    from humtune.report.leaderboard import leaderboard, to_terminal

    screen = console()
    for line in (*made.skipped, *ensemble_lines(ledger)):
        screen.print(line, soft_wrap=True)
    if lines := leaderboard(ledger, ledger.records()):
        screen.print(to_terminal(lines))
