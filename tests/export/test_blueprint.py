"""Which trial leaves: one that needs a clip's section stays, and the user is told of it."""

import pytest

from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.gaussian_mixture import GaussianMixture
from humtune.detectors.recipe import Scoring
from humtune.errors import HumtuneError
from humtune.export.blueprint import left_out_note, measure_exportable
from humtune.results.candidates import exportable_types

WHY = "scores a clip against its own section, which an exported model can't know"


@pytest.mark.parametrize(
    ("scores", "pool", "expected"),
    [
        (("cosine", "nll", "fusion"), "machine", {"cosine", "nll", "fusion"}),
        (("cosine", "neg_logit"), "machine", {"cosine"}),
        (("cosine", "neg_logit", "fusion"), "machine", {"cosine"}),
        (("cosine", "nll", "fusion"), "section", set()),
    ],
)
def test_what_needs_no_section_can_leave(scores, pool, expected):
    config = Classifier(scores=scores, scoring=Scoring(pool=pool)).model_dump(mode="json")
    assert set(exportable_types(config, scores)) == expected


def test_an_encoders_own_score_can_leave_whatever_the_pool():
    recipe = GaussianMixture(scores=("own", "gmm", "fusion"), scoring=Scoring(pool="section"))
    assert exportable_types(recipe.model_dump(mode="json"), recipe.scores) == ["own"]


def give(ledger, number, metrics, *, pool="machine", **changes):
    """Let a trial of fan have these figures, and as many score vectors."""
    record = ledger.read(f"fan-{number:05d}")
    vector = ledger.scores(record.id, record.best_score)
    ledger.write_scores(record.id, dict.fromkeys(metrics or changes.get("pseudo", {}), vector))
    config = record.config | {"scoring": record.config["scoring"] | {"pool": pool}}
    record = record.model_copy(update={"omega": metrics, "config": config, **changes})
    ledger.write(record)
    return record


def test_without_an_exportable_trial_the_best_is_refused_by_name(ledger):
    give(ledger, 0, {"cosine": 0.6}, pool="section")
    give(ledger, 1, {"neg_logit": 0.7})
    with pytest.raises(HumtuneError, match=f"fan: fan-00001 {WHY}, and so does every other") as caught:
        measure_exportable(ledger, "fan")
    assert "\n" not in str(caught.value)


def test_without_a_complete_trial_there_is_nothing_to_choose(ledger):
    measured = measure_exportable(ledger, "valve")
    assert (measured.best, measured.left_out) == (None, None)
    assert measured.notes == ("valve: no trial has run its whole budget yet",)


def test_another_score_type_of_the_same_trial_is_taken(ledger):
    give(ledger, 0, {"cosine": 0.6, "neg_logit": 0.815, "nll": 0.65})
    give(ledger, 1, {"cosine": 0.64})
    measured = measure_exportable(ledger, "fan")
    assert (measured.best.trial.id, measured.best.score_type, measured.best.value) == (
        "fan-00000",
        "nll",
        0.65,
    )
    assert left_out_note(measured) == (
        f"fan-00000 with neg_logit is left out, though its Ω is 16.5 points higher: it {WHY}"
    )


def test_another_trial_is_taken(ledger):
    give(ledger, 0, {"cosine": 0.7, "nll": 0.6}, pool="section")
    give(ledger, 1, {"cosine": 0.64, "nll": 0.5})
    measured = measure_exportable(ledger, "fan")
    assert (measured.best.trial.id, measured.best.score_type) == ("fan-00001", "cosine")
    assert left_out_note(measured).startswith("fan-00000 with cosine is left out, though its Ω is 6.0 points")


def test_nothing_is_left_out_where_the_best_can_leave(ledger):
    give(ledger, 0, {"cosine": 0.6, "neg_logit": 0.7})
    give(ledger, 1, {"cosine": 0.7})
    measured = measure_exportable(ledger, "fan")
    assert measured.best.trial.id == "fan-00001"
    assert measured.left_out is None
    assert left_out_note(measured) is None


def test_pseudo_omega_is_called_by_its_name(ledger):
    for number, metrics in enumerate(({"cosine": 0.6, "neg_logit": 0.7}, {"nll": 0.5})):
        give(ledger, number, {}, pseudo=metrics, judged_by="pseudo")
    measured = measure_exportable(ledger, "fan")
    assert (measured.best.trial.id, measured.best.score_type) == ("fan-00000", "cosine")
    assert "though its pseudo-Ω is 10.0 points higher" in left_out_note(measured)
