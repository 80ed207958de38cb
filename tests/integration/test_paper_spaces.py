"""The paper's spaces, each run from its first point to its last on synthetic machines."""

from collections import Counter

import pytest

from humtune.ledger import Ledger, TrialState
from humtune.search.space_checks import check_space

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

Searches = dict[str, Ledger]
EXPERIMENTS = {  # points a machine
    "spectrogram": 10,
    "mu_sigma2": 20,
    "beta_class": 10,
    "per_machine": 1,
    "vanilla": 3,
    "accuracy": 21,
}


def test_every_experiment_of_the_paper_has_a_search(paper_searches: Searches) -> None:
    assert paper_searches.keys() == EXPERIMENTS.keys()
    made = {name: ledger.plan.space["reproduces"] for name, ledger in paper_searches.items()}
    assert sorted(made.values()) == ["accuracy", "figure2", "figure3", "table2", "table3", "table4"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_point_ran_once_with_each_seed(paper_searches: Searches, name: str) -> None:
    ledger = paper_searches[name]
    space = check_space(ledger.plan.space, where=name)
    for machine in ("fan", "valve"):
        records = list(ledger.records(machine))
        assert {r.state for r in records} == {TrialState.COMPLETE}, [r.reason for r in records]
        had = [(tuple(sorted(r.params.items())), r.config.seed) for r in records]
        runs = space.runs(machine)[: ledger.plan.trials]
        assert Counter(had) == Counter((tuple(sorted(r.params.items())), r.seed) for r in runs)
        assert len({point for point, _ in had}) == EXPERIMENTS[name]
        assert [r.number for r in records] == list(range(len(runs)))
        for record in records:
            assert record.config == space.config(record.params, machine=machine, seed=record.config.seed)
            assert record.omega.keys() == set(record.config.score_types)
            assert record.judged_by == "omega"


def test_each_machine_has_its_own_best_of_table_4(paper_searches: Searches) -> None:
    ledger = paper_searches["per_machine"]
    heads = {r.machine: r.config.head.model_dump() for r in ledger.records()}
    assert heads["fan"] == {"kind": "variational", "mu": 10, "sigma2": 0.02, "beta_class": 10}
    assert heads["valve"] == {"kind": "variational", "mu": 10, "sigma2": 0.1, "beta_class": 1}
    pictures = {r.machine: (r.config.spectrogram.n_fft, r.config.spectrogram.db) for r in ledger.records()}
    assert pictures == {"fan": (512, True), "valve": (512, False)}  # Table 2, but for what was made small
