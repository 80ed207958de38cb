"""Begin the search whose trials are students, or find it: ask the teachers once, keep what they say, plan."""

from collections.abc import Mapping, Sequence
from time import time
from typing import Any

from humtune import __version__
from humtune.detectors.distilled import Distilled
from humtune.detectors.recipe import Recipe
from humtune.distillation.teachers import ask, choose_teachers
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger, searches
from humtune.names import check_name, command, twin
from humtune.plan import Asked, Plan
from humtune.results.ensembles.record import EnsembleRecord, find_ensemble
from humtune.results.lessons import Lesson, Teacher, find_lesson, write_lesson
from humtune.results.students import students_name
from humtune.search.space import Space
from humtune.search.space.checks import check_space, planned_space
from humtune.search.space.space import nested
from humtune.sounds.joined import append_bank
from humtune.sounds.lessons import PER_KIND, make_lessons, origins

RATE = "learning_rate"


def begin(
    ledger: Ledger,
    *,
    name: str | None = None,
    machines: Sequence[str] | None = None,
    epochs: int | None = None,
    settings: Mapping[str, Any] | None = None,
    seeds: int = 1,
    lessons: int = PER_KIND,
) -> tuple[Ledger, list[str]]:
    """The search of students of a search's ensembles, new or to be gone on with; why a machine is left out.

    It has the same recordings with the same roles: students train on training clips, and clips that judge or
    are held out stay as they are. `settings` are a student's, by dotted names; `lessons` of each kind are
    made. What teachers say is kept by machine, so that a killed call goes on with the next. UsageError where
    no machine has an ensemble, or the search is there with other students.
    """
    name = name or students_name(ledger.name)
    check_name(name, "a search's name", "choose another --name")
    if lessons < 1:
        raise UsageError(f"--lessons {lessons}: a kind has one or more")
    records, skipped = _ensembles(ledger, machines)
    teachers, left = {}, {}
    for machine, record in records.items():
        try:
            teachers[machine], left[machine] = choose_teachers(ledger, record)
        except HumtuneError as error:
            skipped.append(str(error))
    if not teachers:
        raise HumtuneError("; ".join(skipped))
    space = students_space(
        {machine: len(found) for machine, found in teachers.items()},
        epochs=epochs,
        settings=settings,
        seeds=seeds,
        teacher=ledger.name,
    )
    students = Ledger(ledger.storage, name)
    there = name in searches(ledger.storage)
    if there and (
        students.plan.asked.taught_by != ledger.name
        or _trials(planned_space(students.plan)) != _trials(space)
    ):
        raise UsageError(
            f"there is a search named '{name}' with other students: {students.resume} goes on with these, "
            "another --name makes new ones"
        )
    for machine, found in teachers.items():
        teach_machine(
            ledger,
            students,
            records[machine],
            found,
            space,
            lessons=lessons,
            note=left[machine],
            new=not there,
        )
    if not there:
        _create(ledger, students, space, list(teachers))
    return students, skipped


def teach_machine(
    ledger: Ledger,
    students: Ledger,
    record: EnsembleRecord,
    teachers: tuple[Teacher, ...],
    space: Space,
    *,
    lessons: int,
    note: str,
    new: bool,
) -> None:
    """Make a machine's lessons and ask its teachers, unless that is done; UsageError where it was others."""
    machine = record.machine
    known = find_lesson(students, machine)
    if known and (known.ensemble, known.per_kind, known.teachers) == (record.scores_hash, lessons, teachers):
        return
    if not new:
        raise UsageError(
            f"search '{students.name}' learnt of another ensemble of {machine}, or of another number of "
            "lessons; another --name teaches anew"
        )
    bank = ledger.bank(machine)
    found = origins(bank.table, per_kind=lessons)
    made = make_lessons(bank, found, ledger.storage)
    joined = append_bank(bank, made)
    space.recipe(space.runs(machine)[0].params, machine=machine).check(joined.table, joined.lengths)
    targets = ask(ledger, machine, teachers, joined, found)
    lesson = Lesson(
        made=made.folder,
        per_kind=lessons,
        ensemble=record.scores_hash,
        teachers=teachers,
        targets=tuple(map(tuple, targets.tolist())),
        note=note,
    )
    write_lesson(students, machine, lesson)


def students_space(
    teachers: Mapping[str, int],
    *,
    epochs: int | None,
    settings: Mapping[str, Any] | None,
    seeds: int,
    teacher: str,
) -> Space:
    """A grid of one point, with a trial a seed; `teachers` are their number by machine."""
    said = dict(settings or {}) | ({} if epochs is None else {"epochs": epochs})
    rate = said.pop(RATE, Distilled.model_fields[RATE].default)  # a space searches something
    raw = {
        "description": f"students of the ensembles of {teacher}",
        "sampler": "grid",
        "seeds": seeds,
        "fixed": nested({"family": "distilled"}, said),
        "machines": {machine: {"teachers": count} for machine, count in teachers.items()},
        "search": {RATE: [rate]},
    }
    return check_space(raw, where="command line")


def _trials(space: Space) -> list[Recipe]:
    """All trials of a space that says which there are."""
    return [
        space.recipe(run.params, machine=machine, seed=run.seed)
        for machine in sorted(space.machines)
        for run in space.runs(machine)
    ]


def _create(ledger: Ledger, students: Ledger, space: Space, machines: list[str]) -> None:
    """Write the plan, which makes it a search: last, when all lessons are there."""
    plan = ledger.plan
    asked = plan.asked
    students.create(
        Plan(
            name=students.name,
            created=time(),
            version=__version__,
            asked=Asked(
                space=space.model_dump(mode="json"),
                data=asked.data,
                trials=space.seeds,
                taught_by=ledger.name,
                holdout=asked.holdout,
                held_out=asked.held_out,
                channel=asked.channel,
                resources=asked.resources.model_copy(
                    update={"compiled": False}
                ),  # small: it would take longer
            ),
            machines={machine: plan.machines[machine] for machine in machines},
            holds=dict.fromkeys(machines, space.seeds),
        ),
        {machine: ledger.clips(machine) for machine in machines},
    )


def _ensembles(ledger: Ledger, machines: Sequence[str] | None) -> tuple[dict[str, EnsembleRecord], list[str]]:
    """The ensembles of those machines, and a sentence for each that has none."""
    known = tuple(ledger.plan.machines)
    wanted = [twin(machine, known) for machine in machines or known]
    found, skipped = {}, []
    for machine in wanted:
        if machine not in known:
            raise UsageError(f"search '{ledger.name}' has no machine '{machine}'; it has {', '.join(known)}")
        record = find_ensemble(ledger, machine)
        if record is None:
            make = command("ensemble", ledger.name, storage=ledger.storage.option)
            skipped.append(f"{machine}: no ensemble yet; {make} makes it")
        else:
            found[machine] = record
    if not found:
        raise UsageError("; ".join(skipped))
    return found, skipped
