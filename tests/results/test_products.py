"""Which product is handed over: known scores and figures, and the searches that they come of."""

import numpy as np
import pytest

from humtune.metrics.cells import Cells
from humtune.results.ensembles.make import make_ensembles
from humtune.results.ensembles.record import ensemble_scores, read_ensemble
from humtune.results.ensembles.worth import CHOSEN, EVERY, SINGLE
from humtune.results.measure import measure
from humtune.results.products import Product, choose_product, find_products, other_single
from humtune.results.students import STUDENT, Comparison, Side, students_name, write_comparison
from humtune.sounds.table import ANOMALY, Role


@pytest.fixture
def clips(make_clips):
    return make_clips("fan", per_cell=40)


@pytest.fixture
def cells(clips):
    return Cells.of(clips, Role.SELECT)


@pytest.fixture
def product(clips):
    """Make a product with these cross-fitted Ω, whose scores differ from the others' by some noise."""
    shared = np.random.default_rng(0).normal(size=len(clips)) + 1.5 * (clips.label == ANOMALY)

    def make(way, splits, *, noise=0.0, networks=1):
        own = np.random.default_rng(networks).normal(size=len(clips))
        return Product(way, None, shared + noise * own, np.array(splits), networks)

    return make


def test_a_costlier_one_that_is_surely_better_is_taken(product, cells):
    single, few = product(SINGLE, [0.80, 0.82]), product(CHOSEN, [0.86, 0.88], noise=0.1, networks=3)
    assert choose_product([single, few], cells) is few


def test_of_two_that_are_alike_the_cheaper_one_is_taken(product, cells):
    single, few = product(SINGLE, [0.80, 0.82]), product(CHOSEN, [0.81, 0.83], noise=1, networks=3)
    assert choose_product([single, few], cells) is single
    assert choose_product([single, few], cells, sure=0) is few


def test_the_same_lead_is_noise_where_clips_say_less(product, cells):
    single = product(SINGLE, [0.80, 0.80])
    taken = [
        choose_product([single, other], cells) is other
        for noise in (0.1, 3)
        for other in [product(CHOSEN, [0.83, 0.83], noise=noise, networks=3)]
    ]
    assert taken == [True, False]


def test_more_members_have_to_be_better_than_fewer(product, cells):
    single, few = product(SINGLE, [0.80] * 2), product(CHOSEN, [0.90] * 2, noise=0.1, networks=3)
    many = product(CHOSEN, [0.901] * 2, noise=1, networks=8)
    assert choose_product([single, few, many], cells) is few


def test_of_two_that_cost_the_same_the_better_one_is_taken(product, cells):
    single, two = product(SINGLE, [0.80] * 2), product(CHOSEN, [0.90] * 2, noise=0.1, networks=2)
    three = product(CHOSEN, [0.901] * 2, noise=1, networks=2)
    assert choose_product([single, two, three], cells) is three
    assert choose_product([single, three, two], cells) is three


def test_a_student_is_held_against_others_on_the_splits_that_it_has(product, cells):
    single = product(SINGLE, [0.80, 0.80, 0.99, 0.99])
    student = product(STUDENT, [0.88, 0.88], noise=0.1)
    assert choose_product([single, student], cells) is student
    assert student.omegas(single) == pytest.approx((0.88, 0.80))


def test_without_figures_it_is_what_joins_most(product, bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan")})
    for number in range(2):
        bench.trial(ledger, "fan", number, skill=2)
    record = make_ensembles(ledger, every=True).records[0]
    single, student = product(SINGLE, []), product(STUDENT, [])
    joined = Product(EVERY, ledger, single.scores, np.zeros(0), 2, record=record)
    assert choose_product([single, student, joined], None) is joined
    assert choose_product([single, student], None) is single


@pytest.fixture
def search(bench, make_clips):
    """Four detectors that hear different clips' faults, of which the mean is much better than any."""
    ledger = bench.search(clips={"fan": make_clips("fan", per_cell=30)})
    for number in range(4):
        bench.trial(ledger, "fan", number, skill=1.5)
    return ledger


@pytest.mark.slow
def test_independent_detectors_are_joined_and_nothing_is_written(search):
    before = sorted(search.storage.list("fans"))
    products, cells, note = find_products(search, measure(search, "fan", exportable=True))
    assert note == ""
    ways = [found.way for found in products]
    assert (ways[0], ways.count(SINGLE), ways.count(EVERY)) == (SINGLE, 1, 1)
    assert [found.networks for found in products] == sorted(found.networks for found in products)
    taken = choose_product(products, cells)
    assert taken.networks > 1
    assert taken.omegas(products[0])[0] > taken.omegas(products[0])[1]
    assert taken.record is not None
    assert taken.record.sections == {}
    assert [f for f in sorted(search.storage.list("fans")) if f not in before and "archive" not in f] == []


@pytest.mark.slow
def test_detectors_that_say_the_same_stay_alone(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan", per_cell=30)})
    first = bench.trial(ledger, "fan", 0, skill=1.5, gains={"cosine": 1})
    scores = {"cosine": ledger.scores(first.id, "cosine")}
    for number in (1, 2):
        again = bench.trial(ledger, "fan", number, gains={"cosine": 1}, omega=first.omega)
        ledger.write_scores(again.id, scores)
    products, cells, _ = find_products(ledger, measure(ledger, "fan", exportable=True))
    assert choose_product(products, cells).way == SINGLE


@pytest.mark.slow
def test_the_ensemble_of_a_search_is_the_only_one_joined(search):
    make_ensembles(search, exportable=True, members=3)
    record = read_ensemble(search, "fan")
    products, *_ = find_products(search, measure(search, "fan", exportable=True))
    assert [found.way for found in products] == [SINGLE, CHOSEN]
    assert products[1].record == record
    np.testing.assert_array_equal(products[1].splits, record.compared["greedy"])
    own = ensemble_scores(search, record)
    elsewhere = ~np.isin(search.clips("fan").section, list(record.sections))
    np.testing.assert_allclose(products[1].scores[elsewhere], own[elsewhere])
    anew, *_ = find_products(search, measure(search, "fan", exportable=True), anew=True)
    assert EVERY in [found.way for found in anew]


@pytest.mark.slow
def test_an_ensemble_that_its_trials_no_longer_give_is_named_and_others_are_chosen(search):
    make_ensembles(search, exportable=True, members=3)
    member = next(iter(read_ensemble(search, "fan").machine_wide))
    changed = search.scores(member.trial, member.score_type) + 1.0
    search.write_scores(member.trial, {member.score_type: changed})
    products, _, note = find_products(search, measure(search, "fan", exportable=True))
    assert "of other scores than its trials have now" in note
    assert EVERY in [found.way for found in products]


@pytest.mark.slow
def test_of_many_trials_the_heaviest_score_together(search):
    measured = measure(search, "fan", exportable=True)
    few, every = (
        next(p for p in find_products(search, measured, most=most)[0] if p.way == EVERY) for most in (2, None)
    )
    assert few.networks == 2 < every.networks


@pytest.fixture
def blind(bench, make_clips):
    ledger = bench.search("blind", clips={"fan": make_clips("fan")})
    fan = ledger.plan.machines["fan"].model_copy(update={"judged_by": "pseudo"})
    ledger.write_plan(ledger.plan.model_copy(update={"machines": {"fan": fan}}))
    for number in range(4):
        bench.trial(ledger, "fan", number, skill=1, judged_by="pseudo", pseudo={"cosine": 0.6, "nll": 0.5})
    return ledger


@pytest.mark.slow
def test_without_labels_all_are_joined(blind):
    products, cells, _ = find_products(blind, measure(blind, "fan", exportable=True))
    assert cells is None
    assert [found.way for found in products] == [SINGLE, EVERY]
    taken = choose_product(products, cells)
    assert (taken.way, taken.networks) == (EVERY, 4)


def test_with_a_single_held_out_clip_nothing_is_joined_and_the_reason_is_told(bench, make_clips):
    ledger = bench.search(clips={"fan": make_clips("fan", held_out=1)})
    for number in range(3):
        bench.trial(ledger, "fan", number, skill=1)
    products, _, note = find_products(ledger, measure(ledger, "fan", exportable=True))
    assert [found.way for found in products] == [SINGLE]
    assert "calibration needs 2 held-out normal clips" in note


def test_the_best_of_another_kind_stands_in_for_a_single_detector(search, bench):
    for number, kind, skill in ((4, "knn", 0.2), (5, "noop", 0.1), (6, "knn", 1)):
        bench.trial(search, "fan", number, skill=skill, gains={"cosine": 1}, params={"family": kind})
    best = measure(search, "fan", exportable=True)
    other = other_single(search, [best])
    assert (other.way, other.name) == (SINGLE, "fan-00006 cosine")
    last = other_single(search, [best, other.measured])
    assert last.name == "fan-00005 cosine"
    np.testing.assert_array_equal(last.scores, search.scores("fan-00005", "cosine"))
    assert other_single(search, [best, other.measured, last.measured]) is None


@pytest.mark.slow
def test_a_student_counts_once_it_stands_beside_its_teacher(search, bench):
    clips = search.clips("fan")
    students = bench.search(students_name("fans"), clips={"fan": clips})
    namesake = students.plan
    students.write_plan(namesake.asking(taught_by="fans"))
    best = bench.trial(students, "fan", 0, skill=2)
    measured = measure(search, "fan", exportable=True)
    assert STUDENT not in [found.way for found in find_products(search, measured)[0]]

    def side(way, name, seconds):
        return Side(way=way, name=name, splits=(0.9, 0.9), size=1, seconds=seconds)

    sides = (
        side("student", f"{best.id} {best.best_score}", 0.004),
        side("ensemble", "fan-ensemble", 0.02),
        side("best single", "fan-00000 cosine", 0.005),
    )
    told = {"machine": "fan", "teacher": "fans", "ensemble": "", "agreement": 1, "chosen_by_labels": True}
    write_comparison(students, Comparison(**told, sides=sides))
    products, *_ = find_products(search, measured)
    assert [found.way for found in products[:2]] == [STUDENT, SINGLE]  # it takes less time
    np.testing.assert_array_equal(products[0].scores, students.scores(best.id, best.best_score))
    assert products[0].ledger.name == "fans-distilled"
    others = {"fan": namesake.machines["fan"].model_copy(update={"data_hash": "1"})}
    for plan in (namesake, students.plan.model_copy(update={"machines": others})):
        students.write_plan(plan)
        assert STUDENT not in [found.way for found in find_products(search, measured)[0]]
    students.write_plan(namesake.asking(taught_by="fans"))
    students.storage.write(students.layout.score(best.id, best.best_score), b"torn")
    products, _, note = find_products(search, measured)
    assert STUDENT not in [found.way for found in products]
    assert note.endswith("is damaged")
    assert find_products(search, measured, students=False)[2] == ""
