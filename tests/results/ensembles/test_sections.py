from dataclasses import replace

import numpy as np
import pytest

from humtune.errors import UsageError
from humtune.metrics.cells import Cell, Cells
from humtune.metrics.omega import omega
from humtune.results.ensembles.greedy import ensemble, select
from humtune.sounds.table import SOURCE, TARGET

CLIPS = 20


@pytest.fixture
def cells():
    """Two sections of 20 clips per domain and label."""
    blocks = np.arange(2 * 4 * CLIPS).reshape(2, 2, 2, CLIPS)
    found = tuple(Cell(s, d, *blocks[s, d]) for s in range(2) for d in (SOURCE, TARGET))
    names = np.array([f"clip_{i}.wav" for i in range(blocks.size)])
    return Cells("fan", names, np.full(names.shape, ""), found)


@pytest.fixture
def section(cells):
    return np.arange(len(cells.names)) // (4 * CLIPS)


@pytest.fixture
def specialists(cells, section):
    """Two candidates, each good in one section and blind in the other; the rest noise."""
    scores = np.random.default_rng(0).normal(size=(6, len(cells.names)))
    anomalous = np.isin(np.arange(len(section)), np.concatenate([c.anomaly for c in cells.cells]))
    for candidate in (0, 1):
        scores[candidate] += 2 * (section == candidate) * anomalous
    return scores


@pytest.mark.parametrize("others", [-0.1, 1.5])
def test_an_odd_weight_of_other_sections_is_refused(cells, specialists, others):
    with pytest.raises(UsageError, match=f"between 0 and 1, got {others}"):
        ensemble(specialists, cells, others=others)


def test_each_section_trusts_its_own_specialist(cells, section, specialists):
    found = ensemble(specialists, cells)
    assert [found.sections[s].members[0] for s in (0, 1)] == [0, 1]
    assert omega(found(specialists, section), cells) > omega(found.machine(specialists), cells)
    assert set(found.members) >= {0, 1}


def test_a_section_without_labels_has_the_machines_weights(cells, section, specialists):
    found = ensemble(specialists, cells)
    elsewhere = section + 5
    np.testing.assert_array_equal(found(specialists, elsewhere), found.machine(specialists))
    mixed = np.where(section == 0, 0, 9)
    np.testing.assert_allclose(
        found(specialists, mixed)[section == 1], found.machine(specialists)[section == 1]
    )


def test_where_all_sections_count_the_same_there_is_one_weighting(cells, section, specialists):
    found = ensemble(specialists, cells, others=1)
    assert found.sections == {}
    np.testing.assert_array_equal(found.machine.values, select(specialists, cells).values)


def test_members_bound_what_a_clip_is_scored_with(cells, specialists):
    found = ensemble(specialists, cells, members=1)
    assert all(len(w.members) == 1 for w in (found.machine, *found.sections.values()))
    assert len(found.members) >= 2


def test_a_section_alone_chooses_as_if_it_were_the_machine(cells, specialists):
    found = ensemble(specialists, cells, others=0)
    alone = replace(cells, cells=cells.cells[2:])
    np.testing.assert_array_equal(found.sections[1].values, select(specialists, alone).values)
