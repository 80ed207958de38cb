"""From a folder of recordings to a model: import, search, ensemble, export. What `humtune learn` does.

Whatever is killed, the same call goes on: the data set is made whole or not at all, the search is named by
what its recordings are, and the model comes last.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from humtune.errors import UsageError
from humtune.export.model import Exported, check_replaceable
from humtune.export.search import export_machine
from humtune.layout import BANKS, RECORDINGS
from humtune.ledger import Ledger, searches
from humtune.names import command, count
from humtune.records import TrialState
from humtune.results.ensembles.greedy import MEMBERS
from humtune.results.ensembles.record import find_ensemble, write_ensemble
from humtune.results.ensembles.worth import SINGLE
from humtune.results.measure import measure
from humtune.results.products import choose_product, find_products
from humtune.runtime.info import FULL, INFO, INT8, MODEL, ModelInfo, read_info
from humtune.runtime.labels import Reviewed
from humtune.runtime.outcomes import Scored
from humtune.runtime.recordings import Listener
from humtune.runtime.scorer import Scorer
from humtune.search.clock import Clock, check_hours
from humtune.search.continued import Intake, bring, continued, only_machine, search_of
from humtune.search.live import PlainTable
from humtune.search.run import prepare, run
from humtune.search.space import read_space
from humtune.search.stop import Interruption
from humtune.sounds.added import Given, Grown, grow, import_window
from humtune.sounds.bank import load_banks
from humtune.sounds.importing import Imported, import_folder, machine_name, spell
from humtune.sounds.loose import WINDOW, Loose, find_loose
from humtune.sounds.parallel import tracked, waiting
from humtune.sounds.table import ANOMALY, NORMAL, UNKNOWN, ClipTable, Role, assign_roles
from humtune.storage import Storage

SPACE = "operator"
HOURS = 0.25  # that a search may take, where nobody says
LEAST_WINDOWS = 10  # of healthy sound: in less there is no telling what is usual
HELD_OUT = 0.25  # of the healthy windows: a limit promises no less than one false alarm in as many
SEEDS = 5  # of each kind of detector, at most


def check_wish(out: Path, hours: float, false_alarms: float) -> None:
    """UsageError where a model lies in its place already, or something else does, or a number can't be."""
    check_hours(hours)
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
            f"{count(there, 'window')}; {_needed(there)}"
        )
    return imported


def _needed(there: int) -> str:
    """How much more healthy sound it takes than some windows, to begin with and for a limit of any worth."""
    return (
        f"{LEAST_WINDOWS} windows of about {WINDOW:g} s are the least: record "
        f"{spell((LEAST_WINDOWS - there) * WINDOW)} more; twenty minutes are a start"
    )


def begin(
    imported: Imported,
    storage: Storage,
    *,
    hours: float = HOURS,
    channel: int | None = None,
    reviewed: Reviewed | None = None,
) -> tuple[Ledger, Grown | None]:
    """The search of a data set, new or to be gone on with; what became of `reviewed` recordings, if any.

    The same recordings have the same search. `channel` is the one that was imported: new recordings that a
    model scores are read in the same way.
    """
    machine = imported.machine
    name, grown = f"{machine}-{imported.record.files_print[:6]}", None
    if reviewed or name not in searches(storage):
        bank = load_banks(imported.data, storage)[machine]
        bank = replace(bank, table=assign_roles(bank.table, held_out=HELD_OUT))
        if reviewed:
            grown = grow(
                bank,
                labelled(reviewed),
                storage,
                held_out=HELD_OUT,
                window=import_window(imported.data, machine),
                channel=channel,
                labels=reviewed.table,
            )
            if grown.is_new:
                bank, name = grown.bank, search_of(grown.bank)
                _check_enough(bank.table)
    if name in searches(storage):
        ledger = Ledger.open(storage, name)
    else:
        _, space = read_space(SPACE)
        space = space.model_copy(update={"seeds": min(SEEDS, max(1, round(hours / HOURS)))})
        ledger = prepare(
            space, name=name, data=imported.data, storage=storage, held_out=HELD_OUT, banks={machine: bank}
        )
    if ledger.plan.asked.channel != channel:
        ledger.write_plan(ledger.plan.asking(channel=channel))
    return ledger, grown


def _check_enough(table: ClipTable) -> None:
    if (there := len(table.having(Role.TRAIN, Role.HELD_OUT))) < LEAST_WINDOWS:
        raise UsageError(
            f"{table.machine}: {count(there, 'window')} of healthy sound without what is called bad; "
            f"{_needed(there)}"
        )
    uses = {Role.TRAIN: "to learn from", Role.HELD_OUT: "to set the limit by"}
    if missing := [use for role, use in uses.items() if not len(table.having(role))]:
        raise UsageError(
            f"{table.machine}: nothing is left {missing[0]}, without what is called bad or unsure; give more "
            "healthy recordings, and learn anew"
        )


def labelled(reviewed: Reviewed) -> dict[Given, list[Loose]]:
    """The recordings that a person labelled."""
    said = (
        (Given.UNSURE, reviewed.unsure, UNKNOWN),
        (Given.HEALTHY, reviewed.healthy, NORMAL),
        (Given.BAD, reviewed.bad, ANOMALY),
    )
    return {given: [Loose(path, str(path), label) for path in files] for given, files, label in said}


def model_search(model: Path, storage: Storage) -> tuple[ModelInfo, Ledger]:
    """What a model says of itself, and the search that it came of; UsageError where that isn't there."""
    info = read_info(model)
    if info.precision != FULL:
        raise UsageError(f"{model}: its networks are in {info.precision}; name the folder that it lies in")
    if info.search not in searches(storage) or info.machine not in Ledger(storage, info.search).plan.machines:
        again = command("threshold", model, healthy="FOLDER")
        raise UsageError(
            f"{model}: its search {info.search} is not in {storage.uri}; name its place with --storage. "
            f"Without it, {again} sets the limit by new recordings"
        )
    return info, Ledger.open(storage, info.search)


def add(
    earlier: Ledger, healthy: Path | None, reviewed: Reviewed | None, *, without: Path | None = None
) -> Grown:
    """More recordings beside those of a search of one machine: a folder of healthy ones, and reviewed ones.

    Nothing in the folder `without`, or in the storage, is such a recording.
    """
    machine, asked = only_machine(earlier), earlier.plan.asked
    if not earlier.storage.is_local:
        raise UsageError(f"storage {earlier.storage.uri}: recordings are kept there, and need a folder")
    found = labelled(reviewed) if reviewed else {}
    if healthy:
        apart = [earlier.storage.path(name) for name in (RECORDINGS, BANKS)]
        new = find_loose(healthy, without=[*apart, *([without] if without else [])])
        said = {loose.path.resolve() for g in (Given.UNSURE, Given.BAD) for loose in found.get(g, ())}
        new = [loose for loose in new if loose.path.resolve() not in said]
        # strange ones that a person called healthy stay in the sample that the folder is
        sample = {loose.path.resolve() for loose in new}
        well = [loose for loose in found.get(Given.HEALTHY, ()) if loose.path.resolve() not in sample]
        found |= {Given.NEW: new, Given.HEALTHY: well}
    bank = earlier.bank(machine)
    grown = grow(
        bank,
        found,
        earlier.storage,
        held_out=asked.held_out,
        window=import_window(Path(asked.data), machine),
        channel=asked.channel,
        labels=reviewed.table if reviewed else None,
    )
    _check_enough(grown.bank.table)
    return grown


def called_strange(model: Path, grown: Grown) -> tuple[int, int]:
    """How many of the healthy recordings that were added a model calls strange, and how many it can score."""
    info = read_info(model)
    paths = [taken.loose.path for g in (Given.NEW, Given.HEALTHY) for taken in grown.added.get(g, ())]
    outcomes = Listener(Scorer(info, model / MODEL)).listen(paths)
    found = tracked(outcomes, total=len(paths), title="scoring them as before")
    strange = [outcome.is_anomaly for outcome in found if isinstance(outcome, Scored)]
    return sum(strange), len(strange)


def go_on(earlier: Ledger, grown: Grown) -> tuple[Ledger, Counter[Intake]]:
    """The search of what was added, with the detectors of the earlier one; how far these took it in."""
    ledger = continued(earlier, grown.bank)
    return ledger, bring(earlier, ledger)


def search(ledger: Ledger, *, hours: float = HOURS) -> Interruption:
    """Run what is left of a search while its time lasts, and until one trial is complete at least.

    `hours` are a clock's, of this run and of what earlier ones worked. Returns what ended it, where something
    did: the time, or a signal.
    """

    def is_enough() -> bool:
        return any(record.state == TrialState.COMPLETE for record in ledger.records())

    with Interruption(Clock.of(ledger, hours, is_enough=is_enough)) as interruption:
        run(ledger, interruption=interruption, view=PlainTable)
    return interruption


def join(ledger: Ledger) -> str:
    """How the trials become one score, written down as the machine's ensemble unless one alone is best.

    Where labelled clips judge, the way with the highest cross-fitted Ω. Without them, or with too few to
    halve, all trials together.
    """
    [machine] = ledger.plan.machines
    measured = measure(ledger, machine, exportable=True)
    products, cells, _ = find_products(
        ledger, measured, calibration="standard", sizes=(MEMBERS,), most=None, anew=True, students=False
    )
    best = choose_product(products, cells, sure=0)
    if best.record:
        write_ensemble(ledger, best.record, best.scores)
    return best.way


def members(ledger: Ledger, way: str) -> int:
    """How many trials score together."""
    [machine] = ledger.plan.machines
    record = find_ensemble(ledger, machine) if way != SINGLE else None
    return len({member.trial for member in record.machine_wide}) if record else 1


def write_model(
    ledger: Ledger, way: str, out: Path, *, false_alarms: float, replaced: bool = False
) -> Exported:
    """Export what the trials became into a folder; with `replaced` the model there is kept in it."""
    [machine] = ledger.plan.machines
    with waiting(f"exporting {machine}"):
        return export_machine(
            ledger,
            machine,
            out,
            false_alarms=false_alarms,
            product="single" if way == SINGLE else "ensemble",
            int8=replaced and (out / INT8).is_dir(),
            keep=replaced,
        )
