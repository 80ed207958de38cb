import pytest

from humtune.records import CONFIRM, TrialState
from humtune.results.candidates import choose, configurations, confirmed, searched_trials
from humtune.results.measure import measure


@pytest.fixture
def make(bench):
    ledger = bench.search(machines=("fan",), trials=20)

    def make(number, mu, cosine, nll=0.1, *, origin="sampler", **changes):
        omega = {"cosine": cosine, "nll": nll}
        return bench.trial(ledger, "fan", number, mu=mu, omega=omega, origin=origin, **changes)

    make.ledger = ledger
    return make


def test_equal_parameters_are_one_configuration_worth_its_mean(make):
    records = [make(0, 5, 0.9), make(1, 10, 0.7), make(2, 10, 0.8), make(3, 5, 0.5)]
    first, second = configurations(records)
    assert [t.number for t in first.trials] == [1, 2]
    assert (first.metric, second.metric) == (pytest.approx(0.75), pytest.approx(0.7))


def test_the_score_type_is_the_best_by_the_mean_and_the_trial_the_median_by_it(make):
    values = [(0.9, 0.7), (0.2, 0.74), (0.3, 0.72), (0.35, 0.60)]
    (found,) = configurations(make(i, 5, a, b) for i, (a, b) in enumerate(values))
    assert (found.best_score, found.metric) == ("nll", pytest.approx(0.69))
    middle = found.middle
    assert middle.trial.number == 0  # of 0.60, 0.70, 0.72, 0.74 the lower of the two in the middle
    assert (middle.score_type, middle.metric) == ("nll", 0.7)  # though its own cosine is higher
    assert middle.value == pytest.approx(0.69)


def test_the_best_is_chosen_by_new_seeds_and_never_by_the_lucky_one(make):
    records = [make(0, 5, 0.95), make(1, 10, 0.7), make(2, 20, 0.6)]
    assert choose(records).trial.number == 0
    records += [make(3 + i, 5, v, origin=CONFIRM) for i, v in enumerate((0.6, 0.61, 0.62))]
    records += [make(6 + i, 10, v, origin=CONFIRM) for i, v in enumerate((0.66, 0.71, 0.64))]
    choice = choose(records)
    assert choice.value == pytest.approx(0.67)
    assert (choice.trial.number, choice.score_type) == (6, "cosine")
    assert [t.number for t in confirmed(records)[0].trials] == [6, 7, 8]
    assert [r.number for r in searched_trials(records)] == [0, 1, 2]


def test_a_configuration_with_fewer_seeds_is_not_compared(make):
    records = [make(0, 5, 0.9), make(1, 10, 0.8)]
    records += [make(2, 5, 0.99, origin=CONFIRM), make(3, 5, 0.5, origin=CONFIRM, state=TrialState.FAILED)]
    records += [make(4, 10, 0.5, origin=CONFIRM), make(5, 10, 0.6, origin=CONFIRM)]
    assert [c.trials[0].number for c in confirmed(records)] == [4]
    assert choose(records).trial.number == 4


def test_nothing_is_confirmed_before_a_new_seed_is_complete(make):
    records = [make(0, 5, 0.9), make(1, 5, 0.9, origin=CONFIRM, state=TrialState.RUNNING)]
    assert confirmed(records) == []
    assert choose(records).trial.number == 0


def test_what_is_measured_is_the_median_trial_and_the_search_is_cross_fitted_without_it(bench):
    ledger = bench.search(machines=("fan",))
    for number, skill in enumerate((0.3, 1.5, 0.6)):
        bench.trial(ledger, "fan", number, skill=skill)
    before = measure(ledger, "fan", noise=True)
    again = [bench.trial(ledger, "fan", 3 + i, skill=1, mu=6.0, origin=CONFIRM) for i in range(3)]
    after = measure(ledger, "fan", noise=True)
    means = {s: sum(r.omega[s] for r in again) / 3 for s in ("cosine", "nll")}
    score = max(means, key=means.get)
    middle = sorted(again, key=lambda r: r.omega[score])[1]
    assert (after.best.trial.id, after.best.score_type) == (middle.id, score)
    assert float(after.select.omega_official) == middle.omega[score]
    assert after.confirmed.metric == pytest.approx(means[score])
    assert after.cross_fitted.mean == before.cross_fitted.mean
    assert (
        (after.candidates, after.within_noise)
        == (before.candidates, before.within_noise)
        == (6, after.within_noise)
    )
    assert 1 <= after.within_noise <= 6


def test_only_types_that_can_be_exported_count_in_a_mean_and_the_lead_is_told(bench, monkeypatch):
    ledger = bench.search(machines=("fan",))
    bench.trial(ledger, "fan", 0, mu=5.0)
    for number in (1, 2):
        bench.trial(ledger, "fan", number, mu=5.0, omega={"cosine": 0.8, "nll": 0.7}, origin=CONFIRM)
    rule = "humtune.results.candidates.exportable_types"
    monkeypatch.setattr(rule, lambda config, score_types: ["nll"])
    measured = measure(ledger, "fan", exportable=True)
    assert (measured.best.trial.number, measured.best.score_type) == (1, "nll")
    assert measured.left_out.score_type == "cosine"
    assert measured.lead == pytest.approx(0.1)
    assert measure(ledger, "fan").left_out is None
