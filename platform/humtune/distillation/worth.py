"""What students are worth beside their teachers and the best single detectors: same clips, same splits."""

import numpy as np
from scipy.stats import spearmanr

from humtune.detectors.distilled import StudentEncoder
from humtune.distillation.teachers import label_chosen
from humtune.errors import HumtuneError
from humtune.export.blueprint import Blueprint, joined, load_detector, measure_exportable, single
from humtune.export.check import graph_cost
from humtune.export.graph import least_samples
from humtune.export.onnx import export_onnx
from humtune.ledger import Ledger
from humtune.metrics.cells import Array, Cells
from humtune.metrics.cross_fitting import cross_fit_choosers
from humtune.metrics.omega import PseudoCells
from humtune.results.candidates import complete_trials
from humtune.results.ensembles.leaving import machine_scores
from humtune.results.ensembles.record import EnsembleRecord, read_ensemble
from humtune.results.ensembles.worth import best_single, greedy
from humtune.results.lessons import Lesson, find_lesson
from humtune.results.reading import Reading, labelled_clips
from humtune.results.students import (
    ENSEMBLE,
    KINDS,
    SINGLE,
    STUDENT,
    Comparison,
    Lead,
    Side,
    find_comparison,
    write_comparison,
)
from humtune.sounds.parallel import tracked
from humtune.sounds.table import SCORED, ClipTable, Role


def measure_students(ledger: Ledger, students: Ledger) -> list[str]:
    """Compare each machine's best student unless that is done, and keep it; why not, where that fails."""
    failed = []
    machines = students.plan.machines
    for machine in tracked(machines, total=len(machines), title="comparing students"):
        try:
            best = measure_exportable(students, machine).best
            known = find_comparison(students, machine)
            if not (known and best and known.side(STUDENT).name == f"{best.trial.id} {best.score_type}"):
                write_comparison(students, compare(ledger, students, machine))
        except HumtuneError as error:
            failed.append(str(error))
    return failed


def compare(ledger: Ledger, students: Ledger, machine: str) -> Comparison:
    """A machine's best student beside its teacher and the best single detector, in figures and in cost.

    All three are built as graphs and timed one after the other, on one core and a clip of the usual length.
    HumtuneError where no student is complete, or the ensemble is another one by now.
    """
    record, lesson = read_ensemble(ledger, machine), find_lesson(students, machine)
    if lesson is None or lesson.ensemble != record.scores_hash:
        raise HumtuneError(
            f"{machine}: the ensemble is another one than '{students.name}' learnt of; "
            "teach it under another --name"
        )
    plans = {
        STUDENT: single(students, measure_exportable(students, machine)),
        ENSEMBLE: joined(ledger, record, machine_scores(ledger, record)),
        SINGLE: single(ledger, measure_exportable(ledger, machine)),
    }
    clips = ledger.clips(machine)
    vectors = {way: plan.scores for way, plan in plans.items()}
    labelled = labelled_clips(clips)
    readings = {way: labelled.read(scores) for way, scores in vectors.items()}
    splits = cross_fitted(ledger, students, record, lesson) if lesson.splits else {}
    sides = tuple(_side(way, plan, readings, splits.get(way, ()), clips) for way, plan in plans.items())
    recorded = clips.having(*SCORED)
    return Comparison(
        machine=machine,
        teacher=ledger.name,
        ensemble=record.scores_hash,
        sides=sides,
        agreement=float(spearmanr(vectors[STUDENT][recorded], vectors[ENSEMBLE][recorded]).statistic),
        chosen_by_labels=record.settings.by_labels,
        note=lesson.note,
    )


def _side(
    way: str,
    plan: Blueprint,
    readings: dict[str, Reading],
    splits: tuple[float, ...],
    clips: ClipTable,
) -> Side:
    found, student = readings[way], readings[STUDENT]
    known = {kind: metrics for kind in KINDS if (metrics := getattr(found, kind))}
    lead = {}
    for kind in ("select", "hidden"):
        own, other = getattr(student, f"{kind}_draws"), getattr(found, f"{kind}_draws")
        if way != STUDENT and own and other:
            over = own.over(other)
            lead[kind] = Lead(estimate=float(over.estimate), low=float(over.low), high=float(over.high))
    pseudo = PseudoCells(clips)
    usual = int(np.median(plan.bank.lengths[plan.bank.table.having(Role.HELD_OUT)]))
    cost = graph_cost(export_onnx(plan.members, {}), max(usual, least_samples(plan.members)))
    return Side(
        way=way,
        name=plan.name if plan.ensemble else f"{plan.name} {plan.score_type}",
        omega={kind: float(metrics.omega_official) for kind, metrics in known.items()},
        lead=lead,
        splits=splits,
        pseudo=float(pseudo.omega(plan.scores)) if pseudo.kinds else None,
        size=cost.size,
        seconds=cost.seconds,
    )


def cross_fitted(
    ledger: Ledger, students: Ledger, record: EnsembleRecord, lesson: Lesson
) -> dict[str, tuple[float, ...]]:
    """Way -> Ω of each split: all of a choice is made on one half of the labelled clips, read on the other.

    The student is what learnt of the half's ensemble; of several seeds the half chooses one.
    """
    candidates = label_chosen(ledger, record)
    taught = student_outputs(students, record.machine, len(candidates.clips))
    numbers = iter(range(1, len(lesson.teachers)))  # halves come as their teachers did

    def student(scores: Array, choosing: Cells) -> Array:
        return best_single(taught[:, next(numbers)], choosing)

    choosers = {STUDENT: student, ENSEMBLE: greedy(record.settings.members), SINGLE: best_single}
    cells = Cells.of(candidates.clips, Role.SELECT)
    found = cross_fit_choosers(choosers, candidates.scores, cells, splits=lesson.splits)
    return {way: tuple(fitted.splits.tolist()) for way, fitted in found.items()}


def student_outputs(students: Ledger, machine: str, count: int) -> Array:
    """What each of a machine's students would have each teacher say, [S, T, N]; 0 of probes."""
    bank = students.bank(machine)
    recorded = bank.table.having(*SCORED)
    outputs = []
    for record in complete_trials(students.records(machine)):
        encoder = load_detector(students, record, bank).encoder
        assert isinstance(encoder, StudentEncoder)
        given = encoder.outputs(bank, recorded)
        outputs.append(np.pad(given, ((0, 0), (0, count - given.shape[1]))))
    return np.stack(outputs)
