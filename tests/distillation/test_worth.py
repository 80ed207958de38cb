"""What a student is worth beside its teacher, and the model that it becomes."""

from pathlib import Path

import numpy as np
import pytest

from humtune.detectors.detector import Detector
from humtune.detectors.recipe import recipe_of
from humtune.distillation import worth
from humtune.distillation.teachers import scores_by_others
from humtune.distillation.worth import compare, measure_students
from humtune.errors import HumtuneError, UsageError
from humtune.export.search import export_search
from humtune.ledger import Ledger
from humtune.metrics.bootstrap import paired
from humtune.metrics.cells import Cells
from humtune.metrics.cross_fitting import halves
from humtune.metrics.omega import omega
from humtune.report.students import students_block
from humtune.results.ensembles.record import read_ensemble
from humtune.results.lessons import find_lesson
from humtune.results.students import ENSEMBLE, SINGLE, STUDENT, comparisons, open_students
from humtune.runtime.scorer import Scorer
from humtune.sounds.sound_file import to_waveform
from humtune.sounds.table import Role
from humtune.testing.recordings import small_bank

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def compared(measured: Ledger) -> Ledger:
    """The search of its students."""
    return open_students(measured)


def test_a_student_stands_beside_its_teacher_and_the_best_single(measured: Ledger, compared: Ledger) -> None:
    [found] = comparisons(measured)
    assert [side.way for side in found.sides] == [STUDENT, ENSEMBLE, SINGLE]
    student, ensemble, single = found.sides
    cells = Cells.of(measured.clips("fan"), Role.SELECT)
    own = compared.scores(student.name.split()[0], "own")
    teacher = read_ensemble(measured, "fan")
    calibrated = [
        member.calibration(measured.scores(str(member.trial), "own"))
        for member in teacher.members
        if member.calibration
    ]
    machine_wide = teacher.combine(np.stack(calibrated))
    assert student.omega["select"] == float(omega(own, cells))
    assert ensemble.omega["select"] == pytest.approx(float(omega(machine_wide, cells)))
    over = paired(own, machine_wide, cells)
    lead = ensemble.lead["select"]
    assert (lead.estimate, lead.low, lead.high) == pytest.approx((over.estimate, over.low, over.high))
    assert student.lead == {}
    assert single.name.startswith("fan-0000")
    assert 0 < found.agreement <= 1
    assert found.chosen_by_labels
    assert all(side.size > 0 and side.seconds > 0 for side in found.sides)


def test_all_three_are_cross_fitted_on_the_same_splits(measured: Ledger, compared: Ledger) -> None:
    [found] = comparisons(compared)
    assert [len(side.splits) for side in found.sides] == [2, 2, 2]
    lesson = find_lesson(compared, "fan")
    assert lesson is not None
    cells, generator = Cells.of(measured.clips("fan"), Role.SELECT), np.random.default_rng(0)
    for split, pair in enumerate(found.side(ENSEMBLE).splits):
        values = []
        both = halves(cells, generator)
        for teacher, reading in zip(lesson.teachers[1 + 2 * split :], both[::-1], strict=False):
            scores = sum(
                weight * member.calibration(measured.scores(str(member.trial), "own"))
                for member, weight in zip(teacher.members, teacher.weights, strict=True)
                if member.calibration
            )
            values.append(omega(scores, reading))
        assert np.mean(values) == pytest.approx(pair)


def test_what_is_measured_is_kept_and_a_new_ensemble_is_told(
    measured: Ledger, compared: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worth, "export_onnx", None)
    assert measure_students(measured, compared) == []
    record = read_ensemble(measured, "fan").model_copy(update={"scores_hash": "another"})
    monkeypatch.setattr(worth, "read_ensemble", lambda *_: record)
    with pytest.raises(HumtuneError, match="the ensemble is another one than 'loud-distilled' learnt of"):
        compare(measured, compared, "fan")


def test_the_report_of_either_search_has_them(measured: Ledger, compared: Ledger) -> None:
    block = "\n".join(students_block(measured))
    assert students_block(compared) == students_block(measured)
    for words in ("## Distilled", "student, fan-0000", "ensemble, fan-ensemble", "best single, fan-0000"):
        assert words in block


def test_without_students_the_report_is_silent_and_an_export_says_the_command(ledger: Ledger) -> None:
    assert students_block(ledger) == []
    with pytest.raises(UsageError, match=r"'loud' has no students; humtune distill loud .*teaches them"):
        open_students(ledger)


def test_a_student_leaves_as_a_model_with_a_threshold_of_its_held_out_scores(
    measured: Ledger, compared: Ledger, tmp_path: Path
) -> None:
    [model] = export_search(compared, tmp_path / "models").models
    bank = compared.bank("fan")
    clips, held_out = compared.clips("fan"), bank.table.having(Role.HELD_OUT)
    recorded = compared.scores(model.info.trial, "own")[clips.having(Role.HELD_OUT)]
    scorer = Scorer.open(tmp_path / "models" / "fan")
    given = [scorer.score(to_waveform(bank.clip(int(i)))) for i in held_out]
    np.testing.assert_allclose(given, recorded, atol=1e-3 * recorded.std() + 1e-5)
    assert model.info.evidence is not None
    assert sorted(model.info.evidence.held_out) == sorted(recorded.tolist())
    assert recorded.min() <= model.info.threshold.value
    assert "loud-distilled" in (tmp_path / "models" / "fan" / "README.md").read_text()


def test_a_teacher_scores_a_clip_by_the_references_of_other_folds() -> None:
    bank = small_bank()
    recipe = recipe_of({"family": "gaussian_mixture", "n_fft": 256, "n_mels": 32, "scores": ["knn", "own"]})
    detector = recipe.start(bank).run()
    train = bank.table.having(Role.TRAIN)
    fold = np.full(len(bank.table), -1)
    fold[train] = np.arange(len(train)) % 3
    found = scores_by_others(detector, bank, train, fold)
    for number in range(3):
        others = Detector(recipe, detector.encoder, machine="small")
        others.reference = detector.encode(bank, train[fold[train] != number])
        mine = train[fold[train] == number]
        wanted = others.score(others.encode(bank, mine))
        for name, vector in wanted.items():
            np.testing.assert_allclose(found[name][fold[train] == number], vector, rtol=1e-9)
