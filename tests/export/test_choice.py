"""Which product becomes the model within a time for a clip, and the sentence about it; no graph is made."""

from types import SimpleNamespace

import numpy as np
import pytest

from humtune.errors import HumtuneError
from humtune.export import choice
from humtune.export.check import Cost
from humtune.export.choice import choose_model
from humtune.export.model import Exported
from humtune.export.search import export_search
from humtune.metrics.cells import Cells
from humtune.results.ensembles.worth import CHOSEN, SINGLE
from humtune.results.products import Product
from humtune.results.students import STUDENT
from humtune.sounds.table import Role


@pytest.fixture
def offer(monkeypatch, make_clips):
    """Choose between products of so many networks, cross-fitted Ω and ms; what is built takes these."""
    clips = make_clips("fan", per_cell=40)
    scores = np.random.default_rng(0).normal(size=len(clips)) + clips.label

    def offer(*rows, wished=None, ms=None, note="", labels=True, broken=(), others=()):
        took, products = {}, []
        for way, networks, omega, time in (*rows, *others):
            record = SimpleNamespace(machine_wide=dict.fromkeys(range(networks))) if way == CHOSEN else None
            own = scores + 0.01 * np.random.default_rng(networks).normal(size=len(scores))
            splits = np.array([omega / 100] * 2 if labels else [])
            made = Product(way, LEDGER, own, splits, networks, record=record)
            products.append(made)
            took[made] = time
        single, more = products[0], iter(products[len(rows) :])
        del products[len(rows) :]

        def build(ledger, product, folder, *, false_alarms):
            if product.way in broken:
                raise HumtuneError(f"{product.way}: the trial's weights are gone")
            cost = Cost(1, took[product] / 1000)
            return Exported(folder, None, (), cost, 0.0, product.scores, None), b"", product

        cells = Cells.of(clips, Role.SELECT) if labels else None
        monkeypatch.setattr(choice, "find_products", lambda *_, **__: (products, cells, note))
        monkeypatch.setattr(choice, "single_product", lambda *_: single)
        monkeypatch.setattr(choice, "other_single", lambda *_: next(more, None))
        monkeypatch.setattr(choice, "of_product", lambda product, _: product)
        monkeypatch.setattr(choice, "build_model", build)
        monkeypatch.setattr(choice, "single", lambda *_: single)
        monkeypatch.setattr(choice, "_beside", lambda _: "the best single")
        measured = SimpleNamespace(machine="fan")
        found = choose_model(LEDGER, measured, None, false_alarms=0.1, product=wished, ms=ms)
        return found.plan, found.model.why, found.beside

    return offer


LEDGER = SimpleNamespace(plan=SimpleNamespace(asked=SimpleNamespace(taught_by=None)))
ROWS = ((SINGLE, 1, 80, 4), (CHOSEN, 3, 90, 12), (CHOSEN, 8, 95, 40))


def test_the_best_is_taken_and_told_beside_the_best_single(offer):
    taken, why, beside = offer(*ROWS)
    assert taken.networks == 8
    assert why == "an ensemble of 8: cross-fitted Ω 95.0 against 80.0 of the best single, 40 ms a clip"
    assert beside == ()


def test_what_takes_too_long_is_named_and_the_best_of_the_rest_is_taken(offer):
    taken, why, _ = offer(*ROWS, ms=20)
    assert taken.networks == 3
    assert why.endswith("against 80.0 of the best single, 12 ms a clip; too slow: an ensemble of 8 (40.0 ms)")
    taken, why, _ = offer(*ROWS, ms=5)
    assert taken.way == SINGLE
    assert (
        why
        == "the best single, 4 ms a clip; too slow: an ensemble of 8 (40.0 ms), an ensemble of 3 (12.0 ms)"
    )
    assert offer(*ROWS, ms=40)[0].networks == 8


def test_a_slower_single_network_leaves_a_faster_one(offer):
    rows = ((SINGLE, 1, 80, 9), (STUDENT, 1, 90, 12), (CHOSEN, 2, 95, 20))
    assert offer(*rows, ms=15)[0].way == STUDENT
    assert offer(*rows, ms=10)[0].way == SINGLE


def test_a_slow_single_network_leaves_fast_ones_that_are_joined(offer):
    assert offer((SINGLE, 1, 90, 200), (CHOSEN, 2, 80, 5), ms=20)[0].networks == 2


def test_a_slow_single_detector_leaves_those_of_other_kinds(offer):
    others = ((SINGLE, 1, 70, 50), (SINGLE, 1, 60, 3), (SINGLE, 1, 50, 1))
    for wished in ("single", None):
        taken, why, _ = offer(*ROWS, others=others, ms=3, wished=wished)
        assert taken.splits[0] == 0.60
        assert why.startswith("the best single: cross-fitted Ω 60.0 against 80.0 of the best single, 3 ms")


def test_what_cannot_be_built_is_left_out_and_named_unless_it_was_wished_for(offer):
    taken, why, _ = offer(*ROWS, broken=[CHOSEN])
    assert taken.way == SINGLE
    gone = f"{CHOSEN}: the trial's weights are gone"
    assert why == f"the best single, 4 ms a clip; left out: {gone}; {gone}"
    with pytest.raises(HumtuneError, match=gone):
        offer(*ROWS, broken=[CHOSEN], wished="ensemble")
    with pytest.raises(HumtuneError, match=f"within --ms 2: .*; {gone}"):
        offer(*ROWS, broken=[CHOSEN], ms=2)
    with pytest.raises(HumtuneError, match=f"^{SINGLE}: the trial's weights are gone$"):
        offer(ROWS[0], broken=[SINGLE])


def test_where_nothing_is_fast_enough_all_are_named_with_the_time_that_would_do(offer):
    told = (
        "fan: nothing scores a clip within --ms 2: an ensemble of 8 (40.0 ms), an ensemble of 3 (12.0 ms), "
        "the best single (4.0 ms); --ms 5 takes the fastest"
    )
    with pytest.raises(HumtuneError) as caught:
        offer(*ROWS, ms=2)
    assert str(caught.value) == told


def test_a_single_detector_that_stays_says_what_it_was_held_against(offer):
    taken, why, _ = offer((SINGLE, 1, 80, 4), (CHOSEN, 3, 80.01, 12))
    assert taken.way == SINGLE
    assert why == (
        "the best single: cross-fitted Ω 80.0; an ensemble of 3, with 80.0, isn't surely better, 4 ms a clip"
    )
    assert offer((SINGLE, 1, 80, 4))[1] == "the best single, 4 ms a clip"


def test_a_wish_is_followed_whatever_it_is_worth(offer):
    taken, why, _ = offer(*ROWS, wished="single")
    assert (taken.way, why) == (SINGLE, None)
    taken, why, beside = offer((SINGLE, 1, 80, 4), (CHOSEN, 3, 70, 12), wished="ensemble")
    assert (taken.way, beside) == (CHOSEN, ("the best single",))
    assert why == "an ensemble of 3, 12 ms a clip"
    with pytest.raises(HumtuneError, match="fan: there is one trial, and nothing to join"):
        offer(ROWS[0], wished="ensemble")
    with pytest.raises(HumtuneError, match="it can't leave"):
        offer(*ROWS, wished="ensemble", note="it can't leave")
    taken, why, _ = offer(*ROWS, note="it can't leave")
    assert taken.networks == 8
    assert why.endswith("; left out: it can't leave")


def test_without_labels_what_joins_most_is_taken_and_said_to_be_no_choice(offer):
    taken, why, _ = offer(*ROWS, labels=False)
    assert (taken.networks, why) == (8, "an ensemble of 8, as no labels tell what is better, 40 ms a clip")
    taken, why, _ = offer(*ROWS, labels=False, ms=5)
    assert taken.way == SINGLE
    assert (
        why
        == "the best single, 4 ms a clip; too slow: an ensemble of 8 (40.0 ms), an ensemble of 3 (12.0 ms)"
    )


@pytest.mark.slow
def test_two_trained_trials_are_joined_by_themselves_and_the_search_stays_as_it_is(ledger, tmp_path):
    before = [name for name in sorted(ledger.storage.list("small")) if "archive" not in name]
    [model] = export_search(ledger, tmp_path / "models", machines=["fan"], product="ensemble").models
    assert (model.info.trial, model.info.score_type) == ("fan-ensemble", "ensemble")
    assert model.info.metrics["omega_cross_fitted"] > 0
    assert [name for name in sorted(ledger.storage.list("small")) if "archive" not in name] == before
