import numpy as np
import pytest

from humtune.dcase.files import read_folder
from humtune.dcase.truth import label_clips
from humtune.metrics.calibration import ranks
from humtune.metrics.cells import Cells
from humtune.metrics.cross_fitting import cross_fit, cross_fit_machines
from humtune.metrics.omega import omega
from humtune.results.ensembles.agreement import by_agreement
from humtune.results.ensembles.worth import compare, top_mean
from humtune.sounds.table import Role


@pytest.fixture
def one_machine(team):
    """A machine with two sections and six candidates of some skill."""
    parts = [team.score(section=section, per_cell=12) for section in (0, 1)]
    names, label, _, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    table = label_clips("fan", names)
    noise = np.random.default_rng(0).normal(size=(6, len(names)))
    return scores / 2 + noise + 0.4 * label, Cells.of(table, Role.SELECT), table.section


def test_every_way_of_joining_is_read_on_the_same_splits_as_the_best_single(one_machine):
    scores, cells, section = one_machine
    found = compare(scores, cells, section, unlabelled=scores[4], splits=4, seed=3)
    assert list(found) == [
        "best single",
        "top-5 mean",
        "without labels",
        "greedy",
        "ensemble",
        "oracle single",
    ]
    np.testing.assert_array_equal(
        found["best single"].splits, cross_fit(scores, cells, splits=4, seed=3).splits
    )
    assert all(len(f.splits) == 4 and f.chosen.size == 0 for f in found.values())
    assert found["oracle single"].mean == pytest.approx(float(omega(scores, cells).max()), abs=0.03)


def test_what_needs_no_labels_is_read_as_it_is(one_machine):
    scores, cells, section = one_machine
    found = compare(scores, cells, section, unlabelled=scores[4], splits=4)
    alone = cross_fit(scores[4], cells, splits=4)
    np.testing.assert_array_equal(found["without labels"].splits, alone.splits)


def test_another_way_of_halving_is_asked_for_every_split(one_machine):
    scores, cells, section = one_machine
    asked = []

    def whole(cells, rng):
        asked.append(cells)
        return cells, cells

    found = compare(scores, cells, section, unlabelled=scores[4], splits=2, halve=whole)
    assert len(asked) == 2
    assert found["best single"].splits.tolist() == [pytest.approx(float(omega(scores, cells).max()))] * 2
    assert found["greedy"].mean >= found["best single"].mean  # chosen and read on the same clips


def test_equal_seeds_give_equal_tables(one_machine):
    scores, cells, section = one_machine
    tables = [compare(scores, cells, section, unlabelled=scores[4], splits=3, seed=s) for s in (1, 1, 2)]
    for name, found in tables[0].items():
        np.testing.assert_array_equal(found.splits, tables[1][name].splits)
    assert not np.array_equal(tables[0]["greedy"].splits, tables[2]["greedy"].splits)


def test_the_mean_of_the_best_is_of_the_best(one_machine):
    scores, cells, _ = one_machine
    best = np.argsort(-omega(scores, cells))[:2]
    np.testing.assert_allclose(top_mean(2)(scores, cells), scores[best].mean(axis=0))


@pytest.mark.slow
def test_what_24_systems_know_together(real_data):
    folder = real_data / "dcase2022_scores" / "dev"
    if not folder.is_dir():
        pytest.skip(f"no real score files in {folder}")
    systems = [read_folder(path) for path in sorted(folder.iterdir())]
    machines = []
    for machine, first in systems[0].items():
        table = label_clips(machine, first)
        scores = [[system[machine][name] for name in first] for system in systems]
        ranked = ranks(scores, table.section)
        joined = by_agreement(ranked, range(len(ranked))) @ ranked
        cells = Cells.of(table, Role.SELECT)
        machines.append(compare(ranked, cells, table.section, unlabelled=joined, splits=2))
    omegas = {name: 100 * cross_fit_machines([m[name] for m in machines]).mean for name in machines[0]}
    assert omegas == {
        "best single": pytest.approx(73.2, abs=1),
        "top-5 mean": pytest.approx(72.3, abs=1),
        "without labels": pytest.approx(66.2, abs=1),
        "greedy": pytest.approx(74.5, abs=1),
        "ensemble": pytest.approx(76.2, abs=1),
        "oracle single": pytest.approx(73.7, abs=1),
    }
    assert omegas["ensemble"] > omegas["greedy"] + 0.5
