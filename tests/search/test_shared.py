"""Shared trials: one network for all machines of a search, and a candidate of each of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loop import Loop, search

from humtune.config import SHARED
from humtune.detectors.detector import Detector
from humtune.detectors.recipe import recipe_of
from humtune.errors import UsageError
from humtune.ledger import Ledger
from humtune.metrics.cells import Cells
from humtune.metrics.omega import Metrics, evaluate, harmonic_mean, pool
from humtune.records import TrialRecord, TrialState
from humtune.results.archive import read_archive
from humtune.results.candidates import choose
from humtune.results.measure import measure
from humtune.search import run
from humtune.search.space import Space, check_space
from humtune.search.space.fit import check_shared_fits
from humtune.search.studies import Studies
from humtune.search.trial import TrialRun, start_trial
from humtune.sounds.joined import join_banks
from humtune.sounds.synthetic import Sizes, synthesise
from humtune.sounds.table import SCORED, Role
from humtune.storage import Storage

TINY = {
    "spectrogram": {"n_fft": 256, "chunk_frames": 16, "n_mels": 16},
    "backbone": {"width": 0.125, "embedding": 16},
    "training": {"epochs": 2, "batch_size": 16, "chunks_per_clip": 1},
    "scores": ["cosine", "nll", "fusion"],
}
SEARCHED = {"head.mu": [5, 10], "head.sigma2": {"low": 0.02, "high": 0.5, "log": True}}

Make = Callable[..., Ledger]


pytestmark = pytest.mark.usefixtures("trials_here")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "data"
    sizes = Sizes(sections=2, train_source=16, train_target=4, test_per_cell=3, seconds=0.6)
    synthesise(folder, machines=("fan", "valve"), sizes=sizes)
    return folder


def make_space(**keys: Any) -> Space:
    raw = {"trials": 1, "shared_trials": 2, "fixed": TINY, "search": SEARCHED, "sampler": "random"}
    return check_space(raw | keys, where="here")


@pytest.fixture
def prepared(recordings: Path, tmp_path: Path) -> Make:
    def make(name: str = "hums", of: tuple[str, ...] = ("fan", "valve"), **keys: Any) -> Ledger:
        storage = Storage(tmp_path / "runs")
        return run.prepare(make_space(**keys), name=name, data=recordings, storage=storage, machines=of)

    return make


@pytest.fixture(scope="module")
def done(one_thread: None, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """A search that ran: two shared trials, and one of each machine. Tests leave it as it is."""
    storage = Storage(tmp_path_factory.mktemp("runs"))
    ledger = run.prepare(make_space(), name="hums", data=recordings, storage=storage)
    search(ledger)
    return ledger


# --- what a search makes


def test_a_search_makes_shared_trials_beside_each_machines(done: Ledger) -> None:
    records = list(done.records())
    assert [r.id for r in records] == ["fan-00000", "shared-00000", "shared-00001", "valve-00000"]
    assert {r.state for r in records} == {TrialState.COMPLETE}
    shared = done.read("shared-00000")
    assert shared.is_shared
    assert list(shared.machines) == ["fan", "valve"]
    banks = {machine: done.bank(machine) for machine in done.plan.machines}
    assert shared.data_hash == join_banks(banks.values()).hash
    assert not done.storage.exists(done.layout.checkpoint("shared-00000"))


def test_a_shared_trial_scores_as_detectors_put_together_by_hand(done: Ledger) -> None:
    """One encoder of all machines, trained again by itself; reference and fusion are each machine's own."""
    shared = done.read("shared-00000")
    recipe = recipe_of(shared.config)
    fit = recipe.start(join_banks([done.bank("valve"), done.bank("fan")]))
    while fit.done < recipe.budget:
        fit.step()
    for machine in ("fan", "valve"):
        bank, probes = done.bank(machine), done.probes(machine)
        detector = Detector(recipe, fit.encoder, machine=machine)
        detector.reference = detector.encode(bank, bank.table.having(Role.TRAIN))
        detector.join(bank, bank.table.having(Role.HELD_OUT))
        clips = bank.table.having(*SCORED)
        seen = shared.of(machine)
        assert seen
        assert probes
        for name, vector in detector.score(detector.encode(bank, clips)).items():
            kept = done.scores(seen.folder, name, clips=len(clips) + len(probes.table))
            np.testing.assert_array_equal(kept[: len(clips)], vector)


def figures_of(ledger: Ledger, shared: TrialRecord, name: str) -> dict[str, Metrics]:
    found = {}
    for machine in ledger.plan.machines:
        seen = shared.of(machine)
        assert seen
        found[machine] = evaluate(
            ledger.scores(seen.folder, name), Cells.of(ledger.clips(machine), Role.SELECT)
        )
    return found


def test_a_shared_trial_is_judged_by_all_values_of_all_machines(done: Ledger) -> None:
    shared = done.read("shared-00001")
    assert set(shared.omega) == {"cosine", "nll", "fusion"}
    for name, omega in shared.omega.items():
        metrics = figures_of(done, shared, name)
        values = [v for f in metrics.values() for s in f.sections for v in (*s.auc.values(), s.pauc)]
        assert len(values) == 2 * 3  # machines with a labelled section each; two AUCs and a pAUC
        assert omega == pytest.approx(float(harmonic_mean(values)), abs=1e-12)
        assert omega == float(pool(metrics.values()).omega_official)
        for machine, on in shared.machines.items():
            assert on.omega[name] == float(metrics[machine].omega_official)
    assert shared.pseudo.keys() == shared.omega.keys()


def test_the_order_of_machines_changes_no_score(prepared: Make) -> None:
    one, other = prepared(trials=0, shared_trials=1), prepared("other", ("valve", "fan"), trials=0)
    other.write_plan(other.plan.asking(shared_trials=1))
    for ledger in (one, other):
        search(ledger)
    first, second = (ledger.read("shared-00000") for ledger in (one, other))
    assert first.params == second.params
    assert (first.omega, first.machines) == (second.omega, second.machines)
    for machine in ("fan", "valve"):
        a, b = (ledger.scores(f"shared-00000/machines/{machine}", "nll") for ledger in (one, other))
        np.testing.assert_array_equal(a, b)


# --- candidates of each machine


def test_a_shared_trial_is_a_candidate_of_each_machine(done: Ledger) -> None:
    for machine in done.plan.machines:
        ids = [f"{machine}-00000", "shared-00000", "shared-00001"]
        trials = done.trials_of(machine)
        assert [r.id for r in trials] == ids
        assert {r.machine for r in trials} == {machine}
        archive = read_archive(done, machine)
        again = read_archive(done, machine)  # from its file
        assert [r.id for r in archive.records] == [r.id for r in again.records] == ids
        assert len(archive.candidates()) == 3 * 3
        for candidate in archive.candidates():
            (scores,) = again.of([candidate])
            cells = Cells.of(done.clips(machine), Role.SELECT)
            assert candidate.metric == float(evaluate(scores, cells).omega_official)
        measured = measure(done, machine)
        best = max(c.metric for c in archive.candidates())
        assert measured.best is not None
        assert measured.best.metric == best
        assert measured.candidates == 9


def test_lost_scores_of_one_machine_leave_the_other_its_candidate(prepared: Make) -> None:
    ledger = prepared(trials=0, shared_trials=1)
    search(ledger)
    ledger.storage.delete(ledger.layout.score("shared-00000/machines/fan", "nll"))
    assert "shared-00000 is left out" in " ".join(measure(ledger, "fan").notes)
    assert measure(ledger, "valve").best is not None


def test_equal_parameters_of_one_machine_and_of_all_are_two_configurations(done: Ledger) -> None:
    own, shared, _ = done.trials_of("fan")
    alike = shared.model_copy(update={"params": own.params})
    assert alike.configuration != own.configuration


def test_work_counts_once(done: Ledger) -> None:
    from humtune.results.rows import machine_row, overall_row

    measured = [measure(done, machine) for machine in done.plan.machines]
    rows = [*map(machine_row, measured), overall_row(measured)]
    assert [row.work.complete for row in rows] == [3, 3, 4]
    seconds = {r.id: r.seconds for r in done.records()}
    assert rows[0].work.seconds == seconds["fan-00000"]
    assert rows[2].work.seconds == pytest.approx(sum(seconds.values()))


# --- stopped, killed, gone on with


def test_a_killed_shared_trial_goes_on_as_if_it_had_not_been(prepared: Make) -> None:
    whole, broken = prepared(trials=0, shared_trials=1), prepared("broken", trials=0, shared_trials=1)
    search(whole)
    resources = broken.plan.asked.resources.model_copy(update={"checkpoint_seconds": 0.0})
    broken.write_plan(broken.plan.asking(resources=resources))
    broken.take_lease()
    studies = Studies(broken, check_space(broken.plan.asked.space, where="plan"))
    record = studies.ask()
    assert record is not None
    assert (record.id, record.machine) == ("shared-00000", SHARED)
    config = Loop(studies, broken.plan.asked.resources).searcher.trial_config(record)
    start_trial(config).epoch()  # and no more: the process dies
    assert broken.read(record.id).state == TrialState.RUNNING
    search(broken)
    first, second = whole.read(record.id), broken.read(record.id)
    assert second.continued == (1,)
    assert (first.omega, first.machines) == (second.omega, second.machines)
    for machine in ("fan", "valve"):
        for name in first.omega:
            a, b = (ledger.scores(f"{record.id}/machines/{machine}", name) for ledger in (whole, broken))
            np.testing.assert_array_equal(a, b)


def test_a_rung_measures_all_machines(prepared: Make) -> None:
    ledger = prepared(trials=0, shared_trials=1)
    studies = Studies(ledger, check_space(ledger.plan.asked.space, where="plan"))
    record = studies.ask()
    assert record
    banks = [ledger.bank(machine) for machine in ("fan", "valve")]
    trial = TrialRun(ledger, record, banks, measured=(1,))
    after = trial.epoch()
    assert after.epochs[-1].metrics["omega"] == max(after.omega.values())
    assert set(after.omega) == {"cosine", "nll"}  # a fusion comes at the end
    for machine, on in after.machines.items():
        assert set(on.omega) == {"cosine", "nll"}, machine
    seen = after.of("fan")
    assert seen
    assert "omega" not in seen.epochs[-1].metrics  # it is of all machines
    last = trial.epoch()
    assert last.state == TrialState.COMPLETE


def test_more_shared_trials_are_asked_for_later(prepared: Make) -> None:
    ledger = prepared(trials=1, shared_trials=0)
    assert {r.machine for r in search(ledger).machines["fan"].ended.values()} == {"fan"}
    assert SHARED not in ledger.plan.studies
    run.want(ledger, shared_trials=1)
    studies = search(ledger)
    assert [r.id for r in studies.machines[SHARED].ranking] == ["shared-00000"]
    assert len(list(ledger.records())) == 3
    with pytest.raises(UsageError, match="there is nothing to try"):
        run.want(ledger, trials=0, shared_trials=0)


def test_a_search_starts_from_what_shared_trials_of_an_earlier_one_found(done: Ledger) -> None:
    later = run.prepare(
        make_space(sampler="tpe", shared_trials=3),
        name="later",
        data=Path(done.plan.asked.data),
        storage=done.storage,
        earlier=done,
    )
    from humtune.search.warm import prior_trials

    known = prior_trials(later, SHARED).observed
    assert [r.id for r in known] == ["shared-00000", "shared-00001"]
    studies = Studies(later, check_space(later.plan.asked.space, where="plan"))
    assert len(studies.machines[SHARED].study.trials) == 2
    assert len(studies.machines["fan"].study.trials) == 1


# --- what can't be


def test_shared_trials_need_machines_to_share(prepared: Make) -> None:
    with pytest.raises(UsageError, match="shared trials need two machines or more, there is fan alone"):
        prepared(of=("fan",))


def test_a_machine_called_shared_is_told(done: Ledger) -> None:
    bank = done.bank("fan")
    banks = {"fan": bank, SHARED: replace(bank, table=replace(bank.table, machine=SHARED))}
    with pytest.raises(UsageError, match="a machine is called 'shared', as shared trials are"):
        check_shared_fits(make_space(), banks)


def test_a_machine_called_shared_has_trials_of_its_own_without_shared_ones(done: Ledger) -> None:
    record = done.read("fan-00000").model_copy(update={"id": "shared-00000", "machine": SHARED})
    assert not record.is_shared
    assert record.of("fan") is None
    assert record.folder == record.id


def test_what_shared_trials_can_not_work_on_is_told_before(prepared: Make) -> None:
    machines = {SHARED: {"spectrogram": {"chunk_frames": 512}}}
    with pytest.raises(UsageError, match=r"spectrogram.chunk_frames = 512 is longer than the shortest clip"):
        prepared(machines=machines)


def test_a_space_without_any_trial_is_refused() -> None:
    with pytest.raises(UsageError, match="trials = 0 and shared_trials = 0: there is nothing to try"):
        make_space(trials=0, shared_trials=0)


def test_settings_of_shared_trials_alone(prepared: Make) -> None:
    ledger = prepared()
    space = make_space(machines={SHARED: {"labels": "both"}})
    assert recipe_of(ledger.plan.asked.space["fixed"]).labels == "auto"
    assert space.recipe({}, machine=SHARED).labels == "both"
    assert space.recipe({}, machine="fan").labels == "auto"


def test_choosing_knows_shared_trials(done: Ledger) -> None:
    trials = done.trials_of("valve")
    best = choose(trials)
    assert best is not None
    assert best.metric == max(max(r.omega.values()) for r in trials)
