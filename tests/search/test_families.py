"""Spaces of several families, and of parts from outside: searched, checked, found again, run to their end."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from outside_parts import BACKBONE, FAMILY, HEAD, Prototypes, Short

from humtune.detectors.classifier.recipe import Classifier
from humtune.detectors.detector import Detector
from humtune.detectors.noop import Noop
from humtune.detectors.recipe import recipe_of
from humtune.errors import UsageError
from humtune.plan import Resources
from humtune.records import TrialRecord, TrialState
from humtune.search.evaluator import Evaluator
from humtune.search.space import Space, check_space
from humtune.search.space.fit import check_fits, corners
from humtune.search.space.overrides import override
from humtune.search.timing import sizes
from humtune.search.trial import TrialRun, open_bank, start_trial
from humtune.search.warm import point_of
from humtune.sounds.bank import ClipBank

Make = Callable[..., Any]

FAMILIES: dict[str, Any] = {
    "presets": {"classifier": {"training.epochs": 8}, "noop": {"steps": 4}},
    "search": {
        "classifier": {"head.mu": [5, 10], "spectrogram.n_fft": [256, 512]},
        "noop": {"blur": {"low": 0.0, "high": 3.0}},
    },
}


def make_space(**keys: Any) -> Space:
    return check_space({"search": {"family": FAMILIES}, **keys}, where="here")


def refused(**keys: Any) -> str:
    with pytest.raises(UsageError) as caught:
        check_space(keys, where="here")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- families


def test_a_family_is_chosen_by_presets_of_whole_recipes() -> None:
    space = make_space()
    assert list(space.distributions()) == ["family", "head.mu", "spectrogram.n_fft", "blur"]
    points = {}
    for family in ("classifier", "noop"):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.enqueue_trial({"family": family})
        trial = study.ask()
        points[family] = space.draw(lambda name, d, trial=trial: trial._suggest(name, d))
    assert [list(point) for point in points.values()] == [
        ["family", "head.mu", "spectrogram.n_fft"],
        ["family", "blur"],
    ]
    noop = space.recipe(points["noop"], seed=3)
    assert noop == Noop(steps=4, blur=points["noop"]["blur"], seed=3)
    classifier = space.recipe(points["classifier"])
    assert isinstance(classifier, Classifier)
    assert classifier.training.epochs == 8
    assert classifier.head.mu == points["classifier"]["head.mu"]
    assert check_space(json.loads(space.model_dump_json()), where="plan") == space


def test_each_family_has_a_budget_of_its_own() -> None:
    space = make_space(pruner="median", grace=0.25)
    assert [recipe.budget for recipe in space.recipes] == [8, 4]
    assert space.epochs == 8
    assert space.rungs == space.measured == (2, 4)


def test_corners_of_a_branch_are_those_of_the_families_that_have_it() -> None:
    space = make_space()
    windows = [{"family": "classifier", "spectrogram.n_fft": n} for n in (256, 512)]
    assert [params for params, _ in corners(space, "spectrogram")] == [*windows, {"family": "noop"}]
    assert [type(recipe) for recipe in space.recipes] == [Classifier, Noop]
    found = list(sizes(space, "fan"))
    assert [params for params, _ in found] == [*windows, {"family": "noop"}]
    assert {recipe.size for _, recipe in found} == {"256×512, width 1, relu, batch 64", "noop"}


def test_a_grid_has_every_point_of_every_family() -> None:
    families = {**FAMILIES, "search": {"classifier": {"head.mu": [5, 10]}}}
    space = make_space(search={"family": families}, sampler="grid")
    assert [run.params for run in space.runs("fan")] == [
        {"family": "classifier", "head.mu": 5},
        {"family": "classifier", "head.mu": 10},
        {"family": "noop"},
    ]


def test_a_fixed_family_has_its_settings_searched() -> None:
    space = make_space(fixed={"family": "noop", "steps": 7}, search={"blur": [1.0, 2.0]})
    assert space.recipe({"blur": 2.0}) == Noop(steps=7, blur=2.0)
    assert space.epochs == 7


def test_a_family_from_outside_is_chosen_by_its_place() -> None:
    families = {"presets": {FAMILY: {"training.epochs": 4}}, "search": {FAMILY: {"head.mu": [5, 10]}}}
    space = make_space(search={"family": families})
    recipe = space.recipe({"family": FAMILY, "head.mu": 10})
    assert type(recipe) is Short
    assert (space.epochs, recipe.budget, recipe.head.mu) == (2, 2, 10)


@pytest.mark.parametrize(
    ("families", "said"),
    [
        (
            {"presets": {"nop": {}}},
            "here: search.family can be 'nop': family = 'nop': there is no family 'nop'; there are class",
        ),
        ({"presets": {"noop": {"step": 3}}}, "here: search.family can be 'noop': step = 3: no such setting"),
        (
            {"presets": {"noop": {}}, "search": {"noop": {"blurr": [1.0]}}},
            "here: search.blurr can be 1.0: blurr = 1.0: no such setting",
        ),
        (
            {"presets": {"noop": {}}, "search": {"noop": {"head.mu": [5]}}},
            "here: search.head.mu can be 5: head = {'mu': 5}: no such setting",
        ),
        (
            {"presets": {"noop": {}}, "search": {"noop": {"steps": [3, 4]}}},
            "here: search.steps can be 3: the budget is the same for every trial",
        ),
        (
            {"presets": {"noop": {}}, "search": {"classifier": {"head.mu": [5]}}},
            "here: search.family = {'presets': {'noop': {}}, 'search': {'classifier': {'head.mu': [5]}}}: "
            "search: there is no preset 'classifier'; there are: noop",
        ),
    ],
)
def test_what_is_wrong_with_a_family_is_told_in_one_sentence(families: dict[str, Any], said: str) -> None:
    assert refused(search={"family": families}).startswith(said)


def test_what_one_family_searches_is_open_only_with_it() -> None:
    said = refused(search={"family": FAMILIES}, first=[{"head.mu": 5}])
    assert said.endswith("head.mu = 5 is searched only with family: classifier; say so beside it")
    assert make_space(first=[{"family": "noop"}]).first_points("fan") == [{"family": "noop"}]


def test_recordings_are_held_against_the_families_that_need_them(table: Make) -> None:
    """A clip too short for the classifier's chunks, of a single section, is enough for another family."""
    clips = table(sections=1)
    lengths = np.full(len(clips), 3_000)
    with pytest.raises(UsageError, match=r"^fan: spectrogram.chunk_frames = 512 .* \(family: classifier"):
        check_fits(make_space(), clips, lengths)
    check_fits(make_space(search={"family": {"presets": {"noop": {"steps": 4}}}}), clips, lengths)


@pytest.mark.parametrize(
    "point",
    [
        {"family": "noop", "blur": 1.5},
        {"family": "classifier", "head.mu": 10, "spectrogram.n_fft": 512},
    ],
)
def test_a_point_of_a_family_is_found_again_by_its_recipe(point: dict[str, Any]) -> None:
    space = make_space()
    config = space.recipe(point, seed=5).model_dump(mode="json")
    assert point_of(space, config, "fan") == point


def test_what_a_space_does_not_search_is_no_point_of_it() -> None:
    space = make_space()
    steps = Noop(steps=5, blur=1.0).model_dump(mode="json")
    assert point_of(space, steps, "fan") is None  # the preset has four
    classifiers = make_space(search={"head.mu": [5.0, 10.0]})
    assert point_of(classifiers, Noop().model_dump(mode="json"), "fan") is None
    gone = Classifier().model_dump(mode="json") | {"family": "gone:Family"}
    assert point_of(classifiers, gone, "fan") is None


def test_an_old_configuration_is_a_point_of_the_classifiers() -> None:
    """A record of humtune 0.1 names no family, no kind of spectrogram and no kind of backbone."""
    old = Classifier().model_dump(mode="json")
    del old["family"], old["spectrogram"]["kind"], old["backbone"]["kind"]
    old["training"]["epochs"] = 8
    found = point_of(make_space(), old, "fan")
    assert found == {"family": "classifier", "head.mu": 5, "spectrogram.n_fft": 256}
    assert point_of(make_space(search={"head.mu": [5, 10]}), old, "fan") == {"head.mu": 5}


def test_the_command_line_sets_what_a_family_knows() -> None:
    space = make_space()
    mu = override(space, settings={"head.mu": 5})
    assert list(mu.distributions()) == ["family", "spectrogram.n_fft", "blur"]
    assert mu.recipe({"family": "classifier"}).head.mu == 5
    assert mu.recipe({"family": "noop"}) == Noop(steps=4)
    epochs = override(space, settings={"training.epochs": 2})
    assert [recipe.budget for recipe in epochs.recipes] == [2, 4]


# --- trials of a family that knows no classes


@pytest.fixture
def search(on_disk: Make) -> Any:
    """A search of a classifier and of another family, of a few steps."""
    torch.set_num_threads(1)
    open_bank.cache_clear()
    tiny = {
        "spectrogram": {"n_fft": 128, "chunk_frames": 16, "n_mels": 16},
        "backbone": {"width": 0.125, "embedding": 16},
        "training": {"epochs": 2, "batch_size": 8, "chunks_per_clip": 1},
    }
    families = {
        "presets": {"classifier": tiny, "noop": {"steps": 3}},
        "search": {"noop": {"blur": [0.0, 1.0]}},
    }
    points = [{"family": "classifier"}, {"family": "noop", "blur": 1.0}]
    return on_disk(fixed={}, search={"family": families}, first=points)


def started(search: Any, record: TrialRecord) -> TrialRun:
    config = {"storage": search.ledger.storage.uri, "search": search.ledger.name, "trial": record.id}
    return start_trial(config | {"record": record.model_dump_json(), "measured": [1]})


def test_trials_of_both_families_run_to_their_own_end(search: Any, bank: ClipBank) -> None:
    studies, ledger = search.studies(), search.ledger
    ended = {}
    for _ in range(2):
        trial = started(search, studies.ask())
        while trial.record.state == TrialState.RUNNING:
            studies.report(trial.record.id, len(trial.epoch().epochs), 1.0, None)
        studies.end(trial.record)
        ended[recipe_of(trial.record.config).family] = ledger.read(trial.record.id)
    classifier, noop = ended["classifier"], ended["noop"]
    assert (len(classifier.epochs), len(noop.epochs)) == (2, 3)
    assert (set(classifier.omega), set(noop.omega)) == ({"cosine", "nll"}, {"own"})
    assert "accuracy_test" in classifier.epochs[-1].metrics
    assert set(noop.epochs[0].metrics) == {"loss", "omega"}  # there are no classes to tell
    detector = Detector.from_bytes(ledger.storage.read(ledger.layout.detector(noop.id)))
    detector.load_reference(ledger.storage.read(ledger.layout.reference(noop.id)))
    measured = Evaluator(bank, None).measure(detector)
    assert np.array_equal(measured.scores["own"], ledger.scores(noop.id, "own"))
    assert (measured.omega, measured.accuracy) == (noop.omega, {})


def test_a_trial_without_classes_goes_on_from_its_checkpoint(search: Any) -> None:
    ledger, studies = search.ledger, search.studies()
    ledger.write_plan(ledger.plan.asking(resources=Resources(checkpoint_seconds=0.0)))
    asked = [studies.ask() for _ in range(2)][1]
    assert asked.config["family"] == "noop"
    trial = started(search, asked)
    trial.epoch()
    resumed = started(search, asked)
    assert resumed.fit.done == 1
    while (record := resumed.epoch()).state == TrialState.RUNNING:
        pass
    assert [e.epoch for e in record.epochs] == [1, 2, 3]
    assert record.continued == (1,)


# --- parts from outside


OUTSIDE: dict[str, Any] = {
    "presets": {"variational": {}, "prototypes": {"kind": HEAD}},
    "search": {
        "variational": {"mu": [5, 10]},
        "prototypes": {"sharpness": {"low": 0.01, "high": 1.0, "log": True}},
    },
}


def test_fields_of_a_head_from_outside_are_searched() -> None:
    space = make_space(
        fixed={"head": {"kind": HEAD, "smoothing": 0.1}, "backbone.kind": BACKBONE},
        search={"head.sharpness": {"low": 0.01, "high": 1.0, "log": True}, "backbone.bias": [True, False]},
    )
    recipe = space.recipe({"head.sharpness": 0.5, "backbone.bias": False})
    assert recipe.head == Prototypes(sharpness=0.5, smoothing=0.1)
    assert recipe.backbone.bias is False
    assert point_of(space, recipe.model_dump(mode="json"), "fan") == {
        "head.sharpness": 0.5,
        "backbone.bias": False,
    }


def test_a_head_from_outside_is_one_of_the_presets() -> None:
    space = make_space(search={"head": OUTSIDE})
    recipe = space.recipe({"head": "prototypes", "head.sharpness": 0.5})
    assert recipe.head == Prototypes(sharpness=0.5)
    assert recipe.score_types == ("cosine",)  # it gives no variances
    kinds = [recipe.head.kind for _, recipe in corners(space, "head.kind")]
    assert kinds == ["variational", HEAD]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"search": {"head.sharpnes": [1.0]}},
            "here: search.head.sharpnes can be 1.0: head.sharpnes = 1.0: no such",
        ),
        (
            {"search": {"head.sharpness": [0]}},
            "here: search.head.sharpness can be 0: should be greater than 0",
        ),
        ({"search": {"head.mu": [5]}}, "here: search.head.mu can be 5: head.mu = 5: no such setting"),
        (
            {"fixed": {"head": {"kind": HEAD, "smooth": 0}}, "search": {"labels": ["section"]}},
            "here: fixed: head.smooth = 0: no such setting",
        ),
        (
            {"fixed": {}, "search": {"head": {"presets": {"a": {"kind": "outside_parts:Gone"}}}}},
            "here: search.head can be 'a': head = {'kind': 'outside_parts:Gone'}: head 'outside_parts:Gone' "
            "can't be imported: ",
        ),
    ],
)
def test_what_a_head_from_outside_does_not_know_is_told_with_its_whole_name(
    keys: dict[str, Any], said: str
) -> None:
    assert refused(**{"fixed": {"head": {"kind": HEAD}}, **keys}).startswith(said)


def test_classes_beyond_the_embedding_are_no_matter_of_a_head_that_can_tell_them(table: Make) -> None:
    clips = table(sections=5)
    lengths = np.full(len(clips), 160_000)
    prototypes = {"presets": {"prototypes": {"kind": HEAD}}}
    check_fits(make_space(fixed={"backbone.embedding": 4}, search={"head": prototypes}), clips, lengths)
    with pytest.raises(UsageError, match=r"gives 5 classes, more than backbone\.embedding = 4"):
        check_fits(make_space(fixed={"backbone.embedding": 4}, search={"head": OUTSIDE}), clips, lengths)


# --- settings of one score type


def test_a_setting_of_one_score_type_is_searched() -> None:
    space = make_space(
        fixed={"scores": ["knn", "knn_normalised"], "scoring.neighbours": 7},
        search={"scoring.knn.neighbours": [1, 3]},
    )
    scoring = space.recipe({"scoring.knn.neighbours": 3}).scoring
    assert (scoring.of("knn").neighbours, scoring.of("knn_normalised").neighbours) == (3, 7)
    config = space.recipe({"scoring.knn.neighbours": 3}).model_dump(mode="json")
    assert point_of(space, config, "fan") == {"scoring.knn.neighbours": 3}


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"scoring.knn.neighbors": [3]}, "can be 3: scoring.knn.neighbors = 3: no such setting"),
        ({"scoring.knm.neighbours": [3]}, "can be 3: scoring.knm = {'neighbours': 3}: no such setting"),
        (
            {"scoring.neighbors": [3]},
            "can be 3: scoring.neighbors = 3: no such setting; did you mean scoring.neigh",
        ),
        ({"scoring.cosine.neighbours": [3]}, "can be 3: scoring.cosine.neighbours = 3: no such setting"),
        ({"scoring.knn.neighbours": [0]}, "can be 0: should be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_of_a_score_type_is_told_with_its_whole_name(
    search: dict[str, Any], said: str
) -> None:
    [name] = search
    assert refused(search=search).startswith(f"here: search.{name} {said}")


# --- several families at once

OF_ANOTHER = "no such setting of the kind that is chosen"


def test_what_lies_beside_the_families_is_tried_with_each_of_them() -> None:
    space = make_space(search={"family": FAMILIES, "scoring.pool": ["machine", "section"]})
    for family in ("classifier", "noop"):
        assert space.recipe({"family": family, "scoring.pool": "section"}).scoring.pool == "section"
    said = refused(search={"family": FAMILIES, "head.sigma2": [0.1, 0.2]})
    assert said == f"here: search.head.sigma2 can be 0.1: head = {{'sigma2': 0.1}}: {OF_ANOTHER}"


def test_what_is_fixed_for_one_family_is_refused_where_another_can_be_chosen() -> None:
    said = refused(search={"family": FAMILIES}, fixed={"head.sigma2": 0.3})
    assert said == f"here: search.family can be 'noop': head = {{'sigma2': 0.3}}: {OF_ANOTHER}"


def test_a_machine_may_have_a_family_of_its_own() -> None:
    space = make_space(
        search={"scoring.pool": ["machine", "section"]},
        fixed={"training.epochs": 3},
        machines={"fan": {"scoring.aggregation": "max"}},
    )
    assert space.epochs == 3
    space = check_space(
        {"search": {"scoring.pool": ["machine", "section"]}, "machines": {"fan": {"family": "noop"}}},
        where="here",
    )
    assert space.recipe({}, machine="fan") == Noop()
    assert isinstance(space.recipe({}, machine="valve"), Classifier)
