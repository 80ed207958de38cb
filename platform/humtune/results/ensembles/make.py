"""Makes ensembles: chooses each machine's members and tells what the choice is worth."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from humtune import __version__
from humtune.dcase.truth import Truth, label_clips
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger
from humtune.metrics.cells import Array, Cells, labelled
from humtune.metrics.omega import omega
from humtune.names import twin
from humtune.results.archive import read_archive, trial_stamps
from humtune.results.ensembles.agreement import MOST, heaviest
from humtune.results.ensembles.candidates import (
    CALIBRATION,
    CALIBRATIONS,
    RANKS,
    UNLABELLED,
    CalibrationName,
    Candidates,
    gather,
    read_systems,
    unlabelled_weights,
)
from humtune.results.ensembles.greedy import MEMBERS, ensemble
from humtune.results.ensembles.record import EnsembleRecord, Settings, ensemble_id, write_ensemble
from humtune.results.ensembles.worth import Worth, labelled_worth, unlabelled_worth
from humtune.sounds.table import ClipTable, Role


@dataclass(frozen=True)
class Made:
    """The ensembles that were made, and a sentence for each machine that has none."""

    records: tuple[EnsembleRecord, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Share:
    """What a machine's score is made of: weights [K] of all candidates, and those of some sections."""

    machine: Array
    sections: Mapping[int, Array]


def check_words(
    name: str | None,
    calibration: str | None,
    imports: Sequence[Path],
    *,
    truth: Path | None = None,
    out: Path | None = None,
    exportable: bool = False,
) -> CalibrationName | None:
    """The calibration asked for, if any; UsageError where a command's words don't go together."""
    if name is None and not imports:
        raise UsageError("of what? name a search, or the folders of imported systems: --import DIR")
    if name is None and exportable:
        raise UsageError("--exportable: imported systems are score files; only a search has models")
    if name is not None and (truth or out):
        word = "--truth" if truth else "--out"
        raise UsageError(f"{word} is for imports alone; search '{name}' has its own")
    if exportable and imports:
        raise UsageError(
            "--exportable and --import: with imported systems an ensemble is transductive, so it can't be "
            "exported"
        )
    if calibration is None:
        return None
    for known in CALIBRATIONS:
        if calibration == known:
            return known
    raise UsageError(f"--calibration {calibration}: expected {' or '.join(CALIBRATIONS)}")


def make_ensembles(
    ledger: Ledger,
    *,
    machines: Sequence[str] | None = None,
    members: int | None = None,
    imports: Sequence[Path] = (),
    exportable: bool | None = False,
    calibration: CalibrationName | None = None,
    every: bool = False,
) -> Made:
    """Choose and write an ensemble for each machine of a search, out of all complete trials × score types.

    Ω of the selecting clips chooses `members`, 8 at most where nobody says. Where no labels judged the
    trials, or with `every`, none choose: the `members` heaviest trials score together, `MOST` where nobody
    says, with weights by how far all agree. `imports` are folders of other systems' score files; with
    `exportable` only what a model can score is a member, with None where a machine has such. A machine
    without complete trials keeps no other from its ensemble; HumtuneError where none can be made.
    """
    plan = ledger.plan
    wanted = _wanted(ledger.name, tuple(plan.machines), machines)
    systems, stamps = read_systems(imports), trial_stamps(ledger)
    made, skipped = [], []
    for machine in wanted:
        clips, judged_by = ledger.clips(machine), plan.machines[machine].judged_by
        blind = every or judged_by == "pseudo"
        scale = calibration or (UNLABELLED if blind else CALIBRATION)
        archive = read_archive(ledger, machine, stamps=stamps)
        leaving = bool(archive.candidates(exportable=True)) if exportable is None else exportable
        try:
            candidates = gather(clips, archive, calibration=scale, exportable=leaving, systems=systems)
        except UsageError:
            raise
        except HumtuneError as error:
            skipped.append(str(error))
            continue
        settings = Settings(
            members=members or (MOST if blind else MEMBERS),
            calibration=RANKS if systems else scale,
            judged_by=judged_by,
            imports=tuple(str(system.folder) for system in systems),
            exportable=leaving,
            every=blind,
            candidates=len(candidates.members),
        )
        record, scores = build(candidates, settings, data_hash=plan.machines[machine].data_hash)
        made.append(write_ensemble(ledger, record, scores))
    if not made:
        ledger.check_complete()
        raise HumtuneError("; ".join(skipped))
    return Made(tuple(made), tuple(skipped))


def join_systems(
    imports: Sequence[Path],
    *,
    truth: Path | None = None,
    machines: Sequence[str] | None = None,
    members: int | None = None,
    every: bool = False,
) -> dict[str, tuple[EnsembleRecord, ClipTable, Array]]:
    """Machine -> the ensemble of imported systems alone, its clips and its scores; needs labels.

    They choose `members`, or with `every` nothing but Ω to read it by; see `make_ensembles`.
    The clips are those of the first system. They tell their labels by name, or `truth` does, a folder as
    `Truth.open` reads.
    """
    systems = read_systems(imports)
    wanted = _wanted(str(systems[0].folder), tuple(systems[0].scores), machines)
    known = Truth.open(truth) if truth else None
    found = {}
    for machine in wanted:
        clips = label_clips(machine, systems[0].scores[machine], truth=known)
        candidates = gather(clips, None, systems=systems)
        settings = Settings(
            members=members or (len(systems) if every else MEMBERS),
            calibration=RANKS,
            imports=tuple(str(system.folder) for system in systems),
            every=every,
            candidates=len(systems),
        )
        record, scores = build(candidates, settings)
        found[machine] = record, clips, scores
    return found


def build(
    candidates: Candidates, settings: Settings, *, worth: Worth | None = None, data_hash: str = ""
) -> tuple[EnsembleRecord, Array]:
    """One machine's ensemble and its scores [N] of all clips, NaN where a transductive one has none.

    `worth` is what the choice is worth, where that is known already.
    """
    clips, scores = candidates.clips, candidates.scores
    if not settings.by_labels:
        names = [str(member.trial or member.system) for member in candidates.members]
        weights = unlabelled_weights(candidates.members, scores, clips)
        share = Share(heaviest(weights, names, settings.members), {})
        worth = worth or unlabelled_worth(candidates, share.machine)
    else:
        cells = Cells.of(clips, Role.SELECT)
        found = ensemble(scores, cells, members=settings.members, others=settings.others)
        share = Share(found.machine.values, {n: w.values for n, w in found.sections.items()})
        worth = worth or labelled_worth(candidates, cells, settings)
    record = _record(candidates, share, settings, worth, data_hash)
    rows = {m.name: row for m, row in zip(candidates.members, scores, strict=True)}
    joined = record.combine(np.stack([rows[m.name] for m in record.members]), clips.section)
    return record.model_copy(update={"metrics": dict(_metrics(joined, clips))}), joined


def _record(
    candidates: Candidates, share: Share, settings: Settings, worth: Worth, data_hash: str
) -> EnsembleRecord:
    total = share.machine + sum(share.sections.values(), np.zeros(len(candidates.members)))
    order = sorted(np.flatnonzero(total).tolist(), key=lambda k: (-share.machine[k], -total[k]))

    def of(weights: Array) -> tuple[float, ...]:
        return tuple(weights[order].tolist())

    machine = candidates.clips.machine
    return EnsembleRecord(
        id=ensemble_id(machine),
        machine=machine,
        members=tuple(candidates.members[k] for k in order),
        weights=of(share.machine),
        sections={section: of(weights) for section, weights in share.sections.items()},
        settings=settings,
        compared=worth.compared,
        front=worth.front,
        passes=worth.passes,
        notes=worth.notes,
        data_hash=data_hash,
        created=time.time(),
        version=__version__,
    )


def _metrics(scores: Array, clips: ClipTable) -> Iterator[tuple[str, float]]:
    """Official Ω of the ensemble on each kind of labelled clips that has all it needs."""
    for name, role in (("select", Role.SELECT), ("hidden", Role.HIDDEN), ("report", Role.REPORT)):
        if labelled(clips, role):
            try:
                yield f"omega_{name}", float(omega(scores, Cells.of(clips, role)))
            except HumtuneError:  # a cell without both labels, or clips that an imported system lacks
                continue


def _wanted(where: str, known: Iterable[str], machines: Sequence[str] | None) -> list[str]:
    known = list(known)
    machines = [twin(machine, known) for machine in machines or ()]
    for machine in machines:
        if machine not in known:
            raise UsageError(f"{where}: no machine '{machine}'; there are {', '.join(known)}")
    return list(dict.fromkeys(machines or known))
