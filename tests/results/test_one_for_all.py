import numpy as np
import pytest
from scipy.stats import hmean

from humtune.metrics.cells import Cells
from humtune.metrics.cross_fitting import cross_fit
from humtune.metrics.omega import evaluate, pool
from humtune.records import CONFIRM
from humtune.results.archive import read_archive
from humtune.results.measure import measure
from humtune.results.one_for_all import one_for_all
from humtune.results.rows import ONE_FOR_ALL, pick_rows
from humtune.sounds.table import UNKNOWN, Role

SKILLS = {"fan": {5.0: 2.5, 10.0: 1.2, 20.0: 0.1}, "valve": {5.0: 0.0, 10.0: 1.2, 20.0: 2.5}}


@pytest.fixture
def ledger(bench):
    """Each machine's own best is another one's worst; mu = 10 serves both."""
    ledger = bench.search()
    for machine, skills in SKILLS.items():
        for number, (mu, skill) in enumerate(skills.items()):
            bench.trial(ledger, machine, number, mu=mu, skill=skill, gains={"cosine": 1, "nll": 0.2})
    return ledger


def measured(ledger):
    return [measure(ledger, machine) for machine in ledger.plan.machines]


def test_it_is_what_serves_all_machines_best_together(ledger):
    machines = measured(ledger)
    assert [m.best.trial.params["head.mu"] for m in machines] == [5, 20]
    picks = one_for_all(machines)
    assert [p.candidate.trial.params["head.mu"] for p in picks] == [10, 10]
    assert {p.candidate.score_type for p in picks} == {"cosine"}
    metrics = []
    for pick in picks:
        cells = Cells.of(ledger.clips(pick.machine), Role.SELECT)
        metrics.append(evaluate(ledger.scores(pick.candidate.trial.id, "cosine"), cells))
    rows = pick_rows(ONE_FOR_ALL, picks)
    assert [row.machine for row in rows] == ["fan", "valve", "all"]
    assert rows[-1].select.official.value == pytest.approx(float(pool(metrics).omega_official))
    splits = np.stack([p.cross_fitted.splits for p in picks])
    assert rows[-1].cross_fitted.value == pytest.approx(hmean(splits, axis=0).mean())


def test_of_a_single_machine_it_is_cross_fitted_as_that_machine_is(ledger):
    (pick,) = one_for_all(measured(ledger)[:1])
    archive = read_archive(ledger, "fan")
    scores = archive.of(archive.candidates())
    alone = cross_fit(scores, Cells.of(ledger.clips("fan"), Role.SELECT))
    assert pick.candidate.trial.params["head.mu"] == 5
    np.testing.assert_allclose(pick.cross_fitted.splits, alone.splits)


def test_what_one_machine_did_not_try_or_only_confirmed_is_no_candidate(bench):
    ledger = bench.search()
    bench.trial(ledger, "fan", 0, mu=5.0)
    bench.trial(ledger, "valve", 0, mu=10.0)
    bench.trial(ledger, "valve", 1, mu=5.0, origin=CONFIRM)
    told = one_for_all(measured(ledger))
    assert told == "one configuration for all: no configuration was tried on every machine"


def test_without_labels_on_every_machine_it_says_so(ledger):
    machines = measured(ledger)
    clips = machines[1].clips
    clips.label[clips.having(Role.SELECT)] = UNKNOWN
    assert "not every machine has labelled clips" in one_for_all(machines)


def test_seeds_are_compared_one_by_one(bench):
    ledger = bench.search()
    for machine in ("fan", "valve"):
        for number, skill in enumerate((0.2, 2.0)):
            bench.trial(ledger, machine, number, mu=5.0, skill=skill)
    assert [p.candidate.trial.number for p in one_for_all(measured(ledger))] == [1, 1]
