"""From a folder of recordings to a model: import, search, ensemble, export. What `humtune learn` does.

Whatever is killed, the same call goes on: the data set is made whole or not at all, the search is named by
what its recordings are, and the model comes last.
"""

from math import inf
from pathlib import Path
from statistics import mean
from typing import Literal

from humtune.errors import UsageError
from humtune.export.model import Exported, check_replaceable
from humtune.export.search import export_machine
from humtune.layout import RECORDINGS
from humtune.ledger import Ledger, searches
from humtune.names import command, count
from humtune.records import TrialState, seconds_worked
from humtune.results.ensembles.make import make_ensembles
from humtune.results.ensembles.record import find_ensemble
from humtune.runtime.info import INFO
from humtune.search.live import PlainTable
from humtune.search.run import prepare, run
from humtune.search.space import read_space
from humtune.search.space.fit import fitting
from humtune.search.stop import TimeLimit
from humtune.sounds.bank import load_banks
from humtune.sounds.importing import Imported, import_folder, machine_name, spell
from humtune.sounds.loose import WINDOW
from humtune.sounds.parallel import waiting
from humtune.sounds.table import assign_roles
from humtune.storage import Storage

SPACE = "operator"
HOURS = 0.25  # that a search may take, where nobody says
LEAST_WINDOWS = 10  # of healthy sound: in less there is no telling what is usual
HELD_OUT = 0.25  # of the healthy windows: a limit promises no less than one false alarm in as many
SEEDS = 5  # of each kind of detector, at most

Way = Literal["best single", "greedy", "mean of all"]  # to make one score of all trials
SINGLE: Way = "best single"
CHOSEN: Way = "greedy"
EVERY: Way = "mean of all"


def check_wish(out: Path, hours: float, false_alarms: float) -> None:
    """UsageError where a model lies in its place already, or something else does, or a number can't be."""
    if not 0 < hours < inf:
        raise UsageError(f"--hours {hours:g}: it should be more than 0")
    if not 0 < false_alarms < 1:
        raise UsageError(f"--false-alarms {false_alarms:g}: it lies between 0 and 1, as 1%")
    if (out / INFO).exists():
        raise UsageError(
            f"{out}: a model lies there already; {command('score', out, 'NEW')} uses it; to learn anew, "
            "delete it or choose another --out"
        )
    check_replaceable(out)


def take_in(
    folder: Path,
    storage: Storage,
    *,
    machine: str | None = None,
    bad: Path | None = None,
    channel: int | None = None,
) -> Imported:
    """Make the data set of a folder, in the storage; see `import_folder`.

    UsageError where that is too little to learn from.
    """
    if not storage.is_local:
        raise UsageError(f"storage {storage.uri}: learn keeps recordings there, and needs a folder")
    name = machine_name(folder, machine)
    place = storage.path(f"{RECORDINGS}/{name}")
    imported = import_folder(folder, place, machine=name, bad=bad, channel=channel)
    if (there := imported.record.windows("train")) < LEAST_WINDOWS:
        raise UsageError(
            f"{folder}: {spell(imported.record.seconds('train'))} of healthy sound to learn from, in "
            f"{count(there, 'window')}; {LEAST_WINDOWS} windows of about {WINDOW:g} s are needed: record more"
        )
    return imported


def begin(
    imported: Imported, storage: Storage, *, hours: float = HOURS, channel: int | None = None
) -> tuple[Ledger, dict[str, str]]:
    """The search of a data set, new or to be gone on with; why not, by each kind of detector left out.

    The same recordings have the same search. `channel` is the one that was imported: new recordings that a
    model scores are read in the same way.
    """
    machine = imported.machine
    name = f"{machine}-{imported.record.files_print[:6]}"
    left_out: dict[str, str] = {}
    if name in searches(storage):
        ledger = Ledger.open(storage, name)
    else:
        _, space = read_space(SPACE)
        space = space.model_copy(update={"seeds": min(SEEDS, max(1, round(hours / HOURS)))})
        bank = load_banks(imported.data, storage)[machine]
        table = assign_roles(bank.table, held_out=HELD_OUT)
        space, left_out = fitting(space, table, bank.lengths)
        ledger = prepare(space, name=name, data=imported.data, storage=storage, held_out=HELD_OUT)
    if ledger.plan.asked.channel != channel:
        ledger.write_plan(ledger.plan.asking(channel=channel))
    return ledger, left_out


def search(ledger: Ledger, *, hours: float = HOURS) -> TimeLimit:
    """Run what is left of a search while its time lasts, and until one trial is complete at least.

    `hours` are a clock's, of this run and of what earlier ones worked. Returns what ended it, where something
    did: the time, or a signal.
    """
    used = seconds_worked(ledger.records())

    def is_enough() -> bool:
        return any(record.state == TrialState.COMPLETE for record in ledger.records())

    with TimeLimit(3600 * hours - used, is_enough) as limit:
        run(ledger, interruption=limit, view=PlainTable)
    return limit


def join(ledger: Ledger) -> Way:
    """How the trials become one score, written down as the machine's ensemble unless one alone is best.

    Where labelled clips judge, the way with the highest cross-fitted Ω. Without them, or with too few to
    halve, all trials alike: a choice by made-up faults would be no better than none.
    """
    [machine] = ledger.plan.machines
    way = EVERY
    if ledger.plan.machines[machine].judged_by == "omega":
        [record] = make_ensembles(ledger, exportable=True, calibration="standard").records
        worth = {w: mean(record.compared[w]) for w in (EVERY, CHOSEN, SINGLE) if w in record.compared}
        way = max(worth, key=lambda w: worth[w], default=EVERY)
    if way == EVERY:
        make_ensembles(ledger, exportable=True, calibration="standard", every=True)
    return way


def members(ledger: Ledger, way: Way) -> int:
    """How many trials score together."""
    [machine] = ledger.plan.machines
    record = find_ensemble(ledger, machine) if way != SINGLE else None
    return len({member.trial for member in record.machine_wide}) if record else 1


def write_model(ledger: Ledger, way: Way, out: Path, *, false_alarms: float) -> Exported:
    """Export what the trials became into the folder `out`."""
    [machine] = ledger.plan.machines
    with waiting(f"exporting {machine}"):
        return export_machine(ledger, machine, out, false_alarms=false_alarms, ensemble=way != SINGLE)
