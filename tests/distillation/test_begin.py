"""A search of students: begun once, gone on with after any kill, refused where it would be another one."""

import numpy as np
import pytest
from pupils import TINY, train

from humtune.distillation import begin as beginning
from humtune.distillation.begin import begin
from humtune.errors import HumtuneError, UsageError
from humtune.ledger import Ledger, searches
from humtune.records import TrialState
from humtune.results.ensembles.make import make_ensembles
from humtune.results.lessons import find_lesson, taught_bank
from humtune.search.trial import TrialRun
from humtune.sounds.table import Role

pytestmark = pytest.mark.usefixtures("one_thread")


def start(ledger: Ledger, **words: object) -> Ledger:
    students, _ = begin(ledger, **{"machines": ["fan"], "epochs": 2, "settings": TINY, "lessons": 8} | words)  # type: ignore[arg-type]
    return students


def test_a_search_without_an_ensemble_is_told_the_command(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match=r"valve: no ensemble yet; humtune ensemble loud .*makes it"):
        start(ledger, machines=["valve"])
    with pytest.raises(UsageError, match="has no machine 'pump'; it has fan, valve"):
        start(ledger, machines=["pump"])
    assert searches(ledger.storage) == ["loud"]


def test_a_machine_without_one_keeps_no_other_from_its_student(ledger: Ledger) -> None:
    students, skipped = begin(ledger, epochs=2, settings=TINY, lessons=8)
    assert list(students.plan.machines) == ["fan"]
    assert [line.partition(";")[0] for line in skipped] == ["valve: no ensemble yet"]


def test_students_have_the_same_clips_and_see_none_that_judges_or_is_held_out(ledger: Ledger) -> None:
    students = start(ledger)
    assert students.name == "loud-distilled"
    assert students.plan.asked.taught_by == "loud"
    assert students.clips("fan").to_json() == ledger.clips("fan").to_json()
    bank = taught_bank(students, students.bank("fan"))
    learnt = np.flatnonzero(np.isfinite(bank.targets).any(axis=0))
    assert set(bank.table.role[learnt]) == {Role.TRAIN, Role.LESSON}
    recorded = bank.table.having(Role.HELD_OUT, Role.SELECT, Role.REPORT)
    assert len(recorded) == len(ledger.clips("fan"))
    assert not np.isfinite(bank.targets[:, recorded]).any()


def test_halves_of_the_labels_teach_too_where_labels_chose(ledger: Ledger) -> None:
    lesson = find_lesson(start(ledger), "fan")
    assert lesson is not None
    assert (len(lesson.teachers), lesson.splits) == (5, 2)
    targets = np.array(lesson.targets)
    first, second = lesson.halves(targets)
    assert np.array_equal(np.stack([*first, *second]), targets[1:])
    make_ensembles(ledger, machines=["fan"], every=True)
    alike = find_lesson(start(ledger, name="alike"), "fan")
    assert alike is not None
    assert (len(alike.teachers), alike.note) == (1, "")


def test_the_teachers_are_asked_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    students = start(ledger)
    monkeypatch.setattr(beginning, "ask", None)
    assert start(ledger).plan == students.plan
    assert start(ledger, settings=TINY | {"batch_size": 32}).plan == students.plan  # as if it were not said


def test_killed_before_the_plan_it_goes_on_with_what_is_kept(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(beginning, "_create", kill)
        with pytest.raises(KeyboardInterrupt):
            start(ledger)
    assert searches(ledger.storage) == ["loud"]
    monkeypatch.setattr(beginning, "ask", None)
    assert start(ledger).name in searches(ledger.storage)


def test_killed_while_it_learns_it_goes_on_from_its_checkpoint_to_the_same_student(ledger: Ledger) -> None:
    students = start(ledger, epochs=4)
    [whole] = train(students)
    again = start(ledger, epochs=4, name="again")
    plan = again.plan
    again.write_plan(plan.asking(resources=plan.asked.resources.model_copy(update={"checkpoint_seconds": 0})))
    record = whole.model_copy(
        update={"state": TrialState.RUNNING, "epochs": (), "omega": {}, "pseudo": {}, "ended": None}
    )
    killed = TrialRun(again, record, [again.bank("fan")], measured=())
    killed.epoch()
    killed.epoch()
    [resumed] = train(again)
    assert resumed.continued == (2,)
    assert resumed.omega == whole.omega
    np.testing.assert_array_equal(again.scores(resumed.id, "own"), students.scores(whole.id, "own"))


def test_other_students_under_the_same_name_are_refused(ledger: Ledger) -> None:
    start(ledger)
    with pytest.raises(UsageError, match="with other students: humtune resume loud-distilled"):
        start(ledger, epochs=3)
    with pytest.raises(UsageError, match="another number of lessons; another --name teaches anew"):
        start(ledger, lessons=9)
    make_ensembles(ledger, machines=["fan"], members=1, calibration="standard")
    with pytest.raises(UsageError, match="learnt of another ensemble of fan"):
        start(ledger)


def test_a_setting_that_a_student_does_not_know_is_named(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match=r"backbone\.depth"):
        start(ledger, settings=TINY | {"backbone.depth": 3})
    with pytest.raises(UsageError, match=r"chunk_frames = 512 is longer than the shortest clip"):
        start(ledger, settings=TINY | {"spectrogram.chunk_frames": 512})


def test_an_ensemble_that_needs_a_section_teaches_nobody(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("humtune.detectors.noop.Noop.can_be_exported", lambda *_: False)
    with pytest.raises(HumtuneError, match=r"fan: .*choose it anew with humtune ensemble loud --exportable"):
        start(ledger)


def test_a_lesson_that_is_gone_is_named(ledger: Ledger) -> None:
    students = start(ledger)
    students.storage.delete(students.layout.lesson("fan"))
    with pytest.raises(HumtuneError, match=r"lessons/fan.json is missing; make it with humtune distill loud"):
        taught_bank(students, students.bank("fan"))
