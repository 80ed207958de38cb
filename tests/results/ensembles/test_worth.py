import numpy as np
import pytest

from humtune.metrics.cells import Cells
from humtune.metrics.omega import omega
from humtune.results.archive import read_archive
from humtune.results.ensembles.candidates import gather
from humtune.results.ensembles.record import Member, Settings
from humtune.results.ensembles.worth import compare, front_sizes, labelled_worth, networks, unlabelled_worth
from humtune.sounds.table import Role


@pytest.fixture
def candidates(bench):
    ledger = bench.search(machines=("fan",))
    for number in range(3):
        bench.trial(
            ledger, "fan", number, skill=1 + number / 2, pseudo={"cosine": 0.6 - number / 10, "nll": 0.3}
        )
    return gather(ledger.clips("fan"), read_archive(ledger, "fan"))


def test_cells_too_small_to_halve_leave_a_note(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan", per_cell=1)})
    bench.trial(ledger, "fan", 0)
    found = gather(ledger.clips("fan"), read_archive(ledger, "fan"))
    cells = Cells.of(found.clips, Role.SELECT)
    worth = labelled_worth(found, cells, Settings(candidates=2), splits=2)
    assert "has a single normal clip" in worth.notes[0]
    assert worth.compared == {}


def test_ways_and_front_are_read_on_the_same_splits(candidates):
    cells = Cells.of(candidates.clips, Role.SELECT)
    worth = labelled_worth(candidates, cells, Settings(members=3, candidates=6), splits=4)
    section = candidates.clips.section
    told = compare(candidates.scores, cells, section, unlabelled=candidates.unlabelled, members=3, splits=4)
    assert worth.compared == {way: tuple(fitted.splits) for way, fitted in told.items()}
    assert list(worth.front) == ["greedy", "ensemble"]
    assert list(worth.front["ensemble"]) == [1, 2, 3]
    assert worth.front["ensemble"][3] == worth.compared["ensemble"]
    assert worth.front["greedy"][1] == worth.compared["best single"]  # one member, chosen for all sections
    assert worth.passes["greedy"][1] == 1


def test_without_labels_in_the_choice_every_clip_is_read(candidates):
    weights = np.array([0.5, 0, 0.5, 0, 0, 0])
    worth = unlabelled_worth(candidates, weights)
    cells = Cells.of(candidates.clips, Role.SELECT)
    assert worth.compared["best by pseudo-Ω"] == (float(omega(candidates.scores[0], cells)),)
    joined = (candidates.scores[0] + candidates.scores[2]) / 2
    assert worth.compared["ensemble"] == pytest.approx((float(omega(joined, cells)),))
    assert worth.passes == {"ensemble": {2: 2}}


@pytest.mark.parametrize(
    ("members", "candidates", "sizes"),
    [(1, 9, [1]), (8, 3, [1, 2, 3]), (8, 99, [1, 2, 3, 5, 8]), (7, 99, [1, 2, 3, 5, 7])],
)
def test_the_front_ends_where_members_or_candidates_do(members, candidates, sizes):
    assert front_sizes(members, candidates) == sizes


def test_score_types_of_a_trial_share_its_network():
    members = (
        Member(trial="fan-00000", score_type="nll"),
        Member(trial="fan-00000", score_type="knn"),
        Member(system="theirs"),
    )
    assert networks(members, np.array([0, 1])) == 1
    assert networks(members, np.array([0, 1, 2])) == 2
